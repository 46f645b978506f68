"""The encodings of performance.md, spelled out: another implementation must get these bytes."""

from hashlib import blake2b

import pytest

from node.accounts.pages import (
    BRANCH_BYTES,
    EMPTY_ROOT,
    NO_CHILD,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    Record,
    accounts_below,
    child_at,
    encode_branch,
    hash_branch,
    nibble_at,
    put_child,
)
from protocols.types import Address, Hash32
from tests.build.plain_trie import build_subtree, hash_page, root_from_records

ADDRESS = bytes(range(0x10, 0x24))


def digest(content: bytes) -> Hash32:
    return Hash32(blake2b(content, digest_size=32).digest())


def addresses(count: int, prefix: bytes = b"") -> list[Address]:
    width = 20 - len(prefix)
    return [Address(prefix + number.to_bytes(width, "big")) for number in range(count)]


def records(count: int, prefix: bytes = b"") -> list[Record]:
    return [(address, b"v") for address in addresses(count, prefix)]


def test_a_page_hashes_its_records_in_order() -> None:
    other = ADDRESS[:-1] + b"\xff"
    content = b"\x00" + ADDRESS + b"\x00\x03abc" + other + b"\x00\x01d"
    assert hash_page([(ADDRESS, b"abc"), (other, b"d")]) == digest(content)


def test_a_trie_without_accounts_is_an_empty_page() -> None:
    assert digest(b"\x00") == EMPTY_ROOT
    assert root_from_records([]) == EMPTY_ROOT


def test_a_branch_hashes_counts_and_hashes_of_its_children() -> None:
    children = [NO_CHILD] * 16
    children[3] = Child(70, digest(b"x"))
    branch = encode_branch(children)
    empty = bytes(40)
    expected = empty * 3 + (70).to_bytes(8, "big") + digest(b"x") + empty * 12
    assert branch == expected
    assert len(branch) == BRANCH_BYTES == 640
    assert hash_branch(branch) == digest(b"\x01" + expected)


def test_a_child_can_be_read_and_changed() -> None:
    branch = bytearray(encode_branch([Child(n, digest(b"%d" % n)) for n in range(16)]))
    assert accounts_below(branch) == 120
    put_child(branch, 5, Child(100, digest(b"new")))
    children = [child_at(branch, nibble) for nibble in range(16)]
    expected = [Child(n, digest(b"%d" % n)) for n in range(16)]
    expected[5] = Child(100, digest(b"new"))
    assert children == expected


def test_nibbles_are_taken_high_one_first() -> None:
    assert [nibble_at(b"\x1f\x20", depth) for depth in range(4)] == [1, 15, 2, 0]


PLACES = {
    "root": (ROOT, b"\x00", b"", None),
    "first level": (ROOT.child(10), b"\x01\xa0", b"\xa0", b"\xb0"),
    "second level": (ROOT.child(10).child(3), b"\x02\xa3", b"\xa3", b"\xa4"),
    "third level": (ROOT.child(10).child(15).child(15), b"\x03\xaf\xf0", b"\xaf\xf0", b"\xb0"),
    "last of a level": (ROOT.child(15), b"\x01\xf0", b"\xf0", None),
    "last of two levels": (ROOT.child(15).child(15), b"\x02\xff", b"\xff", None),
}


@pytest.mark.parametrize("name", PLACES)
def test_a_place_knows_its_key_and_range(name: str) -> None:
    place, key, start, end = PLACES[name]
    assert (place.key, place.prefix, place.end) == (key, start, end)


def test_a_page_holds_64_accounts_and_a_65th_makes_a_branch() -> None:
    branches: dict[bytes, bytes] = {}
    small = records(PAGE_ACCOUNTS, b"\xab")
    assert build_subtree(ROOT, small, branches) == Child(64, hash_page(small))
    assert branches == {}

    large = records(PAGE_ACCOUNTS + 1, b"\xab")
    child = build_subtree(Place(38, large[0][0][:-1]), large, branches)
    by_nibble = [large[start : start + 16] for start in range(0, 80, 16)]
    children = [Child(len(group), hash_page(group)) for group in by_nibble]
    branch = encode_branch(children + [NO_CHILD] * 11)
    assert child == Child(65, hash_branch(branch))
    assert branches == {bytes([38]) + large[0][0][:-1]: branch}


def test_addresses_that_share_a_long_prefix_make_a_chain_of_branches() -> None:
    branches: dict[bytes, bytes] = {}
    child = build_subtree(ROOT, records(65), branches)
    assert child.accounts == 65
    assert sorted(branches) == [bytes([depth]) + bytes((depth + 1) // 2) for depth in range(39)]


def test_the_order_of_the_input_does_not_matter() -> None:
    some = [(Address(address), value) for address, value in records(100)]
    assert root_from_records(reversed(some)) == root_from_records(some)


@pytest.mark.parametrize(
    "change",
    [
        lambda some: some[1:],
        lambda some: some[:-1],
        lambda some: some[:50] + some[51:],
        lambda some: [*some[:50], (some[50][0], b"w"), *some[51:]],
        lambda some: [*some[:50], (some[50][0], b"v\0"), *some[51:]],
        lambda some: [*some, (Address(b"\xff" * 20), b"v")],
    ],
    ids=["first dropped", "last dropped", "one dropped", "changed", "longer value", "one more"],
)
def test_any_other_content_has_another_root(change: object) -> None:
    assert callable(change)
    some = records(100)
    assert root_from_records(change(some)) != root_from_records(
        (Address(address), value) for address, value in some
    )
