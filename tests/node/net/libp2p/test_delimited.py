"""Messages behind lengths, in pieces of any size."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.net.libp2p.delimited import DelimitedReader
from protocols.errors import WireError
from protocols.frames import encode_varint


@given(st.lists(st.binary(max_size=300), max_size=10), st.integers(1, 50))
def test_messages_in_pieces(messages: list[bytes], size: int) -> None:
    encoded = b"".join(encode_varint(len(message)) + message for message in messages)
    reader = DelimitedReader(maximum=300)
    pieces = [encoded[start : start + size] for start in range(0, len(encoded), size)]
    assert [message for piece in pieces for message in reader.feed(piece)] == messages


@pytest.mark.parametrize("content", [b"\xad\x02", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80"])
def test_length_is_refused_before_the_message(content: bytes) -> None:
    with pytest.raises(WireError):
        DelimitedReader(maximum=300).feed(content)


def test_largest_message() -> None:
    assert DelimitedReader(maximum=300).feed(b"\xac\x02" + bytes(300)) == [bytes(300)]


@given(st.binary(max_size=100))
def test_random_bytes_are_messages_or_refused(content: bytes) -> None:
    try:
        messages = DelimitedReader(maximum=50).feed(content)
    except WireError:
        return
    assert all(len(message) <= 50 for message in messages)
