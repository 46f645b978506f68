"""What proofs about the accounts trie are made of: the parts that a verifier cannot compute.

A proof is a walk through the trie from the root, in address order, that goes down only where it has
to. Each node on the way is one of

    page     others: 1 byte, 0..64         then so many records (see `records`)
    branch   0xff, given: 2 bytes          then count: 8 bytes, hash: 32 bytes for each bit of it

Bit i of `given` (bit 0 is the lowest) stands for child i. An empty child is never given. Children
that are neither given nor empty follow from the accounts that are being proven, or come next in the
walk. A page holds the records that the verifier does not have; none at all may be an empty subtree.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.accounts.pages import (
    BRANCH_BYTES,
    CHILD_BYTES,
    FAN_OUT,
    PAGE_ACCOUNTS,
    Child,
    Record,
    child_counts,
    put_child,
)
from node.accounts.records import Records
from node.storage.runs import HEAD_BYTES, run_of
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES

BRANCH_TAG: Final = 0xFF

_EMPTY_CHILD: Final = bytes(CHILD_BYTES)

MAX_BRANCH_DEPTH: Final = 2 * ADDRESS_BYTES - 2
"""Below, at most 16 addresses share their nibbles, and that is a page."""

MAX_COUNT: Final = 2**48
"""More accounts than this are in no subtree; sums of honest counts never overflow 8 bytes."""


@dataclass(frozen=True, slots=True)
class PageNode:
    """A page of which some records are known already."""

    others: Records
    """Its records that are not."""

    def encode(self) -> bytes:
        """Return the node's bytes."""
        return bytes((len(self.others),)) + self.others.payload


@dataclass(frozen=True, slots=True)
class BranchNode:
    """A branch of which some children can be computed."""

    given: int
    """Bit map of the children that cannot."""
    branch: bytes
    """640 bytes, zeros for the children that are not given."""

    def encode(self) -> bytes:
        """Return the node's bytes."""
        parts = [bytes((BRANCH_TAG,)), self.given.to_bytes(2, "big")]
        for nibble in range(FAN_OUT):
            if self.has(nibble):
                start = nibble * CHILD_BYTES
                parts.append(self.branch[start : start + CHILD_BYTES])
        return b"".join(parts)

    def has(self, nibble: int) -> bool:
        """Tell whether a child is given."""
        return bool(self.given >> nibble & 1)


class RejectedError(Exception):
    """A proof proves nothing. Ends the walk of a verifier and never leaves its module."""


Node: TypeAlias = PageNode | BranchNode


def page_node(others: Sequence[Record]) -> bytes:
    """Return the bytes of a page with these records outside of what is being proven."""
    return bytes((len(others),)) + run_of(others)


def branch_node(given: Mapping[int, Child]) -> bytes:
    """Return the bytes of a branch with some children, by nibble, none of them empty."""
    branch = bytearray(BRANCH_BYTES)
    for nibble, child in given.items():
        put_child(branch, nibble, child)
    return BranchNode(sum(1 << nibble for nibble in given), bytes(branch)).encode()


def read_nodes(payload: bytes) -> Iterator[Node]:
    """Read a proof node by node, as its verifier walks.

    Whoever takes only what has a place in its walk reads a few nodes of any proof. A byte is
    enough for a node, and a thousand times as many bytes to hold one.

    Raises:
        WireError: The rest does not begin with a node.
    """
    position = 0
    while position < len(payload):
        if payload[position] == BRANCH_TAG:
            node, position = _read_branch(payload, position + 1)
        else:
            node, position = _read_page(payload, position)
        yield node


def _read_branch(payload: bytes, position: int) -> tuple[Node, int]:
    given = int.from_bytes(payload[position : position + 2], "big")
    position += 2
    end = position + given.bit_count() * CHILD_BYTES
    if end > len(payload):
        raise WireError("Proof", "branch cut short")
    children: list[bytes] = []
    for nibble in range(FAN_OUT):
        if given >> nibble & 1:
            children.append(payload[position : position + CHILD_BYTES])
            position += CHILD_BYTES
        else:
            children.append(_EMPTY_CHILD)
    branch = b"".join(children)
    counts = child_counts(branch)
    if max(counts) > MAX_COUNT or FAN_OUT - counts.count(0) != given.bit_count():
        raise WireError("Proof", f"count not in 1..{MAX_COUNT}")
    return BranchNode(given, branch), position


def _read_page(payload: bytes, position: int) -> tuple[Node, int]:
    count = payload[position]
    if count > PAGE_ACCOUNTS:
        raise WireError("Proof", "page too large")
    start = position = position + 1
    for _ in range(count):
        length_end = position + HEAD_BYTES
        length = int.from_bytes(payload[position + ADDRESS_BYTES : length_end], "big")
        position = length_end + length
        if position > len(payload):
            raise WireError("Proof", "page cut short")
    return PageNode(Records.decode(payload[start:position])), position
