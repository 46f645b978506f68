"""Two multiplexers over memory, and one against frames by hand, in virtual time."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from node.errors import Fault
from node.net.libp2p.failures import ConnectionLostError, StreamResetError
from node.net.libp2p.frames import WINDOW_BYTES, Flag, Frame, FrameParser, Kind, encode_header
from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.muxer import Muxer
from node.net.libp2p.secure import SecureChannel
from node.net.libp2p.stream import Stream
from protocols.types import PeerId

LIMITS = NetworkLimits(write_stall_s=6.0, window_stall_s=60.0, idle_ping_s=10.0, silence_s=25.0)
SYN_1 = encode_header(Kind.WINDOW_UPDATE, Flag.SYN, 1, 0)


MemoryStream: TypeAlias = (
    "trio.StapledStream[trio.testing.MemorySendStream, trio.testing.MemoryReceiveStream]"
)
PEER = PeerId("peer")
TOO_MUCH = bytes(2 * WINDOW_BYTES)


@dataclass
class Pipe:
    """Implements what a muxer uses of `SecureChannel` and of its socket."""

    stream: MemoryStream
    peer: PeerId = PEER
    blocks: bool = False
    """The socket takes nothing."""

    @property
    def tcp(self) -> "Pipe":
        return self

    async def read_some(self) -> bytes:
        try:
            chunk = bytes(await self.stream.receive_some())
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLostError("reading failed") from error
        if not chunk:
            raise ConnectionLostError("closed by the peer")
        return chunk

    async def write(self, data: bytes) -> None:
        if self.blocks:
            await trio.sleep_forever()
        try:
            await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLostError("writing failed") from error

    def abort(self) -> None:
        self.stream.send_stream.close()
        self.stream.receive_stream.close()


@dataclass
class End:
    """One multiplexer and the streams that it was offered."""

    muxer: Muxer
    pipe: Pipe
    offered: list[Stream] = field(default_factory=list)


def end(pipe: Pipe, *, is_dialler: bool, places: int = 100) -> End:
    offered: list[Stream] = []

    def take(stream: Stream) -> bool:
        if len(offered) >= places:
            return False
        offered.append(stream)
        return True

    channel = cast("SecureChannel", pipe)
    return End(Muxer(channel, LIMITS, is_dialler=is_dialler, on_stream=take), pipe, offered)


@asynccontextmanager
async def two_ends() -> AsyncIterator[tuple[End, End]]:
    """Run a dialler and a listener that are connected."""
    near, far = trio.testing.memory_stream_pair()
    ends = end(Pipe(near), is_dialler=True), end(Pipe(far), is_dialler=False)
    async with trio.open_nursery() as nursery:
        for each in ends:
            nursery.start_soon(each.muxer.run)
        yield ends
        nursery.cancel_scope.cancel()


@dataclass
class Wire:
    """The other side by hand."""

    stream: MemoryStream
    parser: FrameParser = field(default_factory=FrameParser)

    async def send(self, *pieces: bytes) -> None:
        await self.stream.send_all(b"".join(pieces))
        await trio.testing.wait_all_tasks_blocked()

    async def frames(self) -> list[Frame]:
        await trio.testing.wait_all_tasks_blocked()
        return self.parser.feed(bytes(await self.stream.receive_some()))


@asynccontextmanager
async def listener_and_wire(places: int = 100) -> AsyncIterator[tuple[End, Wire]]:
    """Run a listener whose peer is the test itself."""
    near, far = trio.testing.memory_stream_pair()
    one = end(Pipe(near), is_dialler=False, places=places)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.muxer.run)
        yield one, Wire(far)
        nursery.cancel_scope.cancel()


async def read_all(stream: Stream) -> bytes:
    content = b""
    while chunk := await stream.read_some():
        content += chunk
    return content


async def offered(one: End) -> Stream:
    await trio.testing.wait_all_tasks_blocked()
    return one.offered[-1]


async def test_data_larger_than_any_window_both_ways() -> None:
    there, back = bytes(range(256)) * 8192, bytes(range(255, -1, -1)) * 4096
    async with two_ends() as (near, far), trio.open_nursery() as nursery:
        stream = near.muxer.open()
        other = await offered(far)

        async def write(side: Stream, content: bytes) -> None:
            await side.write(content)
            side.finish()

        nursery.start_soon(write, stream, there)
        nursery.start_soon(write, other, back)
        received: list[bytes] = []

        async def read(side: Stream) -> None:
            received.append(await read_all(side))

        async with trio.open_nursery() as reading:
            reading.start_soon(read, stream)
            reading.start_soon(read, other)
        assert sorted(received) == sorted([there, back])
        assert stream.is_gone
        assert other.is_gone
        assert (near.muxer.open_streams, far.muxer.open_streams) == (0, 0)


async def test_many_streams_do_not_mix() -> None:
    async with two_ends() as (near, far):
        streams = [near.muxer.open() for _ in range(20)]
        async with trio.open_nursery() as nursery:
            for number, stream in enumerate(streams):
                nursery.start_soon(stream.write, bytes([number]) * 100_000)
        for stream in streams:
            stream.finish()
        await trio.testing.wait_all_tasks_blocked()
        assert [await read_all(other) for other in far.offered] == [
            bytes([number]) * 100_000 for number in range(20)
        ]


async def test_half_closed_stream_still_carries_the_answer() -> None:
    async with two_ends() as (near, far):
        stream = near.muxer.open()
        await stream.write(b"question")
        stream.finish()
        other = await offered(far)
        assert await read_all(other) == b"question"
        await other.write(b"answer")
        other.finish()
        assert await read_all(stream) == b"answer"


@pytest.mark.parametrize("resetting", ["near", "far"])
async def test_reset_wakes_both_sides(resetting: str) -> None:
    async with two_ends() as (near, far):
        stream = near.muxer.open()
        other = await offered(far)
        (stream if resetting == "near" else other).reset()
        for side in (stream, other):
            with pytest.raises(StreamResetError):
                await side.read_some()
            with pytest.raises(StreamResetError):
                await side.write(b"x")
        assert (near.muxer.open_streams, far.muxer.open_streams) == (0, 0)
        assert near.muxer.lost is None


async def test_exact_reading() -> None:
    async with two_ends() as (near, far):
        stream = near.muxer.open()
        await stream.write(b"abcdef")
        stream.finish()
        other = await offered(far)
        assert [await other.read_exactly(2), await other.read_exactly(3)] == [b"ab", b"cde"]
        with pytest.raises(StreamResetError):
            await other.read_exactly(2)


async def test_writer_without_credit_gives_up_in_time(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with listener_and_wire() as (one, wire):
        await wire.send(SYN_1)
        stream = one.offered[0]
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_alive, wire)
            with pytest.raises(StreamResetError):
                await stream.write(bytes(WINDOW_BYTES + 1))
            nursery.cancel_scope.cancel()
        assert trio.current_time() - started == LIMITS.window_stall_s
        assert one.muxer.lost is None


async def keep_alive(wire: Wire) -> None:
    while True:
        await trio.sleep(1)
        await wire.stream.send_all(encode_header(Kind.PING, Flag.ACK, 0, 0))
        await wire.stream.receive_some()


async def test_credit_wakes_the_writer_at_once(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with listener_and_wire() as (one, wire):
        await wire.send(SYN_1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.offered[0].write, bytes(WINDOW_BYTES + 5))
            await wire.send()
            sent = await wire.frames()
            assert sum(len(frame.payload) for frame in sent) == WINDOW_BYTES
            await wire.send(encode_header(Kind.WINDOW_UPDATE, 0, 1, 3))
            assert await wire.frames() == [Frame(Kind.DATA, 0, 1, 3, bytes(3))]
            await wire.send(encode_header(Kind.WINDOW_UPDATE, 0, 1, 9))
        assert await wire.frames() == [Frame(Kind.DATA, 0, 1, 2, bytes(2))]


async def test_credit_is_given_back_at_half_a_window() -> None:
    async with listener_and_wire() as (one, wire):
        await wire.send(SYN_1)
        await wire.frames()
        for _ in range(4):
            await wire.send(encode_header(Kind.DATA, 0, 1, 60_000) + bytes(60_000))
            await one.offered[0].read_exactly(60_000)
        assert await wire.frames() == [Frame(Kind.WINDOW_UPDATE, 0, 1, 180_000)]


async def test_socket_that_takes_nothing_ends_the_connection(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with listener_and_wire() as (one, wire):
        one.pipe.blocks = True
        await wire.send(SYN_1)
        await one.muxer.closed.wait()
        assert trio.current_time() == LIMITS.write_stall_s
        assert one.muxer.lost is not None
        assert one.muxer.lost.fault is Fault.TOO_SLOW
        with pytest.raises(ConnectionLostError):
            await one.offered[0].read_some()


async def test_silent_peer_is_asked_and_then_left(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with listener_and_wire() as (one, wire):
        await trio.sleep(LIMITS.idle_ping_s + 0.1)
        assert await wire.frames() == [Frame(Kind.PING, Flag.SYN, 0, 0)]
        await one.muxer.closed.wait()
        assert trio.current_time() == LIMITS.silence_s
        assert one.muxer.lost is not None
        assert one.muxer.lost.fault is None


async def test_answered_ping_keeps_the_connection(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with two_ends() as (near, far):
        await trio.sleep(1000)
        assert (near.muxer.lost, far.muxer.lost) == (None, None)


async def test_ping_is_answered() -> None:
    async with listener_and_wire() as (_one, wire):
        await wire.send(encode_header(Kind.PING, Flag.SYN, 0, 77))
        assert await wire.frames() == [Frame(Kind.PING, Flag.ACK, 0, 77)]


async def test_questions_without_reading_end_the_connection() -> None:
    async with listener_and_wire() as (one, wire):
        one.pipe.blocks = True
        await wire.send(encode_header(Kind.PING, Flag.SYN, 0, 1) * 10_000)
        await one.muxer.closed.wait()
        assert one.muxer.lost is not None
        assert one.muxer.lost.fault is Fault.FLOODING


async def test_stream_without_place_is_reset() -> None:
    async with listener_and_wire(places=1) as (one, wire):
        await wire.send(SYN_1, encode_header(Kind.DATA, Flag.SYN, 3, 2) + b"hi")
        assert await wire.frames() == [
            Frame(Kind.WINDOW_UPDATE, Flag.ACK, 1, 0),
            Frame(Kind.WINDOW_UPDATE, Flag.RST, 3, 0),
        ]
        await wire.send(encode_header(Kind.DATA, Flag.FIN, 3, 2) + b"hi")
        assert (len(one.offered), one.muxer.lost) == (1, None)


async def test_data_and_end_may_come_with_the_opening_frame() -> None:
    async with listener_and_wire() as (one, wire):
        await wire.send(encode_header(Kind.DATA, Flag.SYN | Flag.FIN, 1, 2) + b"hi")
        assert await read_all(one.offered[0]) == b"hi"


@pytest.mark.parametrize(
    ("frames", "fault"),
    [
        (SYN_1 + SYN_1, Fault.MALFORMED),
        (encode_header(Kind.WINDOW_UPDATE, Flag.SYN, 2, 0), Fault.MALFORMED),
        (encode_header(Kind.WINDOW_UPDATE, Flag.SYN, 0, 0), Fault.MALFORMED),
        (SYN_1 + encode_header(Kind.WINDOW_UPDATE, 0, 1, 2**32 - 1), Fault.MALFORMED),
        (b"\1" * 12, Fault.MALFORMED),
        (
            SYN_1 + 5 * (encode_header(Kind.DATA, 0, 1, 60_000) + bytes(60_000)),
            Fault.FLOODING,
        ),
        (
            encode_header(Kind.DATA, Flag.SYN | Flag.FIN, 1, 0)
            + encode_header(Kind.DATA, 0, 1, 1)
            + b"x",
            Fault.MALFORMED,
        ),
        (encode_header(Kind.GO_AWAY, 0, 0, 0), None),
    ],
)
async def test_frames_that_end_the_connection(frames: bytes, fault: Fault | None) -> None:
    async with listener_and_wire() as (one, wire):
        await wire.send(frames)
        await one.muxer.closed.wait()
        assert one.muxer.lost is not None
        assert one.muxer.lost.fault is fault
        with pytest.raises(ConnectionLostError):
            one.muxer.open()


async def test_frames_for_no_stream_are_ignored() -> None:
    async with listener_and_wire() as (one, wire):
        for flags in (0, Flag.ACK, Flag.FIN, Flag.RST):
            await wire.send(encode_header(Kind.DATA, flags, 9, 1) + b"x")
        assert one.muxer.lost is None


async def test_what_came_before_the_end_can_be_read() -> None:
    async with listener_and_wire() as (one, wire):
        await wire.send(SYN_1, encode_header(Kind.DATA, 0, 1, 4) + b"last")
        await wire.send(encode_header(Kind.GO_AWAY, 0, 0, 0))
        assert await one.offered[0].read_some() == b"last"
        with pytest.raises(ConnectionLostError):
            await one.offered[0].read_some()


async def test_close_says_goodbye_after_what_was_queued() -> None:
    async with listener_and_wire() as (one, wire):
        await wire.send(SYN_1)
        await one.offered[0].write(b"last words")
        await one.muxer.close()
        assert [frame.kind for frame in await wire.frames()] == [
            Kind.WINDOW_UPDATE,
            Kind.DATA,
            Kind.GO_AWAY,
        ]


async def test_close_does_not_wait_for_a_stuck_socket(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with listener_and_wire() as (one, _wire):
        one.pipe.blocks = True
        await one.muxer.close()
        assert trio.current_time() == LIMITS.close_timeout_s / 4


async def test_cancelled_writes_leave_whole_frames(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    async with two_ends() as (near, far):
        for _ in range(10):
            stream = near.muxer.open()
            with trio.move_on_after(0.1):
                await stream.write(TOO_MUCH)
            stream.reset()
        stream = near.muxer.open()
        await stream.write(b"whole")
        stream.finish()
        assert await read_all(await offered(far)) == b"whole"


def _abort(muxer: Muxer) -> None:
    muxer.abort("test")


@pytest.mark.parametrize("end_it", [_abort, lambda muxer: muxer._scope.cancel()])
async def test_end_wakes_readers_and_writers(end_it: Callable[[Muxer], None]) -> None:
    async with two_ends() as (near, _far):
        lost = 0

        async def wait(action: str) -> None:
            nonlocal lost
            stream = near.muxer.open()
            waiting = stream.read_some() if action == "read" else stream.write(TOO_MUCH)
            with pytest.raises(ConnectionLostError):
                await waiting
            lost += 1

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait, "read")
            nursery.start_soon(wait, "write")
            await trio.testing.wait_all_tasks_blocked()
            end_it(near.muxer)
        assert lost == 2
