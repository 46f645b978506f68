"""The two kinds of node of the accounts trie, as pure functions over bytes.

The trie is a 16-ary radix tree over 20-byte addresses, one nibble (high one first) for each
level. A subtree of at most 64 accounts is one *page*; a larger one is a *branch* with one child
for each next nibble. So the shape depends on the set of addresses and on nothing else.

    page hash    = H(0x00 || record || record ...)      records in address order
    record       = address: 20 bytes || length: 2 bytes || value: 1..65535 bytes
    branch hash  = H(0x01 || child 0 || child 1 ... || child 15)
    child        = count: 8 bytes || hash: 32 bytes      of accounts below it, and of its root

    no accounts: as a child, count 0 and 32 zero bytes; as the whole trie, the hash of a page
    without records (`EMPTY_ROOT`)

Numbers are big-endian. H is Blake2b-256. A child with a count of at most 64 is a page and any
other is a branch, so counts say what to expect below.

A place in the tree is a depth (nibbles above it) and a prefix (those nibbles, two in a byte; an
odd last one stands in the high half).
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final, NamedTuple, TypeAlias

from node.crypto.hashes import ZERO_HASH, hash32
from protocols.types import HASH_BYTES, Hash32

PAGE_ACCOUNTS: Final = 64
"""Most accounts of a page. One hash call for a page of 15 on average: a tenth of the hashing that
one node per account would need, and still few records to read for one change."""

FAN_OUT: Final = 16
MAX_VALUE_BYTES: Final = 0xFFFF
"""What the two length bytes of a record can say."""

PAGE_DOMAIN: Final = b"\x00"
BRANCH_DOMAIN: Final = b"\x01"

Record: TypeAlias = tuple[bytes, bytes]
"""Address and value."""


class Place(NamedTuple):
    """Where a subtree hangs."""

    depth: int
    """Nibbles that all addresses below share, 0..40."""
    prefix: bytes
    """Those nibbles, ceil(depth / 2) bytes."""

    @property
    def key(self) -> bytes:
        """Key of the branch in the store: the depth in one byte, then the prefix."""
        return bytes((self.depth,)) + self.prefix

    def child(self, nibble: int) -> "Place":
        """Return the place one level down."""
        if self.depth % 2:
            prefix = self.prefix[:-1] + bytes((self.prefix[-1] | nibble,))
        else:
            prefix = self.prefix + bytes((nibble << 4,))
        return Place(self.depth + 1, prefix)

    @property
    def end(self) -> bytes | None:
        """First key after the subtree, or None when it reaches the end of the key space."""
        return end_of(self.prefix, self.depth)


def end_of(prefix: bytes, depth: int) -> bytes | None:
    """Return the first key after the subtree at a place, or None at the end of the key space."""
    if not prefix:
        return None
    last = prefix[-1] + (16 if depth & 1 else 1)
    if last <= 0xFF:
        return prefix[:-1] + bytes((last,))
    # 0xff, or 0xf0 of one nibble, carries over.
    return end_of(prefix[:-1], 0)


ROOT: Final = Place(0, b"")


def place_above(address: bytes, depth: int) -> Place:
    """Return the place at a depth, 0..40, that an address lies below."""
    return Place(depth, prefix_of(address, depth))


def prefix_of(address: bytes, depth: int) -> bytes:
    """Return the prefix of the place at a depth, 0..40, that an address lies below."""
    whole = address[: depth >> 1]
    return whole + bytes((address[depth >> 1] & 0xF0,)) if depth & 1 else whole


def branch_key(address: bytes, depth: int) -> bytes:
    """Return the store key of the branch at a depth, 0..40, that an address lies below."""
    return bytes((depth,)) + prefix_of(address, depth)


class Child(NamedTuple):
    """What a branch knows of a subtree."""

    accounts: int
    """How many are in it."""
    hash: Hash32


NO_CHILD: Final = Child(0, ZERO_HASH)

_CHILD: Final = Struct(f">Q{HASH_BYTES}s")

CHILD_BYTES: Final = _CHILD.size

pack_child: Final = _CHILD.pack
"""Encode a child: its count, then its hash."""

_COUNT: Final = Struct(">Q")

_COUNTS: Final = Struct(">" + f"Q{HASH_BYTES}x" * FAN_OUT)

BRANCH_BYTES: Final = FAN_OUT * CHILD_BYTES

CHILD_PLACES: Final = tuple(
    slice(start, start + CHILD_BYTES) for start in range(0, BRANCH_BYTES, CHILD_BYTES)
)
"""Where each child stands in a branch."""


def nibble_at(address: bytes, depth: int) -> int:
    """Return the nibble of an address that decides at a depth."""
    byte = address[depth >> 1]
    return byte & 0x0F if depth & 1 else byte >> 4


def group_end(addresses: Sequence[bytes], depth: int, first: int, end: int) -> int:
    """Return where the addresses end that have the nibble of the first one at a depth.

    Args:
        addresses: Ascending; from `first` up to, not including, `end` they share what is above.
        depth: Of the nibble.
        first: Index of the first of them.
        end: Index behind the last.
    """
    if first + 1 == end:
        return end
    address, index = addresses[first], depth >> 1
    byte = address[index] + 1 if depth % 2 else (address[index] | 0x0F) + 1
    if byte > 0xFF:
        return end
    return bisect_left(addresses, address[:index] + bytes((byte,)), first, end)


def hash_run(run: bytes) -> Hash32:
    """Hash the records of a page."""
    return hash32(PAGE_DOMAIN + run)


EMPTY_ROOT: Final = hash_run(b"")
"""Root of a trie without accounts."""


def unpack_child(encoded: bytes) -> Child:
    """Read an encoded child."""
    return Child._make(_CHILD.unpack(encoded))


def count_of(encoded: bytes) -> int:
    """Return how many accounts an encoded child stands for."""
    count: int = _COUNT.unpack_from(encoded)[0]
    return count


def child_at(branch: bytes | bytearray, nibble: int) -> Child:
    """Read one child of an encoded branch."""
    return Child._make(_CHILD.unpack_from(branch, nibble * CHILD_BYTES))


def put_child(branch: bytearray, nibble: int, child: Child) -> None:
    """Change one child of an encoded branch."""
    _CHILD.pack_into(branch, nibble * CHILD_BYTES, *child)


def accounts_below(branch: bytes | bytearray) -> int:
    """Return how many accounts an encoded branch stands for."""
    return sum(child_counts(branch))


def child_counts(branch: bytes | bytearray) -> tuple[int, ...]:
    """Return the number of accounts of each child of an encoded branch."""
    return _COUNTS.unpack(branch)


def encode_branch(children: Iterable[Child]) -> bytes:
    """Return the 640 bytes of a branch with 16 children."""
    return b"".join([_CHILD.pack(*child) for child in children])


def hash_branch(branch: bytes | bytearray) -> Hash32:
    """Hash an encoded branch."""
    return hash32(BRANCH_DOMAIN + branch)


def branch_child(branch: bytes) -> Child:
    """Return what a branch above says of an encoded branch."""
    return Child(accounts_below(branch), hash_branch(branch))


def root_of(child: Child) -> Hash32:
    """Return the root of a trie from what a branch above it would say."""
    return child.hash if child.accounts else EMPTY_ROOT
