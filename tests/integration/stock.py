"""An unmodified py-libp2p host that speaks our protocols: the other implementation."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from protocols.frames import FrameReader, encode_frames
from protocols.ids import RequestProtocol, Topic, protocol_id, topic_id
from protocols.types import PeerId
from tests.integration.nodes import BOUND_S, GENESIS, make_hello, seed_of


@dataclass(frozen=True, slots=True)
class StockNode:
    """A host, its gossip, and what it hears of one topic."""

    host: Any
    pubsub: Any
    subscription: Any

    @property
    def address(self) -> str:
        return str(self.host.get_addrs()[0])

    @property
    def peer_id(self) -> PeerId:
        return PeerId(str(self.host.get_id()))

    async def connect(self, address: str) -> None:
        """Dial one of our nodes and introduce ourselves."""
        info = info_from_p2p_addr(Multiaddr(address))
        await self.host.connect(info)
        hello = make_hello().encode()
        assert await self.ask(PeerId(str(info.peer_id)), RequestProtocol.HANDSHAKE, hello) == hello

    async def ask(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Make one request with stock streams."""
        info = next(each for each in self.host.get_connected_peers() if str(each) == peer)
        stream = await self.host.new_stream(info, [protocol_id(GENESIS, protocol)])
        await stream.write(b"".join(encode_frames(payload)))
        await stream.close_write()
        return await _read_payload(stream)


@asynccontextmanager
async def stock_node(topic: Topic) -> AsyncIterator[StockNode]:
    """Run a stock host with gossipsub around the body."""
    host = new_host(key_pair=create_new_key_pair(seed_of("stock")))
    for protocol in (RequestProtocol.HANDSHAKE, RequestProtocol.HEAD):
        host.set_stream_handler(protocol_id(GENESIS, protocol), _echo)
    router = GossipSub(["/meshsub/1.1.0"], 6, 4, 12, heartbeat_interval=1)
    pubsub = Pubsub(host, router, strict_signing=True)
    async with (
        host.run([Multiaddr("/ip4/127.0.0.1/tcp/0")]),
        background_trio_service(pubsub),
        background_trio_service(router),
    ):
        await pubsub.wait_until_ready()
        try:
            yield StockNode(host, pubsub, await pubsub.subscribe(topic_id(GENESIS, topic)))
        finally:
            pubsub.seen_messages.stop()
            with trio.CancelScope(shield=True):
                await host.close()


async def _echo(stream: Any) -> None:
    """Answer every request, the handshake too, with the same bytes."""
    payload = await _read_payload(stream)
    for frame in encode_frames(payload):
        await stream.write(frame)
    await stream.close()


async def _read_payload(stream: Any) -> bytes:
    reader, pieces = FrameReader(maximum=2**24), []
    with trio.fail_after(BOUND_S):
        try:
            while chunk := await stream.read(2**16):
                pieces += reader.feed(chunk)
        except StreamEOF:
            pass
    reader.finish()
    return b"".join(pieces)
