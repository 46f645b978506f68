"""Headers, justifications, bodies, transactions and blocks: one encoding per value."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import decode_body
from node.blocks.header import decode_header
from node.blocks.justification import decode_justification
from node.crypto.hashes import hash32
from protocols.codec import pack
from protocols.errors import WireError
from tests.build import strategies


@dataclass(frozen=True, slots=True)
class Kind:
    """One thing with a wire form."""

    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    good: st.SearchStrategy[Any]


KINDS = {
    "header": Kind(decode_header, lambda value: value.encoded, strategies.headers),
    "justification": Kind(
        decode_justification, lambda value: value.encode(), strategies.justifications
    ),
    "body": Kind(decode_body, lambda value: value.encoded, strategies.bodies),
    "transaction": Kind(Transaction.decode, lambda value: value.encode(), strategies.transactions),
    "block": Kind(Block.decode, lambda value: value.encode(), strategies.blocks),
}
each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)

junk: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.binary(max_size=100)
    | st.text(max_size=5)
    | st.just({}),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


def fresh_encoding(kind: Kind, value: Any) -> bytes:
    """Encode a value field by field, not from the bytes that it keeps."""
    for kept in ("encoded", "_encoded"):
        getattr(value, "__dict__", {}).pop(kept, None)
    return kind.encode(value)


def check_any_payload(kind: Kind, payload: bytes) -> None:
    """Bytes are refused with `WireError`, or are the one encoding of a value."""
    try:
        value = kind.decode(payload)
    except WireError:
        return
    assert kind.encode(value) == payload
    assert fresh_encoding(kind, value) == payload


@each_kind
@given(data=st.data())
def test_decode_inverts_encode(kind: Kind, data: st.DataObject) -> None:
    value = data.draw(kind.good)
    decoded = kind.decode(kind.encode(value))
    assert decoded == value
    assert type(decoded) is type(value)
    assert fresh_encoding(kind, decoded) == kind.encode(value)


@each_kind
@given(payload=st.binary(max_size=400))
@example(payload=b"")
@example(payload=b"\x90")
@example(payload=b"\x91" * 2000 + b"\x00")
@example(payload=b"\xdd\xff\xff\xff\xff")
def test_any_bytes(kind: Kind, payload: bytes) -> None:
    check_any_payload(kind, payload)


@each_kind
@given(data=st.data())
def test_one_changed_byte(kind: Kind, data: st.DataObject) -> None:
    payload = bytearray(kind.encode(data.draw(kind.good)))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_any_payload(kind, bytes(payload))


@each_kind
@given(data=st.data())
def test_one_byte_more_or_less(kind: Kind, data: st.DataObject) -> None:
    payload = kind.encode(data.draw(kind.good))
    for changed in (payload[:-1], payload + b"\x00", payload + payload):
        with pytest.raises(WireError):
            kind.decode(changed)


@each_kind
@given(data=st.data())
def test_one_wrong_field(kind: Kind, data: st.DataObject) -> None:
    """Well-formed msgpack with one field, at any depth, of another kind, length or size."""
    fields = msgpack.unpackb(kind.encode(data.draw(kind.good)))
    _replace_one(fields, data)
    check_any_payload(kind, msgpack.packb(fields))


@each_kind
@given(data=st.data())
def test_one_field_more_or_less(kind: Kind, data: st.DataObject) -> None:
    fields = msgpack.unpackb(kind.encode(data.draw(kind.good)))
    for changed in (fields[:-1], [*fields, 0], [*fields, None]):
        with pytest.raises(WireError):
            kind.decode(pack(changed))


@given(header=strategies.headers)
def test_a_header_hashes_as_the_bytes_that_came(header: Any) -> None:
    payload = header.encoded
    assert decode_header(payload).hash == header.hash == hash32(payload)


@given(body=strategies.bodies)
def test_a_body_hashes_as_the_bytes_that_came(body: Any) -> None:
    payload = body.encoded
    assert decode_body(payload).root == body.root == hash32(payload)


@given(sent=strategies.transactions)
def test_a_transaction_hashes_as_its_fields(sent: Transaction) -> None:
    made = hash32(pack(sent.to_wire()[:-1]))
    assert sent.hash == Transaction.decode(sent.encode()).hash == made
    assert Transaction.from_wire(sent.to_wire()).hash == made
    assert replace(Transaction.decode(sent.encode()), signature=bytes(64)).hash == made


@given(first=strategies.headers, second=strategies.headers)
def test_different_headers_have_different_hashes(first: Any, second: Any) -> None:
    assert (first.hash == second.hash) is (first == second)


def _replace_one(fields: list[Any], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(fields) - 1))
    inner = fields[index]
    if isinstance(inner, list) and inner and data.draw(st.booleans()):
        _replace_one(inner, data)
    else:
        fields[index] = data.draw(junk)
