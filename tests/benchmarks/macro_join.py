"""Joining a long chain by macro sync over real libp2p, beside verifying the same data from disk.

The chain is written once by `headway chain generate`, or taken from the folder that
HEADWAY_BENCHMARK_CHAIN names. Servers and client are processes of their own.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio

from node.accounts.transaction import Transaction
from node.app import Node
from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.fetched import FetchedBatch
from node.chain.genesis import Genesis
from node.chain.results import Pushed, PushOutcome, PushResult
from node.crypto.bls import KeyCache
from node.profiles import Profile
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.testnet.ports import free_ports
from node.testnet.zygote import Job
from protocols.types import Hash32, Height
from tests.benchmarks.local_network import HEADWAY
from tests.benchmarks.measure import Figure, seconds
from tests.benchmarks.processes import (
    Main,
    address_of,
    anonymous_bytes,
    make_node,
    run_to_the_end,
    serve,
    with_peer,
)

BLOCKS = 100_000
QUICK_BLOCKS = 6_000
TRANSACTIONS = 10
TIMEOUT_S = 900
BATCHES_AT_ONCE = 4
"""What is read from disk and adopted in one transaction."""

EPOCHS_AT_ONCE = 64
PROFILES = (Profile.PICO, Profile.LIGHT, Profile.HISTORY)
AIMS = {
    Profile.PICO: "under 1 s",
    Profile.LIGHT: "under 3 s",
    Profile.HISTORY: "ratio at least 0.6",
}


def macro_join(quick: bool) -> list[Figure]:
    """Join with each profile, from one peer and from four."""
    with _chain_folder(QUICK_BLOCKS if quick else BLOCKS) as folder, TemporaryDirectory() as text:
        genesis = Genesis.load(folder / "genesis.json")
        limits = {profile: _from_disk(folder, genesis, profile) for profile in PROFILES}
        return [
            _figure(profile, peers, limits[profile], _join(folder, genesis, profile, peers, text))
            for peers in (1, 4)
            for profile in PROFILES
        ]


def _figure(profile: Profile, peers: int, limit: float, seen: dict[str, float]) -> Figure:
    return Figure(
        name=f"macro_join_{profile.value}_{peers}",
        value=seen["seconds"],
        unit="s",
        limit=limit,
        # As for every throughput: what is reached, as a part of what the disk gives.
        ratio=limit / seen["seconds"],
        aim=AIMS[profile],
        details={
            "blocks": int(seen["height"]),
            "peers": peers,
            "blocks_per_s": round(seen["height"] / seen["seconds"]),
            "bytes": int(seen["bytes"]),
            "peak_memory_mb_at_a_quarter": round(seen["quarter_memory"] / 1e6),
            "peak_memory_mb": round(seen["memory"] / 1e6),
        },
    )


@contextmanager
def _chain_folder(blocks: int) -> Iterator[Path]:
    given = os.environ.get("HEADWAY_BENCHMARK_CHAIN")
    if given:
        yield Path(given)
        return
    with TemporaryDirectory() as text:
        folder = Path(text) / "chain"
        numbers = ["--blocks", str(blocks), "--transactions", str(TRANSACTIONS)]
        # In a process of its own: its memory is not to be in that of the nodes forked here.
        subprocess.run(
            [HEADWAY, "chain", "generate", str(folder), *numbers], check=True, capture_output=True
        )
        yield folder


def _join(
    folder: Path, genesis: Genesis, profile: Profile, peers: int, scratch: str
) -> dict[str, float]:
    """Return what a client that joins in a process of its own has measured."""
    with TemporaryDirectory(dir=scratch) as text:
        place = Path(text)
        ports = free_ports(peers, Random())
        names = [f"server-{number}" for number in range(peers)]
        jobs = [
            Job(name, place / f"{name}.log", _server(folder, place / name, genesis, name, port))
            for name, port in zip(names, ports, strict=True)
        ]
        seeds = tuple(address_of(name, port) for name, port in zip(names, ports, strict=True))
        height = _height(folder, genesis)
        client = _client(place / "client", genesis, profile, seeds, height)
        run_to_the_end(place, [*jobs, Job("client", place / "client.log", client)], TIMEOUT_S)
        seen: dict[str, float] = json.loads((place / "client" / "seen.json").read_text())
        return seen


def _server(folder: Path, data: Path, genesis: Genesis, name: str, port: int) -> Main:
    def main(ready: Callable[[], None]) -> int:
        shutil.copytree(folder / "data", data)
        store = DiskStore(data)
        trio.run(serve, make_node(genesis, store, Profile.HISTORY, name, port=port), ready)
        return 0

    return main


def _client(
    data: Path, genesis: Genesis, profile: Profile, seeds: tuple[str, ...], height: Height
) -> Main:
    def main(ready: Callable[[], None]) -> int:
        data.mkdir()
        store = DiskStore(data)
        watch = _Watch(height)
        trio.run(with_peer, make_node(genesis, store, profile, "client", seeds=seeds), watch.run)
        (data / "seen.json").write_text(json.dumps(watch.seen))
        ready()
        return 0

    return main


class _Watch:
    """Follows a client up to a height."""

    def __init__(self, height: Height) -> None:
        self._height = height
        self.seen: dict[str, float] = {}

    async def run(self, node: Node) -> None:
        memory = quarter_memory = 0.0
        start, sequence = trio.current_time(), 0
        while node.chain.head.number < self._height:
            sequence = (await node.status_after(sequence, TIMEOUT_S))["sequence"]
            memory = max(memory, anonymous_bytes())
            if not quarter_memory and node.chain.head.number >= self._height // 4:
                quarter_memory = memory
        self.seen = {
            "seconds": trio.current_time() - start,
            "height": self._height,
            "bytes": sum(peer.bytes_in for peer in node.peers.values()),
            "quarter_memory": quarter_memory,
            "memory": memory,
        }


def _from_disk(folder: Path, genesis: Genesis, profile: Profile) -> float:
    """Return the seconds for reading what the profile needs from disk and adopting it."""
    source = DiskStore(folder / "data")
    try:
        chain = _open(source, genesis, Profile.HISTORY)
        with TemporaryDirectory() as text:
            store = DiskStore(Path(text))
            try:
                mine = _open(store, genesis, profile)
                return seconds(lambda: _adopt(chain, mine, profile))
            finally:
                store.close()
    finally:
        source.close()


def _adopt(source: Chain, mine: Chain, profile: Profile) -> None:
    heads = [source.election_head.hash, *{source.macro_head.hash} - {source.election_head.hash}]
    match profile:
        case Profile.PICO:
            _expect(
                mine.adopt_macro_blocks([_block(source, each) for each in heads], is_trusted=True)
            )
        case Profile.LIGHT:
            blocks = iter([*_elections(source), *[_block(source, each) for each in heads[1:]]])
            while lot := list(islice(blocks, EPOCHS_AT_ONCE)):
                _expect(mine.adopt_macro_blocks(lot))
        case _:
            batches = _batches(source)
            while several := list(islice(batches, BATCHES_AT_ONCE)):
                _expect(mine.adopt_batches(several))
    assert mine.head.number == source.macro_head.number


def _expect(results: tuple[PushResult, ...]) -> None:
    for result in results:
        assert isinstance(result, Pushed), result
        assert result.outcome is PushOutcome.EXTENDED


def _elections(chain: Chain) -> Iterator[Block]:
    length = chain.policy.epoch_length
    for number in range(length, chain.election_head.number + 1, length):
        yield _block(chain, _hash_at(chain, number))


def _batches(chain: Chain) -> Iterator[FetchedBatch]:
    length = chain.policy.batch_length
    for macro in range(length, chain.macro_head.number + 1, length):
        blocks: list[Block] = []
        transactions: list[Transaction] = []
        for number in range(macro - length + 1, macro):
            payload = chain.block_bytes(_hash_at(chain, number), with_body=True)
            assert payload is not None
            block = Block.decode(payload)
            assert block.body is not None
            transactions += block.body.transactions  # type: ignore[union-attr]
            blocks.append(block.without_body())
        yield FetchedBatch(
            macro=_block(chain, _hash_at(chain, macro)),
            blocks=tuple(blocks),
            transactions=tuple(transactions),
        )


def _block(chain: Chain, block_hash: Hash32) -> Block:
    payload = chain.block_bytes(block_hash, with_body=False)
    assert payload is not None
    return Block.decode(payload)


def _hash_at(chain: Chain, height: Height) -> Hash32:
    found = chain.hash_at(height)
    assert found is not None
    return found


def _height(folder: Path, genesis: Genesis) -> Height:
    store = DiskStore(folder / "data")
    try:
        return _open(store, genesis, Profile.HISTORY).head.number
    finally:
        store.close()


def _open(store: DiskStore, genesis: Genesis, profile: Profile) -> Chain:
    return Chain.open(
        store,
        genesis,
        retention=profile.traits.retention,
        keeps_state=profile.traits.keeps_state,
        clock=SystemClock(),
        key_cache=KeyCache(),
    )
