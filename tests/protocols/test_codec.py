from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocols.codec import MAX_ARRAY_ITEMS, FieldReader, Value, join_array, pack, unpack
from protocols.errors import WireError
from protocols.types import Address, Hash32

values: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.binary(max_size=40)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=20),
    max_leaves=30,
)

WIDE = {
    "integer in two bytes": b"\xcc\x01",
    "integer in nine bytes": b"\xcf" + bytes(7) + b"\x01",
    "signed spelling of a positive integer": b"\xd0\x01",
    "array with a 16-bit length": b"\xdc\x00\x01\x01",
    "binary with a 16-bit length": b"\xc5\x00\x01a",
    "text with an 8-bit length": b"\xd9\x01a",
}
"""Valid msgpack, longer than it need be."""

FOREIGN = {
    "nothing": b"",
    "two values": b"\x01\x01",
    "map": b"\x81\x01\x01",
    "32-bit float": b"\xca" + bytes(4),
    "extension": b"\xd4\x01\x00",
    "timestamp": b"\xd6\xff" + bytes(4),
    "reserved byte": b"\xc1",
    "text that is not UTF-8": b"\xa1\xff",
    "cut short": b"\x92\x01",
    "long text": b"\xda\x04\x01" + b"a" * 1025,
    "array that announces more than it may": b"\xdd\x00\x01\x00\x01" + bytes(10),
    "array that announces four thousand million": b"\xdd\xff\xff\xff\xff",
    "binary that announces four thousand million": b"\xc6\xff\xff\xff\xff",
}

DEEP = b"\x91" * 100_000 + b"\x01"


def check_any_payload(payload: bytes) -> None:
    """Bytes are refused with `WireError`, or are the one encoding of a value."""
    try:
        value = unpack("Any", payload)
    except WireError:
        return
    assert pack(value) == payload


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_joined_arrays(count: int) -> None:
    assert join_array([pack(7)] * count) == pack([7] * count)


@given(values)
def test_unpack_inverts_pack(value: Value) -> None:
    assert unpack("Any", pack(value)) == value


@given(st.binary(max_size=200))
@example(b"")
@example(DEEP)
def test_any_bytes(payload: bytes) -> None:
    check_any_payload(payload)


@given(values, st.data())
def test_one_changed_byte(value: Value, data: st.DataObject) -> None:
    payload = bytearray(pack(value))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    check_any_payload(bytes(payload))


@pytest.mark.parametrize("payload", WIDE.values(), ids=WIDE)
def test_a_longer_spelling_is_refused(payload: bytes) -> None:
    assert msgpack.unpackb(payload) is not None
    with pytest.raises(WireError, match="Any: not the canonical encoding"):
        unpack("Any", payload)


@pytest.mark.parametrize("payload", [*FOREIGN.values(), DEEP], ids=[*FOREIGN, "deep"])
def test_what_the_wire_does_not_carry_is_refused(payload: bytes) -> None:
    with pytest.raises(WireError):
        unpack("Any", payload)


def test_the_longest_array() -> None:
    assert len(unpack("Any", pack([0] * MAX_ARRAY_ITEMS))) == MAX_ARRAY_ITEMS
    with pytest.raises(WireError):
        unpack("Any", pack([0] * (MAX_ARRAY_ITEMS + 1)))


def test_an_error_names_kind_and_field() -> None:
    fields = FieldReader.unpack("Pair", pack([1, True]), arity=2)
    fields.uint(maximum=1)
    with pytest.raises(WireError) as caught:
        fields.uint(maximum=1)
    assert str(caught.value) == "Pair: field 2: not an integer in 0..1"
    assert (caught.value.kind, caught.value.reason) == (
        "Pair",
        "field 2: not an integer in 0..1",
    )


@pytest.mark.parametrize("value", [[], [1], [1, 2, 3], 1, b"ab", "ab", None])
def test_a_reader_takes_an_array_of_its_arity(value: Value) -> None:
    with pytest.raises(WireError, match="not an array of 2 fields"):
        FieldReader.unpack("Pair", pack(value), arity=2)


def _reader(value: Value) -> FieldReader:
    return FieldReader.unpack("One", pack([value]), arity=1)


Take = Callable[[FieldReader], Any]

GOOD: list[tuple[Take, Value, Any]] = [
    (lambda reader: reader.uint(maximum=5), 5, 5),
    (lambda reader: reader.uint(minimum=5, maximum=5), 5, 5),
    (lambda reader: reader.flag(), False, False),
    (lambda reader: reader.blob(maximum=2), b"ab", b"ab"),
    (lambda reader: reader.blob(maximum=2), b"", b""),
    (lambda reader: reader.exactly(2), b"ab", b"ab"),
    (lambda reader: reader.optional_blob(maximum=2), b"ab", b"ab"),
    (lambda reader: reader.optional_blob(maximum=2), None, None),
    (lambda reader: reader.hash32(), bytes(32), Hash32(bytes(32))),
    (lambda reader: reader.address(), bytes(20), Address(bytes(20))),
    (lambda reader: reader.text(maximum=3), "aé", "aé"),
    (lambda reader: reader.items(str, maximum=2), [1, 2], ("1", "2")),
    (lambda reader: reader.optional_items(str, maximum=2), [1], ("1",)),
    (lambda reader: reader.optional_items(str, maximum=2), None, None),
    (lambda reader: reader.hashes(maximum=1), [bytes(32)], (bytes(32),)),
    (lambda reader: reader.raw(), [1, [2]], [1, [2]]),
]

BAD: list[tuple[Take, Value]] = [
    (lambda reader: reader.uint(maximum=5), 6),
    (lambda reader: reader.uint(minimum=4, maximum=5), 3),
    (lambda reader: reader.uint(maximum=5), -1),
    (lambda reader: reader.uint(maximum=5), True),
    (lambda reader: reader.uint(maximum=5), b"\x01"),
    (lambda reader: reader.uint(maximum=5), None),
    (lambda reader: reader.flag(), 1),
    (lambda reader: reader.flag(), None),
    (lambda reader: reader.blob(maximum=2), b"abc"),
    (lambda reader: reader.blob(minimum=1, maximum=2), b""),
    (lambda reader: reader.blob(maximum=2), "ab"),
    (lambda reader: reader.blob(maximum=2), [97, 98]),
    (lambda reader: reader.exactly(2), b"a"),
    (lambda reader: reader.optional_blob(maximum=2), b"abc"),
    (lambda reader: reader.optional_blob(maximum=2), 0),
    (lambda reader: reader.hash32(), bytes(31)),
    (lambda reader: reader.address(), bytes(21)),
    (lambda reader: reader.text(maximum=2), "aé"),
    (lambda reader: reader.text(maximum=2), b"ab"),
    (lambda reader: reader.items(str, maximum=2), [1, 2, 3]),
    (lambda reader: reader.items(str, minimum=1, maximum=2), []),
    (lambda reader: reader.items(str, maximum=2), b"ab"),
    (lambda reader: reader.optional_items(str, minimum=1, maximum=2), []),
    (lambda reader: reader.hashes(maximum=2), [bytes(32), bytes(31)]),
    (lambda reader: reader.hashes(maximum=2), ["a" * 32]),
]


@pytest.mark.parametrize(("take", "value", "expected"), GOOD)
def test_a_field_that_fits(take: Take, value: Value, expected: Any) -> None:
    taken = take(_reader(value))
    assert taken == expected
    assert type(taken) is type(expected)


@pytest.mark.parametrize(("take", "value"), BAD)
def test_a_field_that_does_not_fit(take: Take, value: Value) -> None:
    with pytest.raises(WireError, match="field 1: not"):
        take(_reader(value))


@pytest.mark.parametrize("foreign", [1.5, {}, float("nan")])
@pytest.mark.parametrize("take", [take for take, value, _ in GOOD if value != [1, [2]]])
def test_no_field_is_a_float_or_a_map(take: Take, foreign: Any) -> None:
    payload = msgpack.packb([foreign])
    with pytest.raises(WireError, match="field 1: not"):
        take(FieldReader.unpack("One", payload, arity=1))


def test_fields_come_in_order() -> None:
    fields = FieldReader.unpack("Four", pack([1, None, b"x", None]), arity=4)
    assert fields.uint(maximum=1) == 1
    assert fields.optional_blob(maximum=1) is None
    assert fields.blob(maximum=1) == b"x"
    assert fields.optional_items(str, maximum=1) is None
