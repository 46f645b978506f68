from hashlib import blake2b

import pytest

from node.accounts.diff import EMPTY_DIFF, Change, Diff, changes_of, decode_changes
from protocols.errors import WireError
from protocols.types import Address

A, B, C, D = (Address(bytes([n]) * 20) for n in range(1, 5))

DIFF = Diff((Change(A, None, b"new"), Change(B, b"old", None), Change(C, b"1", b"2")))
CHANGES = A + b"\x00\x03new" + B + b"\x00\x00" + C + b"\x00\x012"
STORED = A + b"\x00\x00\x00\x03new" + B + b"\x00\x03old\x00\x00" + C + b"\x00\x011\x00\x012"


def test_changes_carry_addresses_and_new_values() -> None:
    assert DIFF.encode_changes() == CHANGES
    assert decode_changes(CHANGES) == {A: b"new", B: None, C: b"2"} == DIFF.changes


def test_the_root_commits_to_the_changes_and_not_to_old_values() -> None:
    assert DIFF.root == blake2b(b"\x02" + CHANGES, digest_size=32).digest()
    other_past = Diff((Change(A, b"x", b"new"), Change(B, b"y", None), Change(C, None, b"2")))
    assert other_past.root == DIFF.root
    assert Diff(DIFF.entries[1:]).root != DIFF.root
    assert EMPTY_DIFF.root == blake2b(b"\x02", digest_size=32).digest()


def test_the_stored_form_comes_back() -> None:
    assert DIFF.encode() == STORED
    assert Diff.decode(STORED) == DIFF
    assert Diff.decode(b"") == EMPTY_DIFF


def test_the_changes_of_a_stored_diff_are_taken_without_reading_it() -> None:
    assert changes_of(STORED) == CHANGES
    assert changes_of(b"") == b""
    long = Diff((Change(A, b"x" * 300, b"y" * 400), Change(D, b"z", None)))
    assert changes_of(long.encode()) == long.encode_changes()


def test_the_inverse_swaps_old_and_new() -> None:
    assert DIFF.inverse() == Diff(
        (Change(A, b"new", None), Change(B, None, b"old"), Change(C, b"2", b"1"))
    )
    assert DIFF.inverse().inverse() == DIFF


BAD_DIFFS = {
    "cut address": STORED[:10],
    "cut length": STORED[:21],
    "cut value": A + b"\x00\x00\x00\x03ne",
    "only an old value": A + b"\x00\x01x",
    "not ascending": STORED[27:] + STORED[:27],
    "repeated": STORED[:27] * 2,
    "unchanged": A + b"\x00\x01x\x00\x01x",
    "never there": A + b"\x00\x00\x00\x00",
    "one byte more": STORED + b"\0",
}


@pytest.mark.parametrize("name", BAD_DIFFS)
def test_anything_else_is_not_a_diff(name: str) -> None:
    with pytest.raises(WireError):
        Diff.decode(BAD_DIFFS[name])


BAD_CHANGES = {
    "cut address": CHANGES[:10],
    "cut length": CHANGES[:21],
    "cut value": CHANGES[:24],
    "not ascending": CHANGES[25:] + CHANGES[:25],
    "repeated": CHANGES[:25] * 2,
    "one byte more": CHANGES + b"\0",
}


@pytest.mark.parametrize("name", BAD_CHANGES)
def test_anything_else_is_not_a_list_of_changes(name: str) -> None:
    with pytest.raises(WireError):
        decode_changes(BAD_CHANGES[name])


def test_the_address_of_zeros_may_come_first() -> None:
    pot = Diff((Change(Address(bytes(20)), None, b"fees"), Change(A, None, b"new")))
    assert decode_changes(pot.encode_changes()) == pot.changes
    assert Diff.decode(pot.encode()) == pot


def test_a_value_that_has_no_encoding_is_our_bug() -> None:
    for value in (b"", bytes(0x10000)):
        with pytest.raises(AssertionError):
            Diff((Change(A, None, value),)).encode()
