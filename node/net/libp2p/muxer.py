"""Yamux over one secure channel: a task that reads, one that writes, one that asks for life.

The reader never waits: what must be said in answer is queued. The writer takes the queue in large
pieces; if the socket takes nothing for `write_stall_s`, the connection is over. So no task ever
waits for the socket inside a frame, and no write has to be shielded: py-libp2p's `_write_frame`
(yamux.py 852) does both wrong, a cancelled write leaves half a frame and bricks the connection.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.errors import Fault
from node.net.libp2p.failures import ConnectionLostError, StreamResetError
from node.net.libp2p.frames import Flag, Frame, FrameParser, Kind, encode_header
from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.secure import SecureChannel
from node.net.libp2p.stream import Stream
from protocols.errors import WireError

YAMUX: Final = "/yamux/1.0.0"

BATCH_BYTES: Final = 128 * 1024
"""Handed to the socket in one piece: two Noise messages."""

ROOM_BYTES: Final = 256 * 1024
"""Streams wait while more is queued: a bound on memory, and on how long a small message of another
stream waits behind a large one."""

MAX_QUEUED: Final = 4096
"""Frames. Answers to pings and opened streams do not wait for room; so many of them unsent means
a peer that asks without reading."""

MAX_STREAM_ID: Final = 2**32 - 2

MAX_CREDIT: Final = 2**31
"""More credit for one stream than this is nonsense."""


class Muxer:
    """All streams of one connection."""

    def __init__(
        self,
        channel: SecureChannel,
        limits: NetworkLimits,
        *,
        is_dialler: bool,
        on_stream: Callable[[Stream], bool],
    ) -> None:
        """Take over a channel on which Yamux has been agreed.

        Args:
            channel: Nobody else may use it from now on.
            limits: Stalls, silence and counts.
            is_dialler: Diallers use odd stream numbers.
            on_stream: Is offered each stream that the peer opens; False resets it. Must not wait,
                and must not use the stream before it has returned.
        """
        self.peer = channel.peer
        self.window_stall_s = limits.window_stall_s
        self.closed = trio.Event()
        self.lost: ConnectionLostError | None = None
        """Why it closed, once it has."""
        self._channel = channel
        self._limits = limits
        self._on_stream = on_stream
        self._streams: dict[int, Stream] = {}
        self._next_id = 1 if is_dialler else 2
        self._queue: deque[bytes | memoryview] = deque()
        self._queued_bytes = 0
        self._filled = trio.Event()
        self._drained = trio.Event()
        self._heard_at = trio.current_time()
        self._scope = trio.CancelScope()

    @property
    def open_streams(self) -> int:
        """Streams of both sides that are not gone."""
        return len(self._streams)

    async def run(self) -> None:
        """Serve until the connection is over, whoever ends it. Cancelling ends it."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    for loop in (self._read, self._write, self._watch):
                        nursery.start_soon(self._until_lost, loop)
        finally:
            self.abort("ended by us")

    def open(self) -> Stream:
        """Open a stream. Nothing is sent before the first write.

        Raises:
            ConnectionLostError: The connection is over.
        """
        if self.lost is not None:
            raise ConnectionLostError(str(self.lost))
        if self._next_id > MAX_STREAM_ID:
            self.abort("stream numbers used up")
            raise ConnectionLostError("stream numbers used up")
        stream_id, self._next_id = self._next_id, self._next_id + 2
        stream = self._streams[stream_id] = Stream(self, stream_id)
        self.enqueue(encode_header(Kind.WINDOW_UPDATE, Flag.SYN, stream_id, 0))
        return stream

    async def close(self) -> None:
        """Say goodbye, give what is queued a moment, then end. Cancelling ends it at once."""
        self.enqueue(encode_header(Kind.GO_AWAY, Flag.NONE, 0, 0))
        try:
            with trio.move_on_after(self._limits.close_timeout_s / 4):
                while self._queued_bytes and self.lost is None:
                    await self._drained.wait()
        finally:
            self.abort("ended by us")

    def abort(self, reason: str, fault: Fault | None = None) -> None:
        """End the connection at once. Every task that waits on one of its streams wakes."""
        if self.lost is not None:
            return
        self.lost = ConnectionLostError(reason, fault)
        self._channel.tcp.abort()
        self._scope.cancel()
        self._queue.clear()
        self._queued_bytes = 0
        for stream in list(self._streams.values()):
            stream.on_lost(self.lost)
        self._drained.set()
        self.closed.set()

    def enqueue(self, *pieces: bytes | memoryview) -> None:
        """Queue a frame to be written. Lost with the connection, like everything queued."""
        if self.lost is not None:
            return
        self._queue.extend(pieces)
        self._queued_bytes += sum(map(len, pieces))
        self._filled.set()
        if len(self._queue) > MAX_QUEUED:
            self.abort("peer asks without reading", Fault.FLOODING)

    async def wait_for_room(self) -> None:
        """Return when the queue is short enough for more data."""
        while self._queued_bytes > ROOM_BYTES and self.lost is None:
            await self._drained.wait()

    def forget(self, stream_id: int) -> None:
        """Drop a stream that is gone."""
        self._streams.pop(stream_id, None)

    async def _until_lost(self, loop: Callable[[], Awaitable[None]]) -> None:
        try:
            await loop()
        except ConnectionLostError as error:
            self.abort(str(error), error.fault)
        except WireError as error:
            self.abort(str(error), Fault.MALFORMED)

    async def _read(self) -> None:
        parser = FrameParser()
        while True:
            chunk = await self._channel.read_some()
            self._heard_at = trio.current_time()
            for frame in parser.feed(chunk):
                self._take(frame)

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            batch = self._next_batch()
            with trio.move_on_after(self._limits.write_stall_s) as writing:
                await self._channel.write(batch)
            if writing.cancelled_caught:
                raise ConnectionLostError("peer does not read", Fault.TOO_SLOW)
            self._queued_bytes -= len(batch)
            self._drained.set()
            self._drained = trio.Event()

    def _next_batch(self) -> bytes:
        pieces, size = [], 0
        while self._queue and size < BATCH_BYTES:
            piece = self._queue.popleft()
            pieces.append(piece)
            size += len(piece)
        if not self._queue:
            self._filled = trio.Event()
        return b"".join(pieces)

    async def _watch(self) -> None:
        """Ask a silent peer for life; py-libp2p never notices one that is gone without a FIN."""
        limits = self._limits
        while True:
            await trio.sleep_until(self._heard_at + limits.idle_ping_s)
            if trio.current_time() < self._heard_at + limits.idle_ping_s:
                continue
            self.enqueue(encode_header(Kind.PING, Flag.SYN, 0, 0))
            silent_at = self._heard_at + limits.silence_s
            await trio.sleep_until(silent_at)
            if self._heard_at + limits.silence_s <= silent_at:
                raise ConnectionLostError("peer is silent")

    def _take(self, frame: Frame) -> None:
        match frame.kind:
            case Kind.DATA | Kind.WINDOW_UPDATE:
                self._take_stream_frame(frame)
            case Kind.PING:
                if frame.flags & Flag.SYN:
                    self.enqueue(encode_header(Kind.PING, Flag.ACK, 0, frame.length))
            case Kind.GO_AWAY:
                raise ConnectionLostError("closed by the peer")

    def _take_stream_frame(self, frame: Frame) -> None:
        if frame.flags & Flag.SYN:
            self._on_opened(frame.stream_id)
        stream = self._streams.get(frame.stream_id)
        if stream is None:
            # Frames may still be under way for a stream that we gave up.
            return
        if frame.kind is Kind.DATA:
            stream.on_data(frame.payload)
        elif frame.length > MAX_CREDIT:
            raise ConnectionLostError("nonsensical credit", Fault.MALFORMED)
        else:
            stream.on_credit(frame.length)
        if frame.flags & Flag.FIN:
            stream.on_end()
        if frame.flags & Flag.RST:
            stream.on_lost(StreamResetError("given up by the peer"))

    def _on_opened(self, stream_id: int) -> None:
        """Take a SYN of the peer: a new stream, or one too many that is reset."""
        is_ours = stream_id % 2 == self._next_id % 2
        if stream_id == 0 or is_ours or stream_id in self._streams:
            raise ConnectionLostError("stream opened twice or from the wrong side", Fault.MALFORMED)
        stream = Stream(self, stream_id)
        if not self._on_stream(stream):
            self.enqueue(encode_header(Kind.WINDOW_UPDATE, Flag.RST, stream_id, 0))
            return
        self._streams[stream_id] = stream
        self.enqueue(encode_header(Kind.WINDOW_UPDATE, Flag.ACK, stream_id, 0))
