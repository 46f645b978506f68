"""Requests and gossip between hosts of one process: ours, and bare py-libp2p beside it.

All hosts share one core, so figures are for comparing the two, not for planning.
"""

import contextlib
import itertools
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.net.network import Verdict
from protocols.ids import RequestProtocol, Topic, topic_id
from tests.benchmarks.measure import Figure, percentile
from tests.integration.nodes import GENESIS, echo, make_network, seed_of, start

PAYLOAD = bytes(200)
TOPIC = topic_id(GENESIS, Topic.VOTES)
ECHO = "/benchmark/echo/1"
DIALS = 4
"""Earlier hosts that each host dials: the mesh is then about as large as in a real network."""

Ask = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Gossiper:
    """A host that publishes, and hears what others have published."""

    publish: Callable[[bytes], Awaitable[None]]
    hear: Callable[[], Awaitable[bytes]]


def request_rate(quick: bool) -> list[Figure]:
    """Measure requests per second of 200 bytes on new streams, by concurrency."""
    count = 200 if quick else 2000
    figures = []
    for concurrency in (1, 8, 64):
        ours = trio.run(_rate, our_pair, concurrency, count)
        bare = trio.run(_rate, bare_pair, concurrency, count)
        figures.append(
            Figure(
                name="request_rate",
                value=ours,
                unit="requests/s",
                aim="ratio >= 1",
                limit=bare,
                ratio=ours / bare,
                details={"concurrency": concurrency, "processes": 1},
            )
        )
    return figures


def gossip_latency(quick: bool) -> list[Figure]:
    """Measure the time from publishing to the application of every other host."""
    figures = []
    count = 20 if quick else 100
    for hosts, size in ((4, 1_000), (8, 1_000), (8, 100_000)):
        ours = trio.run(_latencies, our_gossipers, hosts, size, count)
        bare = trio.run(_latencies, bare_gossipers, hosts, size, count)
        for share in (0.5, 0.99):
            value, limit = percentile(ours, share), percentile(bare, share)
            figures.append(
                Figure(
                    name=f"gossip_p{share * 100:.0f}",
                    value=value * 1000,
                    unit="ms",
                    aim="ratio <= 1.3",
                    limit=limit * 1000,
                    ratio=value / limit,
                    details={
                        "hosts": hosts,
                        "bytes": size,
                        "delivered": len(ours) / (count * (hosts - 1)),
                        "delivered_bare": len(bare) / (count * (hosts - 1)),
                    },
                )
            )
    return figures


@asynccontextmanager
async def our_pair() -> AsyncIterator[Ask]:
    """Run two of our nodes; the call makes one request."""
    async with trio.open_nursery() as nursery:
        serving = await start(
            nursery, make_network("serving"), handlers={RequestProtocol.MISSING_BLOCKS: echo}
        )
        asking = await start(nursery, make_network("asking"))
        peer = await asking.network.connect(serving.network.listen_addresses[0])

        async def ask() -> None:
            await asking.network.request(peer, RequestProtocol.MISSING_BLOCKS, PAYLOAD)

        yield ask
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def bare_pair() -> AsyncIterator[Ask]:
    """Run two stock hosts; the call makes one request."""
    async with _bare_host("serving") as serving, _bare_host("asking") as asking:
        serving.set_stream_handler(ECHO, _bare_echo)
        await asking.connect(info_from_p2p_addr(serving.get_addrs()[0]))

        async def ask() -> None:
            stream = await asking.new_stream(serving.get_id(), [ECHO])
            await stream.write(PAYLOAD)
            received = 0
            while received < len(PAYLOAD):
                received += len(await stream.read(len(PAYLOAD)))
            await stream.close()

        yield ask


@asynccontextmanager
async def our_gossipers(hosts: int) -> AsyncIterator[Sequence[Gossiper]]:
    """Run nodes of ours that accept everything at once."""
    async with trio.open_nursery() as nursery:
        nodes = [
            await start(nursery, make_network(f"gossip {n}"), topics=[Topic.VOTES])
            for n in range(hosts)
        ]
        for one, other in _links(nodes):
            await one.network.connect(other.network.listen_addresses[0])

        def gossiper(node: Any) -> Gossiper:
            async def hear() -> bytes:
                message = await node.inboxes[Topic.VOTES].receive()
                node.network.resolve(message.id, Verdict.ACCEPT)
                return bytes(message.payload)

            return Gossiper(lambda payload: node.network.publish(Topic.VOTES, payload), hear)

        yield [gossiper(node) for node in nodes]
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def bare_gossipers(hosts: int) -> AsyncIterator[Sequence[Gossiper]]:
    """Run stock hosts with the same gossipsub settings and no validator."""
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(hosts):
            host = await stack.enter_async_context(_bare_host(f"gossip {number}"))
            router = GossipSub(
                ["/meshsub/1.1.0"], 6, 4, 12, heartbeat_interval=1, spam_protection_enabled=False
            )
            pubsub = Pubsub(host, router, strict_signing=True)
            stack.callback(pubsub.seen_messages.stop)
            await stack.enter_async_context(background_trio_service(pubsub))
            await stack.enter_async_context(background_trio_service(router))
            await pubsub.wait_until_ready()
            nodes.append((host, pubsub, await pubsub.subscribe(TOPIC)))
        for (one, _, _), (other, _, _) in _links(nodes):
            await one.connect(info_from_p2p_addr(other.get_addrs()[0]))

        def gossiper(node: Any) -> Gossiper:
            host, pubsub, subscription = node

            async def hear() -> bytes:
                while (message := await subscription.get()).from_id == host.get_id().to_bytes():
                    pass
                return bytes(message.data)

            return Gossiper(lambda payload: pubsub.publish(TOPIC, payload), hear)

        yield [gossiper(node) for node in nodes]


async def _rate(pair: Any, concurrency: int, count: int) -> float:
    async with pair() as ask:
        await ask()

        async def work() -> None:
            for _ in range(count // concurrency):
                await ask()

        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(concurrency):
                nursery.start_soon(work)
        return count // concurrency * concurrency / (time.perf_counter() - started)


async def _latencies(gossipers: Any, hosts: int, size: int, count: int) -> list[float]:
    """Return the seconds from publishing to each hearing."""
    latencies: list[float] = []
    async with gossipers(hosts) as nodes, trio.open_nursery() as nursery:

        async def listen(node: Gossiper) -> None:
            while True:
                payload = await node.hear()
                latencies.append(time.perf_counter() - float(payload[:20]))

        for node in nodes:
            nursery.start_soon(listen, node)
        await trio.sleep(3)  # A few heartbeats: every mesh is formed.
        for _number, node in zip(range(count), itertools.cycle(nodes), strict=False):
            stamp = f"{time.perf_counter():.9f}".rjust(20).encode()
            await node.publish(stamp + bytes(size - len(stamp)))
            await trio.sleep(0.05)
        await trio.sleep(2)
        nursery.cancel_scope.cancel()
    return latencies


def _links(nodes: Sequence[Any]) -> list[tuple[Any, Any]]:
    """Return who dials whom: each the few before it."""
    return [
        (nodes[number], other)
        for number in range(len(nodes))
        for other in nodes[max(number - DIALS, 0) : number]
    ]


@asynccontextmanager
async def _bare_host(name: str) -> AsyncIterator[Any]:
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    host = new_host(key_pair=create_new_key_pair(seed_of(name)))
    async with host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        yield host


async def _bare_echo(stream: Any) -> None:
    # An error that leaves a handler ends a stock host.
    with contextlib.suppress(StreamError):
        await stream.write(await stream.read(len(PAYLOAD)))
        await stream.close()
