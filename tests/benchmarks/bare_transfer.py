"""Moving bytes between two processes with bare py-libp2p: the floor below everything fetched."""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from multiaddr import Multiaddr

from node.testnet.ports import free_ports
from node.testnet.zygote import Job
from tests.benchmarks.processes import Main, run_to_the_end
from tests.integration.nodes import seed_of

PROTOCOL: Final = TProtocol("/benchmark/bytes/1")
AT_ONCE: Final = 4
"""Open questions, as a node has them open at one peer."""

NUMBER_BYTES: Final = 4
TIMEOUT_S: Final = 300


def bare_seconds(total: int, answer_bytes: int) -> float:
    """Return how long it takes to fetch so many bytes in answers of one size.

    Both hosts are stock: Noise, Yamux, one stream for each answer.
    """
    with TemporaryDirectory() as text:
        folder = Path(text)
        (port,) = free_ports(1, Random())
        count = -(-total // answer_bytes)
        jobs = [
            Job("server", folder / "server.log", _server(port)),
            Job("client", folder / "client.log", _client(folder, port, count, answer_bytes)),
        ]
        run_to_the_end(folder, jobs, TIMEOUT_S)
        return float(json.loads((folder / "seconds.json").read_text()))


def _server(port: int) -> Main:
    def main(ready: Callable[[], None]) -> int:
        trio.run(_serve, port, ready)
        return 0

    return main


def _client(folder: Path, port: int, count: int, answer_bytes: int) -> Main:
    def main(ready: Callable[[], None]) -> int:
        spent = trio.run(_fetch, port, count, answer_bytes)
        (folder / "seconds.json").write_text(json.dumps(spent))
        ready()
        return 0

    return main


async def _serve(port: int, ready: Callable[[], None]) -> None:
    payload = Random(0).randbytes(2**20)

    async def answer(stream: Any) -> None:
        size = int.from_bytes(await stream.read(NUMBER_BYTES), "big")
        await stream.write(payload[:size])
        await stream.close()

    host = _host("bare server")
    host.set_stream_handler(PROTOCOL, answer)
    async with host.run([Multiaddr(f"/ip4/127.0.0.1/tcp/{port}")]):
        ready()
        await trio.sleep_forever()


async def _fetch(port: int, count: int, answer_bytes: int) -> float:
    server, client = _host("bare server"), _host("bare client")
    address = Multiaddr(f"/ip4/127.0.0.1/tcp/{port}/p2p/{server.get_id()}")
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            stream = await client.new_stream(server.get_id(), [PROTOCOL])
            await stream.write(answer_bytes.to_bytes(NUMBER_BYTES, "big"))
            received = 0
            while received < answer_bytes:
                received += len(await stream.read(answer_bytes))
            await stream.close()

    async with client.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        await _connect(client, address)
        start = time.perf_counter()
        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(work)
        return time.perf_counter() - start


async def _connect(client: Any, address: Multiaddr) -> None:
    while True:
        try:
            await client.connect(info_from_p2p_addr(address))
        # The server may not listen yet; py-libp2p raises what its layers do.
        except OSError:
            await trio.sleep(0.05)
        else:
            return


def _host(name: str) -> Any:
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    key_pair = create_new_key_pair(seed_of(name))
    noise = NoiseTransport(key_pair, create_noise_key_pair().private_key)
    return new_host(
        key_pair=key_pair,
        sec_opt={TProtocol("/noise"): noise},
        muxer_opt={TProtocol(YAMUX): Yamux},
    )
