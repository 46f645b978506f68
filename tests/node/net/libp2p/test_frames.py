"""Yamux frames: what is read is what was written, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.libp2p.frames import (
    HEADER,
    HEADER_BYTES,
    WINDOW_BYTES,
    Flag,
    Frame,
    FrameParser,
    Kind,
    encode_header,
)
from protocols.errors import WireError

numbers = st.integers(0, 2**32 - 1)
flags = st.integers(0, 2**16 - 1)
data = st.builds(
    lambda flag, stream, payload: Frame(Kind.DATA, flag, stream, len(payload), payload),
    flags,
    numbers,
    st.binary(max_size=300),
)
others = st.builds(
    Frame, st.sampled_from([Kind.WINDOW_UPDATE, Kind.PING, Kind.GO_AWAY]), flags, numbers, numbers
)


def encode(frame: Frame) -> bytes:
    header = encode_header(frame.kind, frame.flags, frame.stream_id, frame.length)
    return header + frame.payload


@given(st.lists(data | others, max_size=10), st.integers(1, 50))
def test_frames_in_pieces(frames: list[Frame], size: int) -> None:
    encoded, parser = b"".join(map(encode, frames)), FrameParser()
    pieces = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    assert [frame for piece in pieces for frame in parser.feed(piece)] == frames


@given(st.binary(max_size=200))
def test_random_bytes_are_frames_or_refused(content: bytes) -> None:
    try:
        frames = FrameParser().feed(content)
    except WireError:
        return
    assert content.startswith(b"".join(map(encode, frames)))


@pytest.mark.parametrize(
    "header",
    [
        HEADER.pack(1, Kind.DATA, 0, 1, 0),
        HEADER.pack(0, 4, 0, 1, 0),
        HEADER.pack(0, Kind.DATA, 0, 1, WINDOW_BYTES + 1),
    ],
)
def test_refused_as_soon_as_the_header_is_there(header: bytes) -> None:
    parser = FrameParser()
    assert parser.feed(header[:-1]) == []
    with pytest.raises(WireError):
        parser.feed(header[-1:])


def test_largest_payload_is_taken() -> None:
    payload = bytes(WINDOW_BYTES)
    encoded = encode_header(Kind.DATA, Flag.FIN, 3, len(payload)) + payload
    frame = Frame(Kind.DATA, Flag.FIN, 3, len(payload), payload)
    assert FrameParser().feed(encoded) == [frame]
    assert HEADER_BYTES == 12
