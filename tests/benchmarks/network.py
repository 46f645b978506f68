"""Requests between two hosts of one process: ours, and bare py-libp2p beside it.

Both hosts share one core, so figures are for comparing the two, not for planning.
"""

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from protocols.ids import RequestProtocol
from tests.benchmarks.measure import Figure
from tests.integration.nodes import echo, make_network, seed_of, start

PAYLOAD = bytes(200)
ECHO = "/benchmark/echo/1"

Ask = Callable[[], Awaitable[None]]


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
