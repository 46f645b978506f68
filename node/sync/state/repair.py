r"""Finding what differs between the stored accounts and a state, from the root down.

    ours   *                 theirs   *            asked for: the root, then what differs
          / \                        / \
         =   *                      =   *          pages are not opened: fetching their range
            / \                        / \        again costs no more
           =   x                      =   x  ------> differs

Whatever has the same hash is the same, whether it was fetched before or not. How many nodes are
opened is bounded: below them all of a branch counts as different.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from node.accounts.pages import PAGE_ACCOUNTS, ROOT, Child, Place, root_of
from node.accounts.stored import child_of
from node.accounts.subtrees import Branch, Subtree, differing, open_root, open_subtree
from node.storage.store import Reader, Table
from node.sync.state.coverage import Span, span_of
from node.sync.state.target import SyncTarget
from protocols.errors import WireError
from protocols.types import Hash32


@dataclass(frozen=True, slots=True)
class Wanted:
    """A node of the state, and how it is recognised."""

    place: Place
    expected: Child | Hash32
    """What the branch above says of it; the state's root for the root."""


@dataclass(frozen=True, slots=True)
class Differing:
    """A place that is not as in the state."""

    place: Place
    branch: Child | None
    """What it should be, if both sides have a branch there: then it is worth looking into."""


class Repair:
    """One walk."""

    def __init__(self, target: SyncTarget, *, max_nodes: int) -> None:
        """Begin at the root.

        Args:
            target: Whose state it is.
            max_nodes: That are opened.
        """
        self.target = target
        self._left = max_nodes - 1
        self._waiting: deque[Wanted] = deque([Wanted(ROOT, target.state_root)])
        self._differing: list[Span] = []

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to be asked."""
        return not self._waiting

    @property
    def differing(self) -> tuple[Span, ...]:
        """The ranges that differ, once done."""
        return tuple(self._differing)

    def wanted(self, count: int) -> tuple[Wanted, ...]:
        """Return the next nodes to be asked for."""
        return tuple(self._waiting)[:count]

    def take(self, count: int, found: Sequence[Differing]) -> None:
        """Note what the first nodes have shown.

        Args:
            count: Nodes that were opened, in their order.
            found: Places right below them, or the place of a node itself.
        """
        for _ in range(count):
            self._waiting.popleft()
        for each in found:
            if each.branch is not None and self._left > 0:
                self._left -= 1
                self._waiting.append(Wanted(each.place, each.branch))
            else:
                self._differing.append(span_of(each.place))


def compare(
    reader: Reader, wanted: Sequence[Wanted], nodes: Sequence[bytes]
) -> tuple[Differing, ...] | None:
    """Check nodes of a state and compare them with the stored accounts.

    Args:
        reader: With branches that belong to the accounts.
        wanted: What was asked for.
        nodes: What has come, one for each.

    Returns:
        What differs right below these nodes; None if one is not what was asked for.
    """
    found: list[Differing] = []
    for each, payload in zip(wanted, nodes, strict=True):
        opened = _open(each.expected, payload)
        if opened is None:
            return None
        found += _compare(reader, each, opened)
    return tuple(found)


def _open(expected: Child | Hash32, payload: bytes) -> Subtree | None:
    try:
        if isinstance(expected, Child):
            return open_subtree(expected, payload)
        return open_root(expected, payload)
    except WireError:
        return None


def _compare(reader: Reader, wanted: Wanted, opened: Subtree) -> list[Differing]:
    place = wanted.place
    if place == ROOT and root_of(child_of(reader, ROOT)) == wanted.expected:
        return []
    if not isinstance(opened, Branch) or not _has_branch(reader, place):
        return [Differing(place, None)]
    return [
        Differing(below, child if _is_worth_opening(reader, below, child) else None)
        for below, child in differing(reader, place, opened)
    ]


def _is_worth_opening(reader: Reader, place: Place, child: Child) -> bool:
    return child.accounts > PAGE_ACCOUNTS and _has_branch(reader, place)


def _has_branch(reader: Reader, place: Place) -> bool:
    return reader.get(Table.BRANCHES, place.key) is not None
