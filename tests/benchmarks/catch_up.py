"""Catching up with a peer over real libp2p, beside pushing the same blocks without a network.

All blocks are of one batch: that is what live sync fetches by missing-blocks requests. Macro sync
is measured by `macro_join`.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import trio

from node.app import Node
from node.blocks.block import Block
from node.chain.genesis import Genesis
from node.profiles import Profile
from node.storage.disk import DiskStore
from node.testnet.ports import free_ports
from node.testnet.zygote import Job
from tests.benchmarks.chains import (
    LONG_BATCHES,
    build_chain,
    chain_on_disk,
    fresh,
    open_full,
    push_in_batches,
)
from tests.benchmarks.measure import Figure, seconds
from tests.benchmarks.processes import (
    Main,
    address_of,
    make_node,
    run_to_the_end,
    serve,
    with_peer,
)

TIMEOUT_S = 300
ROUNDS = 3


def sync_blocks_empty(quick: bool) -> list[Figure]:
    """Fetch and push 1000 empty blocks."""
    return [_sync_blocks("sync_blocks_empty", 240 if quick else 1000, 0)]


def sync_blocks_100tx(quick: bool) -> list[Figure]:
    """Fetch, push and execute 180 blocks of 100 transactions."""
    return [_sync_blocks("sync_blocks_100tx", 60 if quick else 180, 100)]


def _sync_blocks(name: str, count: int, transactions: int) -> Figure:
    genesis, made = build_chain(count, transactions, LONG_BATCHES)
    rates, limits = [], []
    for _ in range(ROUNDS):
        limits.append(count / _without_network(genesis, made))
        rates.append(count / _over_libp2p(genesis, made))
    ratios = sorted(rate / limit for rate, limit in zip(rates, limits, strict=True))
    return Figure(
        name=name,
        value=sorted(rates)[ROUNDS // 2],
        unit="blocks/s",
        limit=sorted(limits)[ROUNDS // 2],
        ratio=ratios[ROUNDS // 2],
        aim="ratio at least 0.7",
        details={
            "blocks": count,
            "transactions": transactions,
            "ratio_range": [round(ratios[0], 3), round(ratios[-1], 3)],
        },
    )


def _without_network(genesis: Genesis, made: Sequence[Block]) -> float:
    blocks = fresh(made)
    with chain_on_disk(genesis) as chain:
        return seconds(lambda: push_in_batches(chain, blocks))


def _over_libp2p(genesis: Genesis, made: Sequence[Block]) -> float:
    """Return the seconds from the first peer until the head, in processes of their own."""
    with TemporaryDirectory() as text:
        folder = Path(text)
        (port,) = free_ports(1, Random())
        jobs = [
            Job("server", folder / "server.log", _server(folder, genesis, made, port)),
            Job("client", folder / "client.log", _client(folder, genesis, made[-1], port)),
        ]
        run_to_the_end(folder, jobs, TIMEOUT_S)
        return float(json.loads((folder / "seconds.json").read_text()))


def _server(folder: Path, genesis: Genesis, made: Sequence[Block], port: int) -> Main:
    def main(ready: Callable[[], None]) -> int:
        store = DiskStore(folder / "server")
        push_in_batches(open_full(store, genesis), made)
        trio.run(serve, make_node(genesis, store, Profile.HISTORY, "server", port=port), ready)
        return 0

    return main


def _client(folder: Path, genesis: Genesis, last: Block, port: int) -> Main:
    def main(ready: Callable[[], None]) -> int:
        store = DiskStore(folder / "client")
        seeds = (address_of("server", port),)
        watch = _Watch(last.number)
        trio.run(
            with_peer,
            make_node(genesis, store, Profile.HISTORY, "client", seeds=seeds),
            watch.run,
        )
        (folder / "seconds.json").write_text(json.dumps(watch.seconds))
        ready()
        return 0

    return main


class _Watch:
    """Follows a client up to a height."""

    def __init__(self, height: int) -> None:
        self._height = height
        self.seconds = 0.0

    async def run(self, node: Node) -> None:
        start, sequence = trio.current_time(), 0
        while node.chain.head.number < self._height:
            sequence = (await node.status_after(sequence, TIMEOUT_S))["sequence"]
        self.seconds = trio.current_time() - start
