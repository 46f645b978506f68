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

from node.app import Node, NodeParts
from node.blocks.block import Block
from node.chain.genesis import Genesis
from node.config import SyncConfig
from node.keys import NodeKeys
from node.log import configure_logging
from node.net.libp2p import Libp2pNetwork
from node.profiles import Profile
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.testnet.ports import free_ports
from node.testnet.processes import kill_processes
from node.testnet.zygote import Job, start_all, wait_until_ready
from protocols.messages.handshake import Hello
from tests.benchmarks.chains import (
    LONG_BATCHES,
    build_chain,
    chain_on_disk,
    fresh,
    open_full,
    push_in_batches,
)
from tests.benchmarks.measure import Figure, seconds

TIMEOUT_S = 300
ROUNDS = 3
LOOK_S = 0.001
"""Between two looks for the first peer, from which on the time is taken."""


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
        children = start_all(
            [
                Job("server", folder / "server.log", _server(folder, genesis, made, port)),
                Job("client", folder / "client.log", _client(folder, genesis, made[-1], port)),
            ]
        )
        outcomes = wait_until_ready(children, TIMEOUT_S)
        kill_processes({each.name: each.pid for each in children}, timeout_s=10)
        if len(outcomes) != 2 or any(each.exit_code is not None for each in outcomes):
            logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
            raise RuntimeError(f"the benchmark's processes failed: {outcomes}\n{logs}")
        return float(json.loads((folder / "seconds.json").read_text()))


def _server(
    folder: Path, genesis: Genesis, made: Sequence[Block], port: int
) -> Callable[[Callable[[], None]], int]:
    def main(ready: Callable[[], None]) -> int:
        store = DiskStore(folder / "server")
        push_in_batches(open_full(store, genesis), made)
        trio.run(_serve, _node(genesis, store, "server", port, ()), ready)
        return 0

    return main


def _client(
    folder: Path, genesis: Genesis, last: Block, port: int
) -> Callable[[Callable[[], None]], int]:
    def main(ready: Callable[[], None]) -> int:
        store = DiskStore(folder / "client")
        server = NodeKeys.derive("benchmark", "server").peer_id
        seeds = (f"/ip4/127.0.0.1/tcp/{port}/p2p/{server}",)
        spent = trio.run(_follow, _node(genesis, store, "client", 0, seeds), last.number)
        (folder / "seconds.json").write_text(json.dumps(spent))
        ready()
        return 0

    return main


async def _serve(node: Callable[[], Node], ready: Callable[[], None]) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(node().run)
        ready()


async def _follow(make: Callable[[], Node], height: int) -> float:
    node = make()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        while not node.peers:  # noqa: ASYNC110 - nothing tells of a peer this soon.
            await trio.sleep(LOOK_S)
        start, sequence = trio.current_time(), 0
        while node.chain.head.number < height:
            sequence = (await node.status_after(sequence, TIMEOUT_S))["sequence"]
        spent = trio.current_time() - start
        nursery.cancel_scope.cancel()
    return spent


def _node(
    genesis: Genesis, store: DiskStore, name: str, port: int, seeds: tuple[str, ...]
) -> Callable[[], Node]:
    """Return what makes a history node, once an event loop runs."""
    keys, clock = NodeKeys.derive("benchmark", name), SystemClock()
    configure_logging(level="info", format_="text")

    def make_network(hello: Callable[[], Hello]) -> Libp2pNetwork:
        return Libp2pNetwork(
            keys.peer.seed,
            listen=[f"/ip4/127.0.0.1/tcp/{port}"],
            genesis=genesis.hash,
            hello=hello,
            clock=clock,
        )

    def make() -> Node:
        return Node(
            NodeParts(
                profile=Profile.HISTORY,
                genesis=genesis,
                keys=keys,
                is_validator=False,
                store=store,
                make_network=make_network,
                clock=clock,
                rng=Random(0),
                in_thread=True,
                queue=SyncConfig().queue_config(genesis.policy, include_body=True),
                min_peers=1,
                seeds=seeds,
            )
        )

    return make
