"""One Yamux stream.

    OPEN --FIN of one side--> HALF_CLOSED --FIN of the other--> GONE
    OPEN or HALF_CLOSED --RST of either side, or the connection ends--> GONE

Everything but reading and writing is done at once: frames are queued for the one task that writes
to the socket, so cancelling a task never leaves half a frame behind.
"""

from typing import Protocol

import trio

from node.errors import Fault
from node.net.libp2p.failures import ConnectionLostError, StreamResetError
from node.net.libp2p.frames import MAX_PAYLOAD_BYTES, WINDOW_BYTES, Flag, Kind, encode_header
from protocols.types import PeerId


class Owner(Protocol):
    """What a stream needs of its connection."""

    peer: PeerId
    window_stall_s: float

    def enqueue(self, *pieces: bytes | memoryview) -> None:
        """Queue a frame to be written."""
        ...

    async def wait_for_room(self) -> None:
        """Return when the queue is short enough for more data."""
        ...

    def forget(self, stream_id: int) -> None:
        """Drop a stream that is gone."""
        ...


class Stream:
    """Both directions of one stream. One task may read while another writes."""

    def __init__(self, owner: Owner, stream_id: int) -> None:
        self._owner = owner
        self._id = stream_id
        self._buffer = bytearray()
        self._receive_window = WINDOW_BYTES
        self._consumed = 0
        """Bytes read since we last granted credit."""
        self._send_window = WINDOW_BYTES
        self._has_ended_here = False
        self._has_ended_there = False
        self._lost: StreamResetError | ConnectionLostError | None = None
        self._reader: trio.Event | None = None
        self._writer: trio.Event | None = None

    @property
    def peer(self) -> PeerId:
        """Who is at the other end."""
        return self._owner.peer

    @property
    def is_gone(self) -> bool:
        """Both sides have ended it, or one gave it up."""
        return self._lost is not None or (self._has_ended_here and self._has_ended_there)

    async def read_some(self) -> bytes:
        """Return what has come, or nothing at the end of the stream. Cancel-safe.

        Raises:
            StreamResetError: The stream was given up.
            ConnectionLostError: The connection is gone.
        """
        if self._buffer:
            await trio.lowlevel.checkpoint()
        elif not await self._wait_readable():
            return b""
        taken = bytes(self._buffer)
        self._buffer.clear()
        self._grant(len(taken))
        return taken

    async def read_exactly(self, size: int) -> bytes:
        """Return exactly so many bytes. Cancelled half-way, they are lost.

        Raises:
            StreamResetError: The stream was given up, or ended earlier.
            ConnectionLostError: The connection is gone.
        """
        taken = bytearray()
        while len(taken) < size:
            if not self._buffer and not await self._wait_readable():
                raise StreamResetError("stream ended too early")
            piece = bytes(memoryview(self._buffer)[: size - len(taken)])
            del self._buffer[: len(piece)]
            self._grant(len(piece))
            taken += piece
        return bytes(taken)

    async def write(self, data: bytes) -> None:
        """Queue all of it, waiting for the peer's credit. Cancelled, part of it may be sent.

        Raises:
            StreamResetError: The stream was given up, or the peer gave no credit for too long.
            ConnectionLostError: The connection is gone.
        """
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            await self._wait_writable()
            size = min(len(rest), self._send_window, MAX_PAYLOAD_BYTES)
            self._send_window -= size
            self._owner.enqueue(encode_header(Kind.DATA, Flag.NONE, self._id, size), rest[:size])
            rest = rest[size:]

    def finish(self) -> None:
        """Say that nothing more comes from us. Reading goes on."""
        if self._has_ended_here or self._lost is not None:
            return
        self._has_ended_here = True
        self._owner.enqueue(encode_header(Kind.WINDOW_UPDATE, Flag.FIN, self._id, 0))
        self._forget_if_gone()

    def reset(self) -> None:
        """Give the stream up in both directions, unless it is gone already."""
        if self.is_gone:
            return
        self._owner.enqueue(encode_header(Kind.WINDOW_UPDATE, Flag.RST, self._id, 0))
        self.on_lost(StreamResetError("given up by us"))

    def on_credit(self, credit: int) -> None:
        """Take a WINDOW_UPDATE of the peer."""
        self._send_window += credit
        if credit:
            _wake(self._writer)

    def on_data(self, payload: bytes) -> None:
        """Take a DATA frame of the peer.

        Raises:
            ConnectionLostError: It is larger than the credit that we gave.
        """
        self._receive_window -= len(payload)
        # py-libp2p logs a warning and keeps the bytes (yamux.py 1524): 200 MB fit in one stream.
        if self._receive_window < 0:
            raise ConnectionLostError("peer ignores the window of a stream", Fault.FLOODING)
        if self._has_ended_there:
            raise ConnectionLostError("data behind the end of a stream", Fault.MALFORMED)
        self._buffer += payload
        _wake(self._reader)

    def on_end(self) -> None:
        """Take a FIN of the peer."""
        self._has_ended_there = True
        _wake(self._reader)
        self._forget_if_gone()

    def on_lost(self, reason: StreamResetError | ConnectionLostError) -> None:
        """Take an RST, or the end of the connection.

        What came before can still be read: it may say why.
        """
        if self._lost is None:
            self._lost = reason
        _wake(self._reader)
        _wake(self._writer)
        self._owner.forget(self._id)

    async def _wait_readable(self) -> bool:
        """Return whether there are bytes; no means the end of the stream."""
        assert self._reader is None, "one reader per stream"
        while not self._buffer:
            if self._has_ended_there:
                await trio.lowlevel.checkpoint()
                return False
            self._raise_if_lost()
            self._reader = trio.Event()
            try:
                await self._reader.wait()
            finally:
                self._reader = None
        return True

    async def _wait_writable(self) -> None:
        assert self._writer is None, "one writer per stream"
        self._raise_if_lost()
        assert not self._has_ended_here, "written after finish"
        await self._owner.wait_for_room()
        while not self._send_window and self._lost is None:
            self._writer = trio.Event()
            try:
                # py-libp2p looks every 10 ms and raises after 5 s (yamux.py 280).
                with trio.move_on_after(self._owner.window_stall_s) as waiting:
                    await self._writer.wait()
            finally:
                self._writer = None
            if waiting.cancelled_caught:
                self.reset()
        self._raise_if_lost()

    def _grant(self, size: int) -> None:
        """Give credit back when half a window is used up.

        py-libp2p does so with every read (yamux.py 441): a third of all frames.
        """
        self._consumed += size
        if self._consumed * 2 < WINDOW_BYTES or self._has_ended_there or self._lost is not None:
            return
        header = encode_header(Kind.WINDOW_UPDATE, Flag.NONE, self._id, self._consumed)
        self._owner.enqueue(header)
        self._receive_window += self._consumed
        self._consumed = 0

    def _raise_if_lost(self) -> None:
        if self._lost is not None:
            # A fresh one each time: an exception that is raised twice grows its traceback.
            raise type(self._lost)(*self._lost.args) from self._lost

    def _forget_if_gone(self) -> None:
        if self.is_gone:
            self._owner.forget(self._id)


def _wake(waiting: trio.Event | None) -> None:
    if waiting is not None:
        waiting.set()
