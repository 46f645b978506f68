"""The accounts trie over a store: root, update and rebuild.

Accounts lie in `Table.ACCOUNTS` in address order, so a page is a range of them and is stored
nowhere else. Branches lie in `Table.BRANCHES` by depth and prefix. What nodes look like and how
they hash is in `node.accounts.pages`.

An update is planned over a reader and written later or never: a proposer wants only the root of
what it proposes, and a verifier compares it with the header first. Planning reads the pages and
branches above the changed accounts and nothing else.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Final, TypeAlias

from node.accounts.bulk import hash_subtree
from node.accounts.pages import (
    EMPTY_ROOT,
    FAN_OUT,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    Record,
    accounts_below,
    build_subtree,
    child_at,
    encode_branch,
    hash_branch,
    nibble_at,
    page_child,
    put_child,
    root_from_records,
    root_of,
)
from node.accounts.records import Records, records_of
from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import Address, Hash32

__all__ = [
    "EMPTY_ROOT",
    "TrieUpdate",
    "plan",
    "rebuild",
    "root",
    "root_from_records",
    "update",
]

BUILT_AT_ONCE: Final = 4096
"""Accounts of a subtree that is built at once: two megabytes. More are slower, because the garbage
collector looks at what lives long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieUpdate:
    """A planned update: the root that it leads to and all that must be written for it."""

    root: Hash32
    accounts: Mapping[Address, bytes | None]
    """New value by address, None to delete."""
    branches: Mapping[bytes, bytes | None]
    """Encoded branch by store key, None to delete."""
    replaced: Mapping[bytes, bytes]
    """What is stored at those store keys now, where there is a branch."""

    def write(self, writer: Writer) -> None:
        """Carry it out. The state must still be the one that it was planned over."""
        _write(writer, Table.ACCOUNTS, self.accounts)
        _write(writer, Table.BRANCHES, self.branches)


def root(reader: Reader) -> Hash32:
    """Return the root of the stored state."""
    payload = reader.get(Table.BRANCHES, ROOT.key)
    if payload is not None:
        return hash_branch(payload)
    return root_of(page_child(tuple(reader.scan(Table.ACCOUNTS))))


def plan(reader: Reader, changes: Mapping[Address, bytes | None]) -> TrieUpdate:
    """Find the root after some changes without writing anything.

    Args:
        reader: The state as it is.
        changes: New value by address; None deletes, and a missing account may be deleted.
    """
    if not changes:
        return TrieUpdate(root=root(reader), accounts={}, branches={}, replaced={})
    planner = _Planner(reader)
    child = planner.update_root(sorted(changes.items()))
    return TrieUpdate(
        root=root_of(child),
        accounts=changes,
        branches=planner.branches,
        replaced=planner.replaced,
    )


def update(writer: Writer, changes: Mapping[Address, bytes | None]) -> Hash32:
    """Change accounts and return the new root."""
    planned = plan(writer, changes)
    planned.write(writer)
    return planned.root


def rebuild(writer: Writer) -> Hash32:
    """Make all branches anew from the stored accounts and return the root."""
    delete_range(writer, Table.BRANCHES)
    return root_of(_Builder(writer).build(ROOT))


_Change: TypeAlias = tuple[Address, bytes | None]


class _Planner:
    """Walks down to the changed accounts and collects the branches on the way back up."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.branches: dict[bytes, bytes | None] = {}
        self.replaced: dict[bytes, bytes] = {}

    def update_root(self, changes: list[_Change]) -> Child:
        """Apply changes, ascending by address, to the whole trie."""
        branch = self._reader.get(Table.BRANCHES, ROOT.key)
        if branch is None:
            return build_subtree(ROOT, self._changed_records(ROOT, changes), self.branches)
        return self._update_branch(ROOT, accounts_below(branch), changes)

    def _update(self, place: Place, accounts: int, changes: list[_Change]) -> Child:
        if accounts > PAGE_ACCOUNTS:
            return self._update_branch(place, accounts, changes)
        return build_subtree(place, self._changed_records(place, changes), self.branches)

    def _update_branch(self, place: Place, accounts: int, changes: list[_Change]) -> Child:
        stored = self._reader.get(Table.BRANCHES, place.key)
        assert stored is not None, f"no branch at {place}"
        self.replaced[place.key] = stored
        branch = bytearray(stored)
        for nibble, group in _by_nibble(changes, place.depth):
            before = child_at(branch, nibble)
            after = self._update(place.child(nibble), before.accounts, group)
            put_child(branch, nibble, after)
            accounts += after.accounts - before.accounts
        if accounts > PAGE_ACCOUNTS:
            self.branches[place.key] = bytes(branch)
            return Child(accounts, hash_branch(branch))
        # Children that were branches are pages by now and have noted their own end.
        self.branches[place.key] = None
        return page_child(self._changed_records(place, changes))

    def _changed_records(self, place: Place, changes: list[_Change]) -> list[Record]:
        stored = self._reader.scan(Table.ACCOUNTS, place.prefix, place.end)
        records: dict[bytes, bytes] = dict(stored)
        for address, value in changes:
            if value is None:
                records.pop(address, None)
            else:
                records[address] = value
        return sorted(records.items())


def _by_nibble(changes: list[_Change], depth: int) -> Iterator[tuple[int, list[_Change]]]:
    """Split changes, ascending by address, by the nibble that decides at a depth."""
    if len(changes) == 1:
        yield nibble_at(changes[0][0], depth), changes
        return
    for nibble, group in groupby(changes, key=lambda change: nibble_at(change[0], depth)):
        yield nibble, list(group)


class _Source:
    """Accounts of a store in their order, read once, a bounded number of them held."""

    def __init__(self, reader: Reader) -> None:
        self._items = reader.scan(Table.ACCOUNTS)
        self._held: list[Record] = []

    def take(self, place: Place) -> list[Record] | None:
        """Take the accounts at a place, before which none is left; None if they are too many."""
        missing = BUILT_AT_ONCE + 1 - len(self._held)
        if missing > 0:
            # As many again, so that small takes do not copy the rest each time.
            self._held += islice(self._items, missing + BUILT_AT_ONCE)
        end = place.end
        count = len(self._held) if end is None else bisect_left(self._held, (end, b""))
        if count > BUILT_AT_ONCE:
            return None
        taken, self._held = self._held[:count], self._held[count:]
        return taken


class _Builder:
    """Writes the branches above all accounts of a store."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._source = _Source(writer)

    def build(self, place: Place) -> Child:
        items = self._source.take(place)
        if items is not None:
            return self._build_at_once(place, records_of(items))
        children = [self.build(place.child(nibble)) for nibble in range(FAN_OUT)]
        branch = encode_branch(children)
        self._writer.put(Table.BRANCHES, place.key, branch)
        return Child(sum(child.accounts for child in children), hash_branch(branch))

    def _build_at_once(self, place: Place, records: Records) -> Child:
        branches: dict[bytes, bytes] = {}
        child = hash_subtree(place, records, 0, len(records), branches)
        self._writer.put_many(Table.BRANCHES, sorted(branches.items()))
        return child


def _write(
    writer: Writer,
    table: Table,
    values: Mapping[Address, bytes | None] | Mapping[bytes, bytes | None],
) -> None:
    for key, value in values.items():
        if value is None:
            writer.delete(table, key)
        else:
            writer.put(table, key, value)
