"""A durable, ordered key-value store with atomic write transactions.

Two implementations, one contract: LMDB on disk (`node.storage.disk`) and memory
(`node.storage.memory`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from enum import Enum
from itertools import islice
from typing import Final, Protocol

from node.storage.runs import Change, items_of, run_of

MAX_KEY_BYTES: Final = 511
"""Longest key of any table: what LMDB allows. A key is never empty."""

DELETED_AT_ONCE: Final = 4096
"""Keys that may be held while many are deleted."""

RECORDS_AT_ONCE: Final = 256
"""Records of a run that is put together from single items."""


class Table(Enum):
    """The key spaces of a node. Keys are ordered as byte strings within each."""

    META = "meta"
    """Heads, genesis hash, format version, single values by name."""
    HEADERS = "headers"
    """Block hash -> header, justification and chain info."""
    BODIES = "bodies"
    """Block hash -> body."""
    MAIN_CHAIN = "main_chain"
    """Height (4 bytes big-endian) -> hash of the main chain's block."""
    HEIGHTS = "heights"
    """Height (4 bytes big-endian) + hash -> empty: all stored blocks, forks included."""
    ACCOUNTS = "accounts"
    """Address -> account. Packed."""
    BRANCHES = "branches"
    """Depth and prefix -> branch of the accounts trie."""
    DIFFS = "diffs"
    """Height -> what the block has changed in the state, as far back as states are kept."""
    OLD_ACCOUNTS = "old_accounts"
    """Group of heights, address, height -> account before a block."""
    OLD_BRANCHES = "old_branches"
    """Group of heights, depth and prefix, height -> what a block has changed in a branch."""
    UNDO = "undo"
    """Height + hash -> inverse state diff of a block."""
    TRANSACTIONS = "transactions"
    """Transaction hash -> height, inside the validity window."""
    HISTORY = "history"
    """Nodes of the history tree."""
    HISTORY_LENGTHS = "history_lengths"
    """Height of a macro block (4 bytes big-endian) -> leaves of its epoch so far (8 bytes)."""
    HISTORY_INDEX = "history_index"
    """First half of a transaction's hash -> its place, for all of history."""
    OPERATIONS = "operations"
    """Block operations that wait for the state, in order."""
    COVERAGE = "coverage"
    """Key ranges of the accounts that a state sync has fetched."""
    VOTES = "votes"
    """What this validator has signed: it never signs against it after a restart."""

    # A table is looked up with each read: that of `Enum` is written in Python.
    __hash__ = object.__hash__


PACKED: Final = Table.ACCOUNTS
"""The table whose items can also be had as runs of records: see `node.storage.runs`. Its keys have
20 bytes and its values 1..65535."""


class Reader(Protocol):
    """One consistent snapshot. Short-lived: a long one keeps old pages from being reused.

    Methods with a body do what they promise with the others: whoever knows no faster way inherits
    them.
    """

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value, or None."""
        ...

    def scan(
        self,
        table: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with `start <= key < end` in key order, or from the end down.

        The table must not be written to before the scan has ended.
        """
        ...

    def scan_runs(self, start: bytes = b"", end: bytes | None = None) -> Iterator[bytes]:
        """Yield what `scan` yields of the packed table as runs of records, none of them empty."""
        items = self.scan(PACKED, start, end)
        while several := list(islice(items, RECORDS_AT_ONCE)):
            yield run_of(several)

    def run(self, start: bytes, end: bytes | None) -> bytes:
        """Return what `scan_runs` yields as one run: for a short range."""
        return b"".join(self.scan_runs(start, end))


class Writer(Reader, Protocol):
    """A write transaction. Reads see its own writes."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a value."""
        ...

    def put_many(self, table: Table, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many values, at half of what each alone would cost; fastest in ascending order.

        The items must not come from a scan of the same table.
        """
        ...

    def delete(self, table: Table, key: bytes) -> None:
        """Remove a key; a missing key is fine."""
        ...

    def change(self, table: Table, changes: Sequence[Change]) -> None:
        """Set many values, in key order, no key twice. None removes a key, which may be missing."""
        for key, value in changes:
            if value is None:
                self.delete(table, key)
        self.put_many(table, [(key, value) for key, value in changes if value is not None])

    def replace_run(self, start: bytes, end: bytes | None, records: bytes) -> None:
        """Make the range `start <= key < end` of the packed table hold exactly these records.

        Args:
            start: First key of the range.
            end: First key behind it, None if there is none.
            records: A run of any length, all of it inside the range.
        """
        delete_range(self, PACKED, start, end)
        self.put_many(PACKED, items_of(records))

    def delete_first(
        self, table: Table, limit: int, start: bytes = b"", end: bytes | None = None
    ) -> int:
        """Remove the first keys with `start <= key < end`, at half of what each alone would cost.

        Args:
            table: Where.
            limit: Most keys.
            start: The first key that may go.
            end: The first key after it that stays, None if none need.

        Returns:
            How many there were; less than the limit only if none is left.
        """
        keys = [key for key, _ in islice(self.scan(table, start, end), limit)]
        for key in keys:
            self.delete(table, key)
        return len(keys)


class Store(Protocol):
    """The whole store. `read` may be used from any thread; one `write` at a time."""

    def read(self) -> AbstractContextManager[Reader]:
        """Open a snapshot."""
        ...

    def write(self, *, durable: bool = True) -> AbstractContextManager[Writer]:
        """Open a write transaction, committed when the block ends, undone if it raises.

        Args:
            durable: Wait until the disk has it. A commit without is still atomic and survives a
                crash of the process, but not of the machine, until the next durable one.

        Raises:
            StorageError: The disk refused.
        """
        ...

    def close(self) -> None:
        """Release the files. Nothing may be used afterwards."""
        ...


def delete_range(writer: Writer, table: Table, start: bytes = b"", end: bytes | None = None) -> int:
    """Remove the keys with `start <= key < end`, however many; return their number."""
    deleted = 0
    while count := writer.delete_first(table, DELETED_AT_ONCE, start, end):
        deleted += count
    return deleted
