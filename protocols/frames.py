"""How a payload travels on a stream: cut into frames, each behind an unsigned varint.

    payload          [ MAX_FRAME_BYTES ][ MAX_FRAME_BYTES ][ rest, at least 1 byte ]
    stream   length  [      frame      ] length [ frame   ] length [    frame     ] end

Every frame but the last is full, so that a payload has one encoding and the number of frames is
bounded by its size. The end of the stream ends the payload; a request is a single frame because
no request is larger. No I/O here: the transport feeds what it has read.
"""

from collections.abc import Iterator
from typing import Final

from protocols.errors import WireError
from protocols.limits import MAX_FRAME_BYTES

MAX_VARINT_BYTES: Final = 5
"""Enough for 32 bits; a length that needs more is refused before it is understood."""


def encode_varint(value: int) -> bytes:
    """Return the shortest unsigned varint (LEB128) of a number in 0..2^35 - 1."""
    assert 0 <= value < 1 << 7 * MAX_VARINT_BYTES
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_frames(payload: bytes) -> Iterator[bytes]:
    """Yield the frames of a payload, length prefixes included, each ready to be written.

    Args:
        payload: At least one byte; no message is empty.
    """
    assert payload
    view = memoryview(payload)
    for start in range(0, len(payload), MAX_FRAME_BYTES):
        piece = view[start : start + MAX_FRAME_BYTES]
        yield encode_varint(len(piece)) + piece


class FrameReader:
    """Takes the bytes of one stream in pieces of any size and gives back its frames.

    Holds at most one unfinished frame. Whatever breaks a rule is refused at the earliest byte
    that shows it, before anything is allocated for it. After an error or `finish` the reader
    must not be used again.
    """

    def __init__(self, *, maximum: int) -> None:
        """Start before the first byte.

        Args:
            maximum: Most payload bytes over all frames, inclusive.
        """
        self._maximum = maximum
        self._total = 0
        self._buffer = bytearray()
        self._length: int | None = None
        """Of the frame that is being read, once its prefix is complete."""
        self._has_ended = False
        """A frame shorter than the largest has come: it was the last."""

    def feed(self, chunk: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the frames that they complete.

        Raises:
            WireError: A length that is not the shortest varint, is zero or too large, more than
                `maximum` bytes in all, or a frame after one that was not full.
        """
        self._buffer += chunk
        frames = []
        while (frame := self._take_frame()) is not None:
            frames.append(frame)
        return frames

    def finish(self) -> None:
        """Say that the stream has ended.

        Raises:
            WireError: Nothing came, or the last frame is not complete.
        """
        if self._buffer or self._length is not None:
            raise _error("stream ended inside a frame")
        if not self._total:
            raise _error("stream ended without a frame")

    def _take_frame(self) -> bytes | None:
        if self._length is None:
            self._length = self._take_length()
        if self._length is None or len(self._buffer) < self._length:
            return None
        frame = bytes(memoryview(self._buffer)[: self._length])
        del self._buffer[: self._length]
        self._length = None
        return frame

    def _take_length(self) -> int | None:
        """Read a length prefix as far as it has come, and check it against every bound."""
        if self._buffer and self._has_ended:
            raise _error("frame after the last one")
        length = 0
        for index, byte in enumerate(self._buffer[:MAX_VARINT_BYTES]):
            length |= (byte & 0x7F) << 7 * index
            if byte < 0x80:
                self._check_length(length, is_shortest=byte != 0 or index == 0)
                del self._buffer[: index + 1]
                return length
        if len(self._buffer) >= MAX_VARINT_BYTES:
            raise _error(f"length of more than {MAX_VARINT_BYTES} bytes")
        return None

    def _check_length(self, length: int, *, is_shortest: bool) -> None:
        if not is_shortest:
            raise _error("length not in its shortest form")
        if not 1 <= length <= MAX_FRAME_BYTES:
            raise _error(f"frame of {length} bytes, allowed are 1..{MAX_FRAME_BYTES}")
        self._total += length
        if self._total > self._maximum:
            raise _error(f"more than {self._maximum} bytes in all")
        self._has_ended = length < MAX_FRAME_BYTES


def _error(reason: str) -> WireError:
    return WireError("Frame", reason)
