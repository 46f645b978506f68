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

from node.accounts.branch_patch import patch_of, patch_of_gone
from node.accounts.bulk import hash_subtree
from node.accounts.missing_branches import complete, levels
from node.accounts.pages import (
    CHILD_PLACES,
    EMPTY_ROOT,
    PAGE_ACCOUNTS,
    ROOT,
    Child,
    Place,
    accounts_below,
    branch_key,
    count_of,
    end_of,
    group_end,
    hash_branch,
    hash_run,
    nibble_at,
    pack_child,
    prefix_of,
    root_of,
    unpack_child,
)
from node.accounts.records import Records
from node.accounts.stored import child_of
from node.storage.runs import Change, changed, count_in, replaced, width_of
from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import Address, Hash32

__all__ = [
    "EMPTY_ROOT",
    "TrieUpdate",
    "plan",
    "rebuild",
    "root",
    "update",
    "update_part",
]


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
        writer.change(Table.ACCOUNTS, sorted(self.accounts.items()))
        writer.change(Table.BRANCHES, sorted(self.branches.items()))


def root(reader: Reader) -> Hash32:
    """Return the root of the stored state."""
    return root_of(child_of(reader, ROOT))


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


def update_part(writer: Writer, changes: Sequence[Change]) -> None:
    """Change accounts of a state that has not all of its branches; see `missing_branches`.

    What is stored stays right: the branches above the accounts are made anew where they are stored,
    and stay missing where they are not.

    Args:
        writer: The transaction.
        changes: Ascending by address, no address twice; None deletes.
    """
    if changes:
        planner = _Planner(writer, changes)
        planner.update_stored()
        writer.change(Table.BRANCHES, sorted(planner.branches.items()))
        writer.change(Table.ACCOUNTS, changes)


def rebuild(writer: Writer) -> Hash32:
    """Make all branches anew from the stored accounts and return the root."""
    delete_range(writer, Table.BRANCHES)
    made = complete(writer)
    assert made is not None, "there was no limit"
    return made


class _Planner:
    """Walks down to the changed accounts and collects the branches on the way back up.

    A subtree is told by its depth and by which of the changes lie in it: `first`, the index of the
    first one, and `end`, the index behind the last one. What a branch says of a subtree is handed
    up in its encoding, because it is written as it is and hardly ever looked into.
    """

    def __init__(self, reader: Reader, changes: Sequence[Change]) -> None:
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
            return unpack_child(self._update_page(0, 0, end))
        return unpack_child(self._update_branch(0, 0, end))

    def update_stored(self) -> None:
        """Apply the changes below each of the topmost branches that are stored."""
        depths = range(levels(self._reader))
        low, end = 0, len(self._changes)
        while low < end:
            address, high = self._addresses[low], low + 1
            for depth in depths:
                if self._reader.get(Table.BRANCHES, branch_key(address, depth)) is not None:
                    behind = end_of(prefix_of(address, depth), depth)
                    high = end if behind is None else bisect_left(self._addresses, behind, low)
                    self._update_branch(depth, low, high)
                    break
            low = high

    def _update_branch(self, depth: int, first: int, end: int) -> bytes:
        key = branch_key(self._addresses[first], depth)
        stored = self._reader.get(Table.BRANCHES, key)
        assert stored is not None, f"no branch {key.hex()}"
        branch = bytearray(stored)
        given, olds = 0, []
        low = first
        while low < end:
            high = group_end(self._addresses, depth, low, end)
            nibble = nibble_at(self._addresses[low], depth)
            place = CHILD_PLACES[nibble]
            old = stored[place]
            update = self._update_branch if count_of(old) > PAGE_ACCOUNTS else self._update_page
            new = update(depth + 1, low, high)
            if new != old:
                branch[place] = new
                given |= 1 << nibble
                olds.append(old)
            low = high
        accounts = accounts_below(branch)
        if accounts <= PAGE_ACCOUNTS:
            # Children that were branches are pages by now and have noted their own end.
            self.branches[key], self.patches[key] = None, patch_of_gone(stored)
            return self._update_page(depth, first, end)
        self.branches[key], self.patches[key] = bytes(branch), patch_of(given, olds)
        return pack_child(accounts, hash_branch(branch))

    def _update_page(self, depth: int, first: int, end: int) -> bytes:
        """Change a page, or what is to be one."""
        prefix = prefix_of(self._addresses[first], depth)
        run = self._reader.run(prefix, end_of(prefix, depth))
        width = width_of(run)
        changes = self._changes[first:end]
        if len(changes) == 1 and (new := replaced(run, *changes[0], width)):
            accounts = len(new) // width
        else:
            new = changed(run, changes, width)
            accounts = count_in(new)
        if 0 < accounts <= PAGE_ACCOUNTS:
            return pack_child(accounts, hash_run(new))
        branches: dict[bytes, bytes] = {}
        child = hash_subtree(Place(depth, prefix), Records.of(new), 0, accounts, branches)
        self.branches.update(branches)
        return pack_child(*child)
