"""The state after an older block, from the present one and what blocks have changed since.

    present  ... e f g h          an account or branch at height 5 is what the first change above 5
    changes   6:  f  8: f h       replaced; without such a change it is what it is now

Nothing is copied and no snapshot is kept open for it. A lookup costs one more per block above the
height that changed anything, so states of the last few hundred blocks are cheap.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from node.accounts.state_history import HEIGHT_BYTES, changed_heights, old_value, patched
from node.chain.block_store import height_key
from node.storage.store import Reader, Table
from protocols.types import Height

SCAN_BLOCK: Final = 256
"""Accounts that a scan takes at once: each time it looks for changes of every block above."""


class StateAt:
    """A `Reader` of accounts and branches only."""

    def __init__(self, reader: Reader, height: Height) -> None:
        """Present a state.

        Args:
            reader: One snapshot of the store, with all changes above the height.
            height: At least the oldest state's; of the head or above it is the present state.
        """
        self._reader = reader
        self._prefixes = [height_key(changed) for changed in changed_heights(reader, height)]
        """Of the rows of each block above, ascending."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return an account or a branch, or None."""
        if table is Table.ACCOUNTS:
            return self._account(key)
        assert table is Table.BRANCHES
        branch = self._reader.get(table, key)
        for prefix in reversed(self._prefixes):
            patch = self._reader.get(Table.OLD_BRANCHES, prefix + key)
            if patch is not None:
                branch = patched(branch, patch)
        return branch

    def scan(
        self,
        table: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield accounts with `start <= address < end` in their order, and never from the end."""
        assert table is Table.ACCOUNTS
        assert not reverse
        present = self._reader.scan(table, start, end)
        while True:
            items = list(islice(present, SCAN_BLOCK))
            is_last = len(items) < SCAN_BLOCK
            high = end if is_last else items[-1][0] + b"\0"
            yield from self._as_it_was(items, start, high)
            if is_last or high is None:
                return
            start = high

    def _account(self, address: bytes) -> bytes | None:
        for prefix in self._prefixes:
            row = self._reader.get(Table.CHANGES, prefix + address)
            if row is not None:
                return old_value(row)
        return self._reader.get(Table.ACCOUNTS, address)

    def _as_it_was(
        self, present: list[tuple[bytes, bytes]], low: bytes, high: bytes | None
    ) -> list[tuple[bytes, bytes]]:
        """Return what stood in a part of the key space that holds these accounts now."""
        old: dict[bytes, bytes | None] = {}
        for prefix in self._prefixes:
            end = _after(prefix) if high is None else prefix + high
            for key, row in self._reader.scan(Table.CHANGES, prefix + low, end):
                # The first change above the height says what was there; later ones do not count.
                old.setdefault(key[HEIGHT_BYTES:], old_value(row))
        if not old:
            return present
        changed = {**dict(present), **old}
        return sorted((key, value) for key, value in changed.items() if value is not None)


def _after(prefix: bytes) -> bytes:
    return (int.from_bytes(prefix, "big") + 1).to_bytes(HEIGHT_BYTES, "big")
