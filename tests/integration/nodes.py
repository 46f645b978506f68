"""Real networks on loopback, and waiting for what happens between them."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import trio

from node.net.libp2p import Libp2pNetwork, NetworkLimits
from node.net.libp2p.identity import decode_peer_id
from node.net.libp2p.limits import DEFAULT_LIMITS
from node.net.network import GossipMessage, Handler
from protocols.ids import RequestProtocol, Topic, topic_id
from protocols.messages.handshake import Hello
from protocols.types import Hash32, PeerId, Service
from tests.build.clock import FixedClock

LOOPBACK: Final = "/ip4/127.0.0.1/tcp/0"
GENESIS: Final = Hash32(b"integration test genesis".ljust(32))

BOUND_S: Final = 20.0
"""Longest wait for anything: far beyond what it takes, so a slow machine fails no test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RealNode:
    """A running network, the channels of its topics, and what stops it."""

    network: Libp2pNetwork
    inboxes: Mapping[Topic, trio.MemoryReceiveChannel[GossipMessage]]
    scope: trio.CancelScope


def make_hello(*, network: int = 7, genesis: Hash32 = GENESIS) -> Hello:
    """What a node of these tests says of itself."""
    return Hello(
        network=network,
        genesis=genesis,
        version=1,
        services=Service.HEADERS,
        head_number=0,
        head_hash=genesis,
        agent="integration",
    )


def seed_of(name: str) -> bytes:
    """Return the secret of a node by its name."""
    return hashlib.sha256(name.encode()).digest()


def make_network(
    name: str,
    *,
    listen: Sequence[str] = (LOOPBACK,),
    genesis: Hash32 = GENESIS,
    hello: Callable[[], Hello] = make_hello,
    limits: NetworkLimits = DEFAULT_LIMITS,
) -> Libp2pNetwork:
    """Build a network that does not run yet."""
    return Libp2pNetwork(
        seed_of(name),
        listen=listen,
        genesis=genesis,
        hello=hello,
        clock=FixedClock(),
        limits=limits,
    )


async def start(
    nursery: trio.Nursery,
    network: Libp2pNetwork,
    *,
    handlers: Mapping[RequestProtocol, Handler] | None = None,
    topics: Sequence[Topic] = (),
) -> RealNode:
    """Run a network until its scope is cancelled."""
    for protocol, handler in (handlers or {}).items():
        network.serve(protocol, handler)
    inboxes = {topic: network.subscribe(topic) for topic in topics}
    scope: trio.CancelScope = await nursery.start(_run, network)
    return RealNode(network=network, inboxes=inboxes, scope=scope)


@asynccontextmanager
async def running(name: str, **options: object) -> AsyncIterator[RealNode]:
    """Run one node with handlers that echo around the body."""
    network = make_network(name, **options)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        yield await start(
            nursery, network, handlers={RequestProtocol.HEAD: echo}, topics=[Topic.VOTES]
        )
        nursery.cancel_scope.cancel()


async def echo(_peer: PeerId, payload: bytes) -> bytes:
    """Answer with what was asked."""
    return payload


async def meshed(first: RealNode, second: RealNode, topic: Topic, genesis: Hash32) -> None:
    """Wait until messages of a topic flow both ways between two connected nodes."""
    name = topic_id(genesis, topic)
    for one, other in ((first, second), (second, first)):
        pubsub = one.network._gossip._pubsub
        assert pubsub is not None
        await pubsub.wait_for_mesh(decode_peer_id(other.network.peer_id), name, timeout=BOUND_S)


async def _run(network: Libp2pNetwork, *, task_status: trio.TaskStatus[trio.CancelScope]) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(network.run)
            task_status.started(scope)
