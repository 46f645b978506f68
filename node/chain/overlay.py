"""Writes that are held back in memory until all of them are known to be good.

A block is executed on an overlay. If it breaks a rule the overlay is dropped, and nothing has
happened; else it is flushed into the transaction below. A proposal is never flushed.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from heapq import merge
from operator import itemgetter

from node.storage.store import Reader, Table, Writer


class Overlay(Writer):
    """A `Writer` over any reader. Reads see its own writes, and below them the reader's."""

    def __init__(self, below: Reader) -> None:
        self._below = below
        self._written: dict[Table, dict[bytes, bytes | None]] = {table: {} for table in Table}
        """None for a deleted key."""
        self._keys: dict[Table, list[bytes]] = {table: [] for table in Table}
        """The written keys in order, for scans."""

    def get(self, table: Table, key: bytes) -> bytes | None:
        """Return the value, or None."""
        written = self._written[table]
        return written[key] if key in written else self._below.get(table, key)

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        """Set a value."""
        self._write(table, key, value)

    def put_many(self, table: Table, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Set many values."""
        for key, value in items:
            self._write(table, key, value)

    def delete(self, table: Table, key: bytes) -> None:
        """Remove a key; a missing key is fine."""
        self._write(table, key, None)

    def scan(
        self,
        table: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, value) with `start <= key < end` in key order, or from the end down."""
        below = self._below.scan(table, start, end, reverse=reverse)
        keys = self._keys[table]
        first = bisect_left(keys, start)
        last = len(keys) if end is None else bisect_left(keys, end)
        if first >= last:
            return below
        indexes = range(first, last)
        # Looked up one by one: the range may hold many keys of which few are asked for.
        ours = map(keys.__getitem__, reversed(indexes) if reverse else indexes)
        return self._merge(table, below, ours, reverse=reverse)

    def flush(self, writer: Writer) -> None:
        """Carry all writes out, table by table in key order, which is what a B-tree likes."""
        for table, keys in self._keys.items():
            written = self._written[table]
            writer.change(table, [(key, written[key]) for key in keys])

    def _write(self, table: Table, key: bytes, value: bytes | None) -> None:
        written = self._written[table]
        if key not in written:
            insort(self._keys[table], key)
        written[key] = value

    def _merge(
        self,
        table: Table,
        below: Iterator[tuple[bytes, bytes]],
        keys: Iterator[bytes],
        *,
        reverse: bool,
    ) -> Iterator[tuple[bytes, bytes]]:
        """Yield what is below with the writes in between, and read no further than is asked for.

        Whoever wants the newest node of a history has millions of others below it.
        """
        written = self._written[table]
        ours = ((key, written[key]) for key in keys)
        last = None
        for key, value in merge(ours, below, key=itemgetter(0), reverse=reverse):
            # Of two values of one key ours comes first.
            if key != last and value is not None:
                yield key, value
            last = key
