"""Nodes in processes of their own: what benchmarks over real libp2p have in common."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import trio

from node.app import Node, NodeParts
from node.chain.genesis import Genesis
from node.config import SyncConfig
from node.keys import NodeKeys
from node.log import configure_logging
from node.net.libp2p import Libp2pNetwork
from node.profiles import Profile
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.testnet.processes import kill_processes
from node.testnet.zygote import Job, start_all, wait_until_ready
from protocols.messages.handshake import Hello

LOOK_S = 0.001
"""Between two looks for the first peer, from which on the time is taken."""

Main = Callable[[Callable[[], None]], int]
"""Runs a process until it ends; calls its argument when it is ready."""

MakeNode = Callable[[], Node]
"""Makes a node, once an event loop runs."""


def make_node(
    genesis: Genesis,
    store: DiskStore,
    profile: Profile,
    name: str,
    *,
    port: int = 0,
    seeds: tuple[str, ...] = (),
    network: Callable[..., Libp2pNetwork] = Libp2pNetwork,
    **parts: Any,
) -> MakeNode:
    """Return what makes a node.

    Args:
        genesis: Of its network.
        store: Opened in the process that runs the node.
        profile: Of the node.
        name: What its keys are derived from.
        port: To listen on; 0 is any.
        seeds: Multiaddrs with peer id.
        network: Takes the arguments of `Libp2pNetwork`.
        parts: More of `NodeParts`.
    """
    keys, clock = NodeKeys.derive("benchmark", name), SystemClock()
    configure_logging(level="info", format_="text")

    def make_network(hello: Callable[[], Hello]) -> Libp2pNetwork:
        return network(
            keys.peer.seed,
            listen=[f"/ip4/127.0.0.1/tcp/{port}"],
            genesis=genesis.hash,
            hello=hello,
            clock=clock,
        )

    def make() -> Node:
        include_body = profile.traits.include_body
        return Node(
            NodeParts(
                profile=profile,
                genesis=genesis,
                keys=keys,
                is_validator=False,
                store=store,
                make_network=make_network,
                clock=clock,
                rng=Random(0),
                in_thread=True,
                queue=SyncConfig().queue_config(genesis.policy, include_body=include_body),
                min_peers=1,
                seeds=seeds,
                **parts,
            )
        )

    return make


def address_of(name: str, port: int) -> str:
    """Return the multiaddr with peer id of a node that was made with a name and a port."""
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{NodeKeys.derive('benchmark', name).peer_id}"


async def serve(make: MakeNode, ready: Callable[[], None]) -> None:
    """Run a node until this process is ended."""
    async with trio.open_nursery() as nursery:
        await nursery.start(make().run)
        ready()


async def with_peer(make: MakeNode, watch: Callable[[Node], Awaitable[None]]) -> None:
    """Run a node from its first peer on beside what watches it, and as long as that takes."""
    node = make()
    async with trio.open_nursery() as nursery:
        await nursery.start(node.run)
        while not node.peers:  # noqa: ASYNC110 - nothing tells of a peer this soon.
            await trio.sleep(LOOK_S)
        await watch(node)
        nursery.cancel_scope.cancel()


def run_to_the_end(folder: Path, jobs: Sequence[Job], timeout_s: float) -> None:
    """Start processes, wait until each is ready, and end them all.

    A client is ready when it has finished, a server when it serves.

    Args:
        folder: Where their logs are.
        jobs: In the order of their starts.
        timeout_s: For each further sign of life.

    Raises:
        RuntimeError: One of them was not ready in time, or failed; with what they have logged.
    """
    children = start_all(jobs)
    outcomes = wait_until_ready(children, timeout_s)
    kill_processes({each.name: each.pid for each in children}, timeout_s=10)
    if len(outcomes) != len(jobs) or any(each.exit_code is not None for each in outcomes):
        logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
        raise RuntimeError(f"the benchmark's processes failed: {outcomes}\n{logs}")


def anonymous_bytes() -> float:
    """Return the memory of this process that is its own: pages of the database come and go."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return float(line.split()[1]) * 1024
    raise RuntimeError("the kernel does not tell")
