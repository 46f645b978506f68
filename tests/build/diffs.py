"""Diffs of blocks that nobody has executed."""

from collections.abc import Mapping

from node.accounts.diff import Change, Diff
from node.storage.store import Reader, Table
from protocols.types import Address


def diff_between(reader: Reader, changes: Mapping[Address, bytes | None]) -> Diff:
    """Compare new values with the stored ones; what stays the same is left out."""
    entries = []
    for address in sorted(changes):
        old, new = reader.get(Table.ACCOUNTS, address), changes[address]
        if old != new:
            entries.append(Change(address, old, new))
    return Diff(tuple(entries))
