"""Yamux frames: twelve bytes of header, and a payload behind DATA. No I/O.

    version 0 (1) | kind (1) | flags (2) | stream (4) | length (4) | payload of DATA

`length` is the size of the payload in DATA, the credit in WINDOW_UPDATE, an opaque number in PING
and a reason in GO_AWAY.
Source: the Yamux specification, github.com/hashicorp/yamux, spec.md.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import Final

from protocols.errors import WireError

HEADER: Final = struct.Struct("!BBHII")
HEADER_BYTES: Final = HEADER.size

WINDOW_BYTES: Final = 256 * 1024
"""Credit of a new stream, fixed by the specification. We never grant more than this: it bounds what
one stream of a peer can make us hold."""

MAX_PAYLOAD_BYTES: Final = 65_535 - 16 - HEADER_BYTES
"""Largest frame that fits with its header into one Noise message of 65,535 bytes with its tag."""


class Kind(IntEnum):
    """What a frame is for."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """What a frame does to its stream besides. PING uses SYN and ACK for question and answer."""

    NONE = 0
    SYN = 1
    """Opens the stream."""
    ACK = 2
    """Accepts it."""
    FIN = 4
    """Nothing more comes from this side."""
    RST = 8
    """The stream is given up in both directions."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame as it was read."""

    kind: Kind
    flags: int
    stream_id: int
    length: int
    payload: bytes = b""


def encode_header(kind: Kind, flags: int, stream_id: int, length: int) -> bytes:
    """Return the twelve bytes in front of a payload, or a whole frame of another kind."""
    return HEADER.pack(0, kind, flags, stream_id, length)


class FrameParser:
    """Takes the bytes of a connection in pieces of any size and gives back whole frames.

    Holds at most one unfinished frame. After an error it must not be used again.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, chunk: bytes) -> list[Frame]:
        """Take the next bytes and return the frames that they complete.

        Raises:
            WireError: An unknown version or kind, or a payload larger than any window we grant.
        """
        self._buffer += chunk
        frames, start = [], 0
        while (frame := self._frame_at(start)) is not None:
            frames.append(frame)
            start += HEADER_BYTES + len(frame.payload)
        del self._buffer[:start]
        return frames

    def _frame_at(self, start: int) -> Frame | None:
        body = start + HEADER_BYTES
        if len(self._buffer) < body:
            return None
        version, kind, flags, stream_id, length = HEADER.unpack_from(self._buffer, start)
        if version != 0:
            raise WireError("Yamux", f"version {version}")
        if kind > Kind.GO_AWAY:
            raise WireError("Yamux", f"frame of kind {kind}")
        if kind != Kind.DATA:
            return Frame(Kind(kind), flags, stream_id, length)
        # py-libp2p takes up to 16 MiB here (yamux.py 1266) and looks at the window afterwards.
        if length > WINDOW_BYTES:
            raise WireError("Yamux", f"payload of {length} bytes, no window is so large")
        if len(self._buffer) < body + length:
            return None
        payload = bytes(memoryview(self._buffer)[body : body + length])
        return Frame(Kind.DATA, flags, stream_id, length, payload)
