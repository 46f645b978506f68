"""A durable, ordered key-value store with atomic write transactions.

Two implementations, one contract: LMDB on disk (`node.storage.disk`) and memory
(`node.storage.memory`).
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from enum import Enum
from itertools import islice
from typing import Final, Protocol

MAX_KEY_BYTES: Final = 511
"""Longest key of any table: what LMDB allows. A key is never empty."""

DELETED_AT_ONCE: Final = 4096
"""Keys that may be held while many are deleted."""


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
    """Address -> account."""
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


class Reader(Protocol):
    """One consistent snapshot. Short-lived: a long one keeps old pages from being reused."""

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
        ...


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


def delete_found(writer: Writer, table: Table, limit: int, start: bytes, end: bytes | None) -> int:
    """Do what `Writer.delete_first` does with what else a writer does."""
    keys = [key for key, _ in islice(writer.scan(table, start, end), limit)]
    for key in keys:
        writer.delete(table, key)
    return len(keys)
