"""Single nodes of the trie, to compare two states and to fetch what differs.

A node travels as exactly the bytes that its hash covers: a zero byte and the records of a page, or
a one and the 16 children of a branch. So it proves itself against what the branch above says of
it, whoever sent it. Whoever wants another state opens its root, compares the children with its own
and goes down only where they differ.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from node.accounts.pages import (
    BRANCH_BYTES,
    BRANCH_DOMAIN,
    EMPTY_ROOT,
    FAN_OUT,
    PAGE_DOMAIN,
    Child,
    Place,
    child_at,
)
from node.accounts.records import Records
from node.accounts.stored import child_of
from node.crypto.hashes import hash32
from node.storage.store import Reader
from protocols.types import Hash32


@dataclass(frozen=True, slots=True)
class Page:
    """A subtree of at most 64 accounts."""

    records: Records


@dataclass(frozen=True, slots=True)
class Branch:
    """A larger subtree."""

    children: tuple[Child, ...]
    """One for each nibble, 16 of them."""


Subtree: TypeAlias = Page | Branch


def open_root(root: Hash32, payload: bytes) -> Subtree | None:
    """Read the node at the root of a state; None unless it has that root."""
    return _decode(payload) if hash32(payload) == root else None


def open_subtree(child: Child, payload: bytes) -> Subtree | None:
    """Read the node of which the branch above says `child`; None if it is another one."""
    expected = child.hash if child.accounts else EMPTY_ROOT
    return _decode(payload) if hash32(payload) == expected else None


def differing(reader: Reader, place: Place, theirs: Branch) -> Iterator[tuple[Place, Child]]:
    """Yield the children of a branch that are not as in a stored state, and what they should be.

    Args:
        reader: Our state, with branches that fit to its accounts.
        place: Where the branch stands.
        theirs: As opened.
    """
    for nibble, child in enumerate(theirs.children):
        below = place.child(nibble)
        if child_of(reader, below) != child:
            yield below, child


def _decode(payload: bytes) -> Subtree | None:
    content = payload[1:]
    if payload[:1] == PAGE_DOMAIN:
        return Page(Records.decode(content))
    if payload[:1] != BRANCH_DOMAIN or len(content) != BRANCH_BYTES:
        return None
    return Branch(tuple(child_at(content, nibble) for nibble in range(FAN_OUT)))
