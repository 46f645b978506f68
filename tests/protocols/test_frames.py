"""Framing: one encoding, every bound, any cutting of the stream."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.errors import WireError
from protocols.frames import MAX_VARINT_BYTES, FrameReader, encode_frames, encode_varint
from protocols.limits import MAX_FRAME_BYTES

FULL = bytes(MAX_FRAME_BYTES)
LARGEST = 3 * MAX_FRAME_BYTES

payloads = st.builds(
    lambda size, byte: bytes([byte]) * size,
    st.one_of(
        st.integers(1, 300),
        st.integers(MAX_FRAME_BYTES - 2, MAX_FRAME_BYTES + 2),
        st.integers(2 * MAX_FRAME_BYTES - 2, 2 * MAX_FRAME_BYTES + 2),
    ),
    st.integers(0, 255),
)


def read_all(stream: bytes, cuts: list[int], *, maximum: int = LARGEST) -> bytes:
    """Feed a stream cut at some positions and return the payload."""
    reader = FrameReader(maximum=maximum)
    edges = [0, *sorted(cuts), len(stream)]
    frames = []
    for start, end in pairwise(edges):
        frames += reader.feed(stream[start:end])
    reader.finish()
    return b"".join(frames)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(0, "00"), (1, "01"), (127, "7f"), (128, "8001"), (300, "ac02"), (65536, "808004")],
)
def test_varint_is_leb128(value: int, encoded: str) -> None:
    assert encode_varint(value).hex() == encoded


def test_small_payload_is_one_frame() -> None:
    assert list(encode_frames(b"abc")) == [b"\x03abc"]


def test_frames_are_full_but_the_last() -> None:
    frames = list(encode_frames(FULL + b"x"))

    assert frames == [b"\x80\x80\x04" + FULL, b"\x01x"]


def test_payload_of_exactly_two_frames_has_no_empty_third() -> None:
    assert [len(frame) for frame in encode_frames(FULL + FULL)] == [MAX_FRAME_BYTES + 3] * 2


@given(payloads, st.data())
def test_any_cutting_gives_the_payload_back(payload: bytes, data: st.DataObject) -> None:
    stream = b"".join(encode_frames(payload))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))

    assert read_all(stream, cuts) == payload


def test_cut_at_every_position() -> None:
    payload = bytes(range(256)) * 2
    stream = b"".join(encode_frames(payload))

    for position in range(len(stream) + 1):
        assert read_all(stream, [position]) == payload
    assert read_all(stream, list(range(len(stream)))) == payload


def test_frames_come_out_as_soon_as_they_are_complete() -> None:
    reader = FrameReader(maximum=LARGEST)
    first, second = encode_frames(FULL + b"end")

    assert reader.feed(first[:-1]) == []
    assert reader.feed(first[-1:] + second[:2]) == [FULL]
    assert reader.feed(second[2:]) == [b"end"]


@pytest.mark.parametrize("length", [1, 2, MAX_FRAME_BYTES + 5])
def test_stream_that_ends_early_is_refused(length: int) -> None:
    stream = b"".join(encode_frames(FULL + b"rest"))
    reader = FrameReader(maximum=LARGEST)
    reader.feed(stream[:length])

    with pytest.raises(WireError, match="inside a frame"):
        reader.finish()


def test_empty_stream_is_refused() -> None:
    with pytest.raises(WireError, match="without a frame"):
        FrameReader(maximum=LARGEST).finish()


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (b"\x00", "0 bytes"),
        (b"\x80\x00", "shortest"),
        (b"\x81\x80\x00", "shortest"),
        (encode_varint(MAX_FRAME_BYTES + 1), "65537 bytes"),
        (b"\xff" * MAX_VARINT_BYTES, "more than 5 bytes"),
        (b"\xff\xff\xff\xff\x7f", "bytes, allowed"),
        (b"\x01a\x01", "after the last"),
        (b"\x01a\x80", "after the last"),
    ],
)
def test_rule_is_refused_at_the_byte_that_breaks_it(stream: bytes, reason: str) -> None:
    reader = FrameReader(maximum=LARGEST)
    assert b"".join(reader.feed(stream[:-1])) in {b"", b"a"}

    with pytest.raises(WireError, match=reason):
        reader.feed(stream[-1:])


def test_total_is_checked_before_the_body_arrives() -> None:
    reader = FrameReader(maximum=MAX_FRAME_BYTES + 2)
    first, second = encode_frames(FULL + b"xyz")
    reader.feed(first)

    with pytest.raises(WireError, match="in all"):
        reader.feed(second[:1])


def test_payload_of_exactly_the_maximum_is_fine() -> None:
    payload = FULL + b"xy"

    assert read_all(b"".join(encode_frames(payload)), [], maximum=len(payload)) == payload


@given(st.binary(max_size=64), st.lists(st.integers(0, 64), max_size=4))
def test_any_bytes_give_the_same_answer_however_cut(stream: bytes, cuts: list[int]) -> None:
    def outcome(positions: list[int]) -> bytes | str:
        try:
            return read_all(stream, [min(cut, len(stream)) for cut in positions])
        except WireError as error:
            return error.reason

    whole = outcome([])
    assert outcome(cuts) == whole
    if isinstance(whole, bytes):
        assert b"".join(encode_frames(whole)) == stream
