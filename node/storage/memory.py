"""A store in memory, for tests and simulations.

Writes go straight into the tables and leave the old value in an undo log. The log rolls the write
back when it fails, and every open snapshot keeps its own copy of the old values, so that a commit
costs what it changed and nothing is ever copied whole.
"""

import threading
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

from node.storage.runs import KEY_BYTES
from node.storage.store import MAX_KEY_BYTES, PACKED, Reader, Table, Writer

SCAN_BLOCK: Final = 32
"""Items that a scan takes at once, so that asking for the newest one does not copy a table, and
reading a page of accounts little more than the page."""

_Old: TypeAlias = dict[bytes, bytes | None]


class _Rows:
    """One table: values by key, and the keys in order."""

    def __init__(self) -> None:
        self.values: dict[bytes, bytes] = {}
        self.keys: list[bytes] = []

    def set(self, key: bytes, value: bytes | None) -> None:
        if value is None:
            if self.values.pop(key, None) is not None:
                del self.keys[bisect_left(self.keys, key)]
            return
        if key not in self.values:
            insort(self.keys, key)
        self.values[key] = value

    def some(self, start: bytes, end: bytes | None, *, reverse: bool) -> list[tuple[bytes, bytes]]:
        """Return the first items of a range, or its last ones in descending order."""
        low = bisect_left(self.keys, start)
        high = len(self.keys) if end is None else bisect_left(self.keys, end)
        if reverse:
            keys = self.keys[max(low, high - SCAN_BLOCK) : high][::-1]
        else:
            keys = self.keys[low : min(high, low + SCAN_BLOCK)]
        return [(key, self.values[key]) for key in keys]


class MemoryStore:
    """Implements `Store`. It survives nothing: `durable` changes nothing."""

    def __init__(self) -> None:
        self._rows = {table: _Rows() for table in Table}
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._writing_thread: int | None = None
        self._undo: dict[Table, _Old] = {table: {} for table in Table}
        self._snapshots: list[_Snapshot] = []

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Open a snapshot."""
        with self._lock:
            # A write that is under way has changed the tables already.
            snapshot = _Snapshot(
                self._rows, self._lock, {table: dict(old) for table, old in self._undo.items()}
            )
            self._snapshots.append(snapshot)
        try:
            yield snapshot
        finally:
            with self._lock:
                self._snapshots.remove(snapshot)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writer]:  # noqa: ARG002
        """Open a write transaction; see `Store.write`."""
        assert self._writing_thread != threading.get_ident(), "a write inside a write"
        with self._write_lock:
            self._writing_thread = threading.get_ident()
            try:
                yield _Transaction(self._rows, self._lock, self._set)
            except BaseException:
                self._roll_back()
                raise
            finally:
                self._writing_thread = None
                with self._lock:
                    self._undo = {table: {} for table in Table}

    def close(self) -> None:
        """Do nothing: memory needs no closing."""

    def _set(self, table: Table, key: bytes, value: bytes | None) -> None:
        with self._lock:
            rows = self._rows[table]
            old = rows.values.get(key)
            self._undo[table].setdefault(key, old)
            for snapshot in self._snapshots:
                snapshot.old[table].setdefault(key, old)
            rows.set(key, value)

    def _roll_back(self) -> None:
        with self._lock:
            for table, old in self._undo.items():
                for key, value in old.items():
                    self._rows[table].set(key, value)


class _Snapshot(Reader):
    """The tables as they were when it was opened."""

    def __init__(
        self, rows: dict[Table, _Rows], lock: threading.Lock, old: dict[Table, _Old]
    ) -> None:
        self._rows = rows
        self._lock = lock
        self.old = old
        """Values that have changed since, as they were then. Guarded by the lock."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        with self._lock:
            old = self.old[table]
            return old[key] if key in old else self._rows[table].values.get(key)

    def scan(
        self,
        table: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        low, high, more = start, end, True
        while more:
            with self._lock:
                items = self._rows[table].some(low, high, reverse=reverse)
                more = len(items) == SCAN_BLOCK
                covered = self._covered(items, low, high, reverse=reverse) if more else (low, high)
                old = self._old_between(table, *covered)
            if old:
                changed = {**dict(items), **old}
                items = [(key, value) for key, value in changed.items() if value is not None]
                items.sort(reverse=reverse)
            yield from items
            low, high = (low, covered[0]) if reverse else (covered[1] or b"", high)

    @staticmethod
    def _covered(
        items: list[tuple[bytes, bytes]], low: bytes, high: bytes | None, *, reverse: bool
    ) -> tuple[bytes, bytes | None]:
        """Return the part of a range that a full block of items from one of its ends is about."""
        last, _ = items[-1]
        return (last, high) if reverse else (low, last + b"\0")

    def _old_between(self, table: Table, low: bytes, high: bytes | None) -> _Old:
        old = self.old[table].items()
        return {key: value for key, value in old if low <= key and (high is None or key < high)}


class _Transaction(_Snapshot, Writer):
    """A snapshot of the present that can be written to. Nobody else writes meanwhile."""

    def __init__(
        self,
        rows: dict[Table, _Rows],
        lock: threading.Lock,
        set_value: Callable[[Table, bytes, bytes | None], None],
    ) -> None:
        super().__init__(rows, lock, {table: {} for table in Table})
        self._set = set_value

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        assert 0 < len(key) <= MAX_KEY_BYTES
        assert table is not PACKED or (len(key) == KEY_BYTES and value)
        self._set(table, key, value)

    def put_many(self, table: Table, items: Iterable[tuple[bytes, bytes]]) -> None:
        for key, value in items:
            self.put(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        self._set(table, key, None)
