"""A peer that does what it likes: raw sockets, raw Noise, raw Yamux frames.

It is built for any libp2p host, so that an attack can be tried on a stock one by hand.
"""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import trio

from node.net.libp2p import multistream
from node.net.libp2p.addresses import HostPort, parse_address
from node.net.libp2p.connection import upgrade_outbound
from node.net.libp2p.failures import ConnectionLostError
from node.net.libp2p.frames import (
    MAX_PAYLOAD_BYTES,
    Flag,
    Frame,
    FrameParser,
    Kind,
    encode_header,
)
from node.net.libp2p.identity import Identity
from node.net.libp2p.secure import SecureChannel
from node.net.libp2p.tcp import TcpStream, open_tcp
from protocols.frames import encode_frames, encode_varint
from protocols.ids import RequestProtocol, protocol_id
from protocols.types import Hash32, PeerId
from tests.integration.nodes import BOUND_S, GENESIS, RealNode, make_hello, seed_of

GARBAGE = bytes(range(255, 0, -1)) * 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Whom to attack."""

    place: HostPort
    peer: PeerId
    genesis: Hash32 = GENESIS
    speaks_hello: bool = True
    """A stock host does not, and needs none."""
    opened: list[TcpStream] = field(default_factory=list)
    """Every socket towards it; most attackers leave theirs open."""

    @classmethod
    def of(cls, node: RealNode) -> Self:
        place, peer = parse_address(node.network.listen_addresses[0])
        assert peer is not None
        return cls(place=place, peer=peer)

    async def tcp(self) -> TcpStream:
        """Connect and do nothing else."""
        tcp = await open_tcp(self.place)
        self.opened.append(tcp)
        return tcp

    def hang_up(self) -> None:
        """Close every socket."""
        for tcp in self.opened:
            tcp.abort()

    def protocol(self, protocol: RequestProtocol) -> str:
        return protocol_id(self.genesis, protocol)


@dataclass(slots=True)
class Attacker:
    """One connection up to Yamux, frames by hand."""

    target: Target
    channel: SecureChannel
    identity: Identity
    next_id: int = 1
    offered: list[int] = field(default_factory=list)
    """Streams that the target has opened."""
    _parser: FrameParser = field(default_factory=FrameParser)
    _frames: list[Frame] = field(default_factory=list)

    @classmethod
    async def dial(cls, target: Target, name: str = "attacker") -> Self:
        """Connect, Noise, Yamux."""
        identity = Identity.from_seed(seed_of(name))
        tcp = await target.tcp()
        channel = await upgrade_outbound(tcp, identity, target.peer)
        return cls(target, channel, identity)

    @classmethod
    async def join(cls, target: Target, name: str = "attacker") -> Self:
        """Connect and finish the handshake like an honest peer."""
        attacker = await cls.dial(target, name)
        if target.speaks_hello:
            hello = make_hello(genesis=target.genesis).encode()
            await attacker.ask(RequestProtocol.HANDSHAKE, hello)
        return attacker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.channel.tcp.abort()

    async def send(self, *pieces: bytes) -> None:
        """Write raw bytes behind Noise. A target that has hung up already is as good."""
        try:
            await self.channel.write(b"".join(pieces))
        except ConnectionLostError:
            return

    def open(self) -> tuple[int, bytes]:
        """Return a new stream number and the frame that opens it."""
        stream_id, self.next_id = self.next_id, self.next_id + 2
        return stream_id, encode_header(Kind.WINDOW_UPDATE, Flag.SYN, stream_id, 0)

    async def start(self, protocol: str, *more: bytes) -> int:
        """Open a stream, propose a protocol, write what follows, and leave it open."""
        stream_id, syn = self.open()
        names = multistream.encode(multistream.HELLO, protocol)
        await self.send(syn, *data_frames(stream_id, names + b"".join(more)))
        return stream_id

    async def start_agreed(self, protocol: str) -> int:
        """Open a stream and wait until the target has agreed to the protocol."""
        stream_id, answer = await self.start(protocol), b""
        while not answer.endswith(f"{protocol}\n".encode()):
            frame = await self.next_frame()
            answer += frame.payload if frame.stream_id == stream_id else b""
        return stream_id

    async def is_answered(self) -> None:
        """Wait for the answer to a ping of Yamux: the connection is up at the other end."""
        await self.send(encode_header(Kind.PING, Flag.SYN, 0, 1))
        while (await self.next_frame()).kind is not Kind.PING:
            pass

    async def ask(self, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Make a request like an honest peer and return all that comes back, names included."""
        framed = b"".join(encode_frames(payload))
        stream_id = await self.start(self.target.protocol(protocol), framed)
        await self.send(fin_frame(stream_id))
        answer = b""
        while True:
            frame = await self.next_frame()
            if frame.stream_id == stream_id:
                answer += frame.payload
                if frame.flags & (Flag.FIN | Flag.RST):
                    return answer

    async def gossip(self, *rpcs: bytes) -> int:
        """Open a gossip stream and write RPCs, whatever they are."""
        delimited = [encode_varint(len(rpc)) + rpc for rpc in rpcs]
        return await self.start("/meshsub/1.1.0", *delimited)

    async def next_frame(self) -> Frame:
        """Return the next frame that comes. Ends with ConnectionLostError."""
        while not self._frames:
            self._frames += self._parser.feed(await self.channel.read_some())
        frame = self._frames.pop(0)
        if frame.kind is Kind.WINDOW_UPDATE and frame.flags & Flag.SYN:
            self.offered.append(frame.stream_id)
        return frame

    async def until_hung_up(self) -> None:
        """Read until the target closes the connection."""
        with trio.fail_after(BOUND_S):
            try:
                while True:
                    await self.next_frame()
            except ConnectionLostError:
                return

    async def until_reset(self, stream_id: int) -> None:
        """Read until the target gives a stream up."""
        with trio.fail_after(BOUND_S):
            while True:
                frame = await self.next_frame()
                if frame.stream_id == stream_id and frame.flags & Flag.RST:
                    return


def data_frames(stream_id: int, data: bytes) -> list[bytes]:
    """Return data as frames of the largest size, whatever the window is."""
    return [
        encode_header(Kind.DATA, 0, stream_id, len(piece)) + piece
        for start in range(0, len(data), MAX_PAYLOAD_BYTES)
        if (piece := data[start : start + MAX_PAYLOAD_BYTES])
    ]


def fin_frame(stream_id: int) -> bytes:
    return encode_header(Kind.WINDOW_UPDATE, Flag.FIN, stream_id, 0)


def credit_frame(stream_id: int) -> bytes:
    return encode_header(Kind.WINDOW_UPDATE, Flag.NONE, stream_id, 2**30)


def reset_frame(stream_id: int) -> bytes:
    return encode_header(Kind.WINDOW_UPDATE, Flag.RST, stream_id, 0)


async def tcp_until_hung_up(tcp: TcpStream) -> None:
    """Read until the target closes the connection."""
    with trio.fail_after(BOUND_S):
        try:
            while True:
                await tcp.read()
        except ConnectionLostError:
            return
