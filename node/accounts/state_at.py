"""The state after an older block, from the present one and what blocks have changed since.

    present  ... e f g h          an account at height 5 is what the first change above 5 replaced,
    changes   6:  f  8: f h       a branch what all changes above 5 have made of it, undone

Nothing is copied and no snapshot is kept open for it. A lookup costs one more for each group of
blocks above the height, so states of the last few hundred blocks are cheap.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Final

from node.accounts.branch_patch import patched
from node.accounts.state_history import GROUP_BYTES, HEIGHT_BYTES, groups_above
from node.chain.block_store import height_key
from node.storage.runs import changed, items_of, last_key, width_of
from node.storage.store import Reader, Table
from protocols.types import ADDRESS_BYTES, Height

TAKEN_BYTES: Final = 8192
"""Of accounts that a scan takes at once: each time it looks for changes in every group above. With
accounts as they are these are 264."""

_BEHIND: Final = b"\xff" * (HEIGHT_BYTES + 1)
"""Behind every height: ends the rows of one account or branch."""


class StateAt(Reader):
    """A `Reader` of accounts and branches only."""

    def __init__(self, reader: Reader, height: Height) -> None:
        """Present a state.

        Args:
            reader: One snapshot of the store, with all changes above the height.
            height: At least the oldest state's; of the head or above it is the present state.
        """
        self._reader = reader
        self._height = height_key(height)
        self._above = height_key(height + 1)
        self._groups = groups_above(reader, height)

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return an account or a branch, or None."""
        if table is Table.ACCOUNTS:
            return self._account(key)
        assert table is Table.BRANCHES
        return self._branch(key)

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
        return chain.from_iterable(map(items_of, self.scan_runs(start, end)))

    def scan_runs(self, start: bytes = b"", end: bytes | None = None) -> Iterator[bytes]:
        """Yield the accounts of a part of the key space in their order, some at once."""
        present = self._reader.scan_runs(start, end)
        if not self._groups:
            yield from present
            return
        is_last = False
        while not is_last:
            run = _taken(present)
            is_last = len(run) < TAKEN_BYTES
            # Behind the last account there may have been others.
            high = end if is_last else last_key(run) + b"\0"
            if before := self._as_it_was(run, start, high):
                yield before
            start = high or b""

    def _account(self, address: bytes) -> bytes | None:
        for group in self._groups:
            key = group + address
            row = next(
                self._reader.scan(Table.OLD_ACCOUNTS, key + self._above, key + _BEHIND), None
            )
            if row is not None:
                return row[1] or None
        return self._reader.get(Table.ACCOUNTS, address)

    def _branch(self, key: bytes) -> bytes | None:
        patches: list[bytes] = []
        for group in self._groups:
            place = group + key
            rows = self._reader.scan(Table.OLD_BRANCHES, place + self._above, place + _BEHIND)
            patches += [patch for _, patch in rows]
        return patched(self._reader.get(Table.BRANCHES, key), patches)

    def _as_it_was(self, present: bytes, low: bytes, high: bytes | None) -> bytes:
        """Return what stood in a part of the key space that holds these accounts now."""
        old: dict[bytes, bytes | None] = {}
        for group in self._groups:
            end = _after(group) if high is None else group + _bound(high)
            for key, value in self._reader.scan(Table.OLD_ACCOUNTS, group + _bound(low), end):
                address, height = key[GROUP_BYTES:-HEIGHT_BYTES], key[-HEIGHT_BYTES:]
                if height > self._height:
                    # The first change above the height says what was there, later ones do not.
                    old.setdefault(address, value or None)
        return changed(present, sorted(old.items()), width_of(present)) if old else present


def _taken(runs: Iterator[bytes]) -> bytes:
    """Take runs of some bytes together; fewer bytes only if there are no more."""
    taken: list[bytes] = []
    left = TAKEN_BYTES
    while left > 0 and (run := next(runs, None)):
        taken.append(run)
        left -= len(run)
    return b"".join(taken)


def _bound(key: bytes) -> bytes:
    """Return where the rows of addresses from a key on begin, which may lie behind an address."""
    return key if len(key) <= ADDRESS_BYTES else key[:ADDRESS_BYTES] + _BEHIND


def _after(group: bytes) -> bytes:
    return (int.from_bytes(group, "big") + 1).to_bytes(GROUP_BYTES, "big")
