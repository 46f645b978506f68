"""The accounts trie over a store: root, update and rebuild.

Accounts lie in `Table.ACCOUNTS` in address order, so a page is a range of them and is stored
nowhere else. Branches lie in `Table.BRANCHES` by depth and prefix. What nodes look like and how
they hash is in `node.accounts.pages`.

An update is planned over a reader and written later or never: a proposer wants only the root of
what it proposes, and a verifier compares it with the header first. Planning reads the pages and
branches above the changed accounts and nothing else.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias

from node.accounts.branch_patch import patch_of, patch_of_gone
from node.accounts.bulk import hash_subtree
from node.accounts.pages import (
    CHILD_PLACES,
    EMPTY_ROOT,
    FAN_OUT,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    Record,
    accounts_below,
    branch_key,
    build_subtree,
    count_of,
    encode_branch,
    group_end,
    hash_branch,
    hash_page,
    nibble_at,
    pack_child,
    page_child,
    prefix_of,
    root_from_records,
    root_of,
    unpack_child,
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
    patches: Mapping[bytes, bytes]
    """What leads from each of those branches that is stored now back to what it is now, by store
    key; see `node.accounts.branch_patch`."""

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
        return TrieUpdate(root=root(reader), accounts={}, branches={}, patches={})
    planner = _Planner(reader, sorted(changes.items()))
    child = planner.update_root()
    return TrieUpdate(
        root=root_of(child), accounts=changes, branches=planner.branches, patches=planner.patches
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
    """Walks down to the changed accounts and collects the branches on the way back up.

    A subtree is told by its depth and by which of the changes lie in it: `first`, the index of the
    first one, and `end`, the index behind the last one. What a branch says of a subtree is handed
    up in its encoding, because it is written as it is and hardly ever looked into.
    """

    def __init__(self, reader: Reader, changes: Sequence[_Change]) -> None:
        """Begin to plan changes, ascending by address, of which there is at least one."""
        self._reader = reader
        self._changes = changes
        self._addresses = [address for address, _ in changes]
        self.branches: dict[bytes, bytes | None] = {}
        self.patches: dict[bytes, bytes] = {}

    def update_root(self) -> Child:
        """Apply the changes to the whole trie."""
        end = len(self._changes)
        branch = self._reader.get(Table.BRANCHES, ROOT.key)
        if branch is None:
            return unpack_child(self._update_page(0, None, 0, end))
        return unpack_child(self._update_branch(0, accounts_below(branch), 0, end))

    def _update_branch(self, depth: int, accounts: int, first: int, end: int) -> bytes:
        key = branch_key(self._addresses[first], depth)
        stored = self._reader.get(Table.BRANCHES, key)
        assert stored is not None, f"no branch {key.hex()}"
        branch, after = bytearray(stored), accounts
        given, replaced = 0, []
        low = first
        while low < end:
            high = group_end(self._addresses, depth, low, end)
            nibble = nibble_at(self._addresses[low], depth)
            place = CHILD_PLACES[nibble]
            old = stored[place]
            count = count_of(old)
            update = self._update_branch if count > PAGE_ACCOUNTS else self._update_page
            new = update(depth + 1, count, low, high)
            if new != old:
                branch[place] = new
                after += count_of(new) - count
                given |= 1 << nibble
                replaced.append(old)
            low = high
        if after <= PAGE_ACCOUNTS:
            # Children that were branches are pages by now and have noted their own end.
            self.branches[key], self.patches[key] = None, patch_of_gone(stored)
            return self._update_page(depth, accounts, first, end)
        self.branches[key], self.patches[key] = bytes(branch), patch_of(given, replaced)
        return pack_child(after, hash_branch(branch))

    def _update_page(self, depth: int, accounts: int | None, first: int, end: int) -> bytes:
        """Change a page, or what is to be one, of so many accounts; None for all that there are."""
        prefix = prefix_of(self._addresses[first], depth)
        # Counted and not compared with where the page ends: half of what it costs to read it.
        records = list(islice(self._reader.scan(Table.ACCOUNTS, prefix), accounts))
        changed = _changed_records(records, self._changes[first:end])
        if 0 < len(changed) <= PAGE_ACCOUNTS:
            return pack_child(len(changed), hash_page(changed))
        return pack_child(*build_subtree(Place(depth, prefix), changed, self.branches))


def _changed_records(records: list[Record], changes: Sequence[_Change]) -> list[Record]:
    """Return records after changes, both in address order. The list of records is used up."""
    if len(changes) > 1:
        changed: dict[bytes, bytes | None] = dict(records)
        changed.update(changes)
        return sorted((address, value) for address, value in changed.items() if value is not None)
    ((address, value),) = changes
    index = bisect_left(records, (address,))
    end = index + (index < len(records) and records[index][0] == address)
    records[index:end] = () if value is None else ((address, value),)
    return records


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
    kept: list[tuple[bytes, bytes]] = []
    for key, value in sorted(values.items()):
        if value is None:
            writer.delete(table, key)
        else:
            kept.append((key, value))
    writer.put_many(table, kept)
