"""Branches that are still missing above accounts, next to others that are there already.

A stored branch belongs to the accounts below it as they are, and all branches below it are stored
too. Whoever changes accounts makes the branches above them anew where they are stored
(`trie.update_part`), or forgets them. So the root of everything can be computed from what is there,
and only what is missing is made.
"""

from math import inf
from typing import Final

from node.accounts.bulk import hash_subtree
from node.accounts.pages import (
    FAN_OUT,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    branch_child,
    encode_branch,
    place_above,
    root_of,
)
from node.accounts.records import Records
from node.storage.runs import count_in
from node.storage.store import Reader, Table, Writer
from protocols.types import Address, Hash32

BUILT_AT_ONCE: Final = 1024
"""Accounts of a subtree that is built from its accounts alone. What has more is looked into for
branches that are there, at the price of having read so many in vain."""


def complete(writer: Writer, *, limit: int | None = None) -> Hash32 | None:
    """Make the branches that are missing.

    Args:
        writer: What is made stays made, and the next call goes on there.
        limit: Accounts after which to stop, about; some branch is always made. None for all.

    Returns:
        The root; None if some are still missing.
    """
    try:
        return root_of(_Builder(writer, limit).build(ROOT))
    except _EnoughError:
        return None


def forget_across(writer: Writer, start: Address, end: Address) -> None:
    """Remove the branches above a key range, both ends included, and all inside of it."""
    for depth in range(levels(writer)):
        first, last = place_above(start, depth).key, place_above(end, depth).key
        for key in [key for key, _ in writer.scan(Table.BRANCHES, first, last + b"\0")]:
            writer.delete(Table.BRANCHES, key)


def levels(reader: Reader) -> int:
    """Return how many depths have branches, or may have."""
    deepest = next(reader.scan(Table.BRANCHES, reverse=True), None)
    return 0 if deepest is None else deepest[0][0] + 1


class _EnoughError(Exception):
    """Ends the walk of a builder and never leaves this module."""


class _Builder:
    def __init__(self, writer: Writer, limit: int | None) -> None:
        self._writer = writer
        self._left = inf if limit is None else limit

    def build(self, place: Place) -> Child:
        branch = self._writer.get(Table.BRANCHES, place.key)
        if branch is not None:
            return branch_child(branch)
        if self._left <= 0:
            raise _EnoughError
        records = None if self._has_branch_below(place) else self._few_at(place)
        if records is not None:
            return self._build_at_once(place, records)
        children = [self.build(place.child(nibble)) for nibble in range(FAN_OUT)]
        branch = encode_branch(children)
        self._writer.put(Table.BRANCHES, place.key, branch)
        self._left -= PAGE_ACCOUNTS
        return branch_child(branch)

    def _has_branch_below(self, place: Place) -> bool:
        """Tell whether a child has a branch: then there are many accounts, and none is read."""
        first, last = place.child(0).key, place.child(FAN_OUT - 1).key
        return next(self._writer.scan(Table.BRANCHES, first, last + b"\0"), None) is not None

    def _few_at(self, place: Place) -> Records | None:
        """Return the accounts below a place; None if they are too many."""
        runs: list[bytes] = []
        accounts = 0
        for run in self._writer.scan_runs(place.prefix, place.end):
            runs.append(run)
            accounts += count_in(run)
            if accounts > BUILT_AT_ONCE:
                return None
        return Records.of(b"".join(runs))

    def _build_at_once(self, place: Place, records: Records) -> Child:
        branches: dict[bytes, bytes] = {}
        child = hash_subtree(place, records, 0, len(records), branches)
        self._writer.put_many(Table.BRANCHES, sorted(branches.items()))
        # A page leaves nothing: to count it again and again would be no progress.
        self._left -= len(records) if branches else 0
        return child
