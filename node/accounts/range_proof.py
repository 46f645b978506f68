"""Accounts of a key range with the proof that they are all there are.

    start             L         next              end
      [-- accounts ---]..........|.................]
    covered: every account from start to before `next`, or to the end when there is no `next`

An answer holds accounts from `start` on, as many as its limits allow; L is the last. A verifier
recomputes the root of the trie from them and from the proof, and learns on the way whether more
follow up to the end: no flag says so. The walk of the proof (see `proof_nodes`) treats a child of a
branch by where it lies:

    before the start, behind the end   given
    from the start to L                computed from the accounts
    contains the start or L            walked through
    behind L                           given, and the first one that is not empty holds `next`
    contains the end, behind L         walked through while `next` is not known, else given

"Contains" means that the key cuts it in two: a child that begins with the start lies behind it. A
page that is walked through holds its records outside of `[start, L]`. So there is one proof for
each state, range and number of accounts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Self

from node.accounts.bulk import hash_subtree
from node.accounts.pages import (
    FAN_OUT,
    NO_CHILD,
    PAGE_ACCOUNTS,
    PAGE_DOMAIN,
    ROOT,
    Child,
    Place,
    accounts_below,
    child_at,
    child_counts,
    group_end,
    hash_branch,
    nibble_at,
    put_child,
    root_of,
)
from node.accounts.proof_nodes import (
    BranchNode,
    PageNode,
    RejectedError,
    branch_node,
    page_node,
    read_nodes,
)
from node.accounts.records import Records
from node.crypto.hashes import hash32
from node.storage.runs import beginning, count_in, last_key
from node.storage.store import Reader, Table
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES, Address, Hash32

FIRST_ADDRESS: Final = Address(bytes(ADDRESS_BYTES))
LAST_ADDRESS: Final = Address(b"\xff" * ADDRESS_BYTES)

_BEHIND: Final = FAN_OUT
_BEFORE: Final = -1


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    """Accounts of a range and their proof, not checked yet."""

    leaves: Records
    proof: bytes
    """Is read only as far as the accounts need it: see `verify_range`."""

    @classmethod
    def decode(cls, leaves: bytes, proof: bytes) -> Self:
        """Read the accounts.

        Raises:
            WireError: Not exactly records in address order.
        """
        return cls(Records.decode(leaves), proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a range answer has proven."""

    next: Address | None
    """Every account from the start to before it was in the answer, and it is at most the end. None
    if the answer reaches the end."""
    before: int
    """Accounts of the state before the start."""
    total: int
    """Accounts of the state."""
    branches: Mapping[bytes, bytes] = field(default_factory=dict, compare=False, repr=False)
    """Branches of the subtrees that the answer holds as a whole: store key -> encoded branch."""


def prove_range(
    reader: Reader, start: Address, end: Address, *, max_leaves: int, max_bytes: int
) -> tuple[bytes, bytes]:
    """Return the accounts of `start..end`, both inclusive, as many as fit, and their proof.

    Args:
        reader: The state.
        start: At most `end`.
        end: Last key that is asked for.
        max_leaves: Most accounts, at least 1.
        max_bytes: Most bytes of accounts, without the proof. One account is always included.
    """
    leaves = _collect(reader, start, end, max_leaves, max_bytes)
    last = last_key(leaves) if leaves else b""
    return leaves, _Prover(reader, start, last, end).prove()


def verify_range(
    root: Hash32, start: Address, end: Address, answer: RangeAnswer
) -> Verified | None:
    """Check an answer for `start..end`, both inclusive, against the root of a state.

    Returns:
        What is proven; None if the answer proves nothing, or has no account where there are some.
    """
    assert start <= end
    addresses = answer.leaves.addresses
    if addresses and not start <= addresses[0] <= addresses[-1] <= end:
        return None
    return _Verifier(start, end, answer).verify(root)


class _Part(Enum):
    """Where a child lies. See the module."""

    GIVEN = auto()
    LEFT = auto()
    """Given, and before the start."""
    INSIDE = auto()
    CUT = auto()
    NEXT = auto()
    """Behind the accounts and wholly before the end."""
    END = auto()


# A member costs less by a name of its own than by that of its class: this is looked at most often.
_GIVEN: Final = _Part.GIVEN
_LEFT: Final = _Part.LEFT
_INSIDE: Final = _Part.INSIDE
_CUT: Final = _Part.CUT
_NEXT: Final = _Part.NEXT
_END: Final = _Part.END


@dataclass(frozen=True, slots=True)
class _Range:
    """The three keys that cut the trie, as strings of 40 nibbles."""

    start: str
    last: str
    """Empty without accounts."""
    end: str

    @classmethod
    def of(cls, start: bytes, last: bytes, end: bytes) -> Self:
        return cls(start.hex(), last.hex(), end.hex())

    @property
    def covers_all(self) -> bool:
        """Whether the accounts reach over the whole key space, so that nothing is cut."""
        return not self.start.strip("0") and bool(self.last) and not self.last.strip("f")

    def parts(self, place: Place) -> list[_Part]:
        """Say of each child of a place where it lies."""
        prefix = place.prefix.hex()[: place.depth]
        start, last, end = (_nibble(key, prefix) for key in (self.start, self.last, self.end))
        behind = place.depth + 1
        parts = [_LEFT] * max(start, 0)
        parts += [_INSIDE] * (min(last, FAN_OUT) - len(parts))
        parts += [_NEXT] * (min(end + 1, FAN_OUT) - len(parts))
        parts += [_GIVEN] * (FAN_OUT - len(parts))
        if end < FAN_OUT and end > last and self.end[behind:].strip("f"):
            parts[end] = _END
        if 0 <= last < FAN_OUT:
            parts[last] = _CUT if self.last[behind:].strip("f") else _INSIDE
        if 0 <= start < FAN_OUT and self.start[behind:].strip("0"):
            parts[start] = _CUT
        return parts


def _nibble(key: str, prefix: str) -> int:
    """Return which child of a place a key falls into; -1 or 16 if the key is before or behind."""
    own = key[: len(prefix)]
    if not key or own < prefix:
        return _BEFORE
    return _BEHIND if own > prefix else int(key[len(prefix)], 16)


def _collect(
    reader: Reader, start: Address, end: Address, max_leaves: int, max_bytes: int
) -> bytes:
    leaves: list[bytes] = []
    # No key is longer than the end, so the first one behind it is the end and a zero byte.
    for run in reader.scan_runs(start, end + b"\0"):
        count = count_in(run)
        if count > max_leaves or len(run) > max_bytes:
            leaves.append(beginning(run, max_leaves, max_bytes))
            # One account is given however large it is.
            return b"".join(leaves) or beginning(run, 1, len(run))
        leaves.append(run)
        max_leaves -= count
        max_bytes -= len(run)
    return b"".join(leaves)


class _Prover:
    """Walks through the stored trie and writes the nodes down."""

    def __init__(self, reader: Reader, start: bytes, last: bytes, end: bytes) -> None:
        self._reader = reader
        self._range = _Range.of(start, last, end)
        self._start, self._last, self._end = start, last, end
        self._has_next = False

    def prove(self) -> bytes:
        if self._range.covers_all:
            return b""
        branch = self._reader.get(Table.BRANCHES, ROOT.key)
        return self._page(ROOT) if branch is None else self._branch(ROOT, branch)

    def _node(self, place: Place, accounts: int) -> bytes:
        if not accounts:
            return page_node([])
        if accounts <= PAGE_ACCOUNTS:
            return self._page(place)
        branch = self._reader.get(Table.BRANCHES, place.key)
        assert branch is not None, f"no branch at {place}"
        return self._branch(place, branch)

    def _page(self, place: Place) -> bytes:
        records = self._reader.scan(Table.ACCOUNTS, place.prefix, place.end)
        others = [item for item in records if not self._start <= item[0] <= self._last]
        self._has_next |= any(
            address >= self._start and address <= self._end for address, _ in others
        )
        return page_node(others)

    def _branch(self, place: Place, branch: bytes) -> bytes:
        given: dict[int, Child] = {}
        below: list[bytes] = []
        for nibble, part in enumerate(self._range.parts(place)):
            child = child_at(branch, nibble)
            if part is _CUT or (part is _END and not self._has_next):
                below.append(self._node(place.child(nibble), child.accounts))
            elif part is not _INSIDE and child.accounts:
                given[nibble] = child
                self._has_next |= part is _NEXT
        return branch_node(given) + b"".join(below)


class _Verifier:
    """Takes the same walk with what the answer has, and computes the root on the way back."""

    def __init__(self, start: Address, end: Address, answer: RangeAnswer) -> None:
        self._start, self._end = start, end
        self._leaves = answer.leaves
        self._last = answer.leaves.addresses[-1] if answer.leaves.addresses else b""
        self._range = _Range.of(start, self._last, end)
        self._nodes = read_nodes(answer.proof)
        self._next: Address | None = None
        self._before = 0
        self._branches: dict[bytes, bytes] = {}

    def verify(self, root: Hash32) -> Verified | None:
        count = len(self._leaves)
        try:
            if self._range.covers_all:
                child = hash_subtree(ROOT, self._leaves, 0, count, self._branches)
            else:
                child = self._node(ROOT, 0, count)
            is_all = next(self._nodes, None) is None
        except (RejectedError, WireError):
            return None
        if root_of(child) != root or not is_all:
            return None
        if self._next is not None and not count:
            return None
        return Verified(
            next=self._next,
            before=self._before,
            total=child.accounts,
            branches=self._branches,
        )

    def _node(self, place: Place, first: int, end: int) -> Child:
        """Take the next node, which stands at a place, and the accounts that lie there."""
        match next(self._nodes, None):
            case PageNode(others):
                return self._page(others, first, end)
            case BranchNode() as node:
                # A key cuts no place at depth 40, so this goes no deeper.
                return self._branch(place, node, first, end)
            case None:
                raise RejectedError

    def _page(self, others: Records, first: int, end: int) -> Child:
        count = len(others) + end - first
        if count > PAGE_ACCOUNTS:
            raise RejectedError
        left = sum(address < self._start for address in others.addresses)
        if left < len(others):
            behind = others.addresses[left]
            if behind <= self._last:
                raise RejectedError
            if behind <= self._end:
                self._next = Address(behind)
        self._before += left
        if not count:
            return NO_CHILD
        parts = others.slice(0, left), self._leaves.slice(first, end)
        content = b"".join((PAGE_DOMAIN, *parts, others.slice(left, len(others))))
        return Child(count, hash32(content))

    def _branch(self, place: Place, node: BranchNode, first: int, end: int) -> Child:
        branch = bytearray(node.branch)
        counts = child_counts(branch)
        for nibble, part in enumerate(self._range.parts(place)):
            is_walked = part is _CUT or (part is _END and self._next is None)
            if not is_walked and part is not _INSIDE:
                if counts[nibble]:
                    self._note_given(place, nibble, part, counts[nibble])
                continue
            if counts[nibble]:
                raise RejectedError
            middle = self._child_end(place.depth, nibble, first, end)
            if is_walked:
                child = self._node(place.child(nibble), first, middle)
            else:
                child = hash_subtree(
                    place.child(nibble), self._leaves, first, middle, self._branches
                )
            put_child(branch, nibble, child)
            first = middle
        assert first == end, "every account lies in a child that is computed or walked through"
        accounts = accounts_below(branch)
        if accounts <= PAGE_ACCOUNTS:
            raise RejectedError
        return Child(accounts, hash_branch(branch))

    def _note_given(self, place: Place, nibble: int, part: _Part, accounts: int) -> None:
        if part is _LEFT:
            self._before += accounts
        elif part is _NEXT and self._next is None:
            self._next = Address(place.child(nibble).prefix.ljust(ADDRESS_BYTES, b"\0"))

    def _child_end(self, depth: int, nibble: int, first: int, end: int) -> int:
        """Return where the accounts of a child end, if the first one is not behind it."""
        addresses = self._leaves.addresses
        if first == end or nibble_at(addresses[first], depth) != nibble:
            return first
        return group_end(addresses, depth, first, end)
