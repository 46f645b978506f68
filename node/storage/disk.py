"""The store on disk: one LMDB environment with one named database for each table.

    <folder>/lock        held with flock while a process uses the folder; holds its pid
    <folder>/data.mdb    all tables
    <folder>/lock.mdb    LMDB's table of readers

A new `data.mdb` is made beside its place and moved there when it is complete, so that one that
stands in its place and is empty or has no format version is damaged and not merely young.

Open it after a fork: LMDB's locks belong to the process that took them.
"""

import os
import shutil
import threading
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, cast

import lmdb

from node.errors import DataFolderError, StorageError
from node.storage import packed_table
from node.storage.lmdb_file import BrokenFileError, check_data_file
from node.storage.runs import Change, items_of
from node.storage.store import MAX_KEY_BYTES, PACKED, Reader, Table, Writer

FORMAT_VERSION: Final = 3
"""Raise it with every change to what a table holds that older data cannot be read as."""

FORMAT_KEY: Final = b"format_version"
"""Key in `Table.META`."""

MAP_BYTES: Final = 64 * 2**30
"""Address space, not memory or disk: no node of this size of network comes near it."""

MAX_READERS: Final = 1024
"""Snapshots open at one time. A slot costs 64 bytes and running out of them fails a read."""

CHANGED_AT_ONCE: Final = 4096
"""Items of the packed table that are put in order before they are written."""

SCANNED_SINGLY: Final = 64
"""Items of a scan, each compared with its end: a short one is read no further than it goes."""

SCANNED_AT_ONCE: Final = 128
"""Items that a longer scan reads before it looks for its end. Few, because values may be large."""

DATA_FILE: Final = "data.mdb"
LOCK_FILE: Final = "lock"
NEW_FOLDER: Final = "new"


class DiskStore:
    """Implements `Store` in a folder."""

    def __init__(self, folder: Path, *, map_size: int = MAP_BYTES) -> None:
        """Take the folder, making it and the tables where they are missing.

        Args:
            folder: Used by nobody else until `close`.
            map_size: Most bytes that the data file may grow to.

        Raises:
            DataFolderError: In use, damaged, of another format version, or not ours to write.
        """
        self._folder = folder
        self._writing_thread: int | None = None
        self._lock = _take_folder(folder)
        try:
            self._environment, self._tables = _open(folder, map_size)
        except BaseException:
            os.close(self._lock)
            raise

    @contextmanager
    def read(self) -> Iterator[Reader]:
        """Open a snapshot; see `Store.read`."""
        with self._reported():
            reader = _Reader(self._environment.begin(), self._tables)
            try:
                yield reader
            finally:
                reader.close()

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writer]:
        """Open a write transaction; see `Store.write`.

        Every commit writes its pages to the disk before the page that makes them valid, so no
        crash of the machine can damage the file. A durable one waits for that last page too.
        """
        assert self._writing_thread != threading.get_ident(), "a write inside a write"
        with self._reported():
            transaction = self._environment.begin(write=True)
            self._writing_thread = threading.get_ident()
            try:
                yield _Writer(transaction, self._tables)
            except BaseException:
                self._writing_thread = None
                transaction.abort()
                raise
            # Before the commit, because after it another thread may have begun.
            self._writing_thread = None
            transaction.commit()
            if durable:
                self._environment.sync(force=True)

    def close(self) -> None:
        """Release the folder. Nothing may be used afterwards."""
        try:
            with self._reported():
                self._environment.sync(force=True)
        finally:
            self._environment.close()
            os.close(self._lock)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise StorageError(f"{self._folder / DATA_FILE}: {error}") from error


class _Reader(Reader):
    """A transaction of LMDB as a `Reader`."""

    def __init__(self, transaction: Any, tables: dict[Table, Any]) -> None:
        self._transaction = transaction
        self._tables = tables
        self._cursors: dict[Table, Any] = {}
        """They stay open: to find a key with a new one takes twice as long."""

    def close(self) -> None:
        # An ended transaction keeps its slot of the readers' table until its object is gone, so
        # a reader that somebody still holds must not hold it.
        self._cursors.clear()
        self._transaction.abort()
        self._transaction = None

    def get(self, table: Table, key: bytes) -> bytes | None:
        cursor = self._cursors.get(table) or self._open_cursor(table)
        if table is PACKED:
            return packed_table.get(cursor, key)
        return cast("bytes | None", cursor.get(key))

    def scan(
        self,
        table: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        if table is PACKED and not reverse:
            return chain.from_iterable(map(items_of, self.scan_runs(start, end)))
        cursor = self._transaction.cursor(self._tables[table])
        if reverse:
            down = packed_table.items_down if table is PACKED else _down
            return down(cursor, start, end)
        if not cursor.set_range(start):
            return iter(())
        return cursor.iternext() if end is None else chain.from_iterable(_up(cursor, end))

    def scan_runs(self, start: bytes = b"", end: bytes | None = None) -> Iterator[bytes]:
        cursor = self._transaction.cursor(self._tables[PACKED])
        return packed_table.runs_between(cursor, start, end)

    def _open_cursor(self, table: Table) -> Any:
        cursor = self._cursors[table] = self._transaction.cursor(self._tables[table])
        return cursor


def _up(cursor: Any, end: bytes) -> Iterator[Sequence[tuple[bytes, bytes]]]:
    """Yield rows before the end, some at once: whoever chains them takes no step of Python each."""
    items = cursor.iternext()
    for item in islice(items, SCANNED_SINGLY):
        if item[0] >= end:
            return
        yield (item,)
    # Only the last key of several is compared: a third of what it costs to compare each.
    while several := list(islice(items, SCANNED_AT_ONCE)):
        if several[-1][0] >= end:
            yield several[: bisect_left(several, (end,))]
            return
        yield several


def _down(cursor: Any, start: bytes, end: bytes | None) -> Iterator[tuple[bytes, bytes]]:
    # `set_range` finds the first key at or after the end: the one before it is the first wanted.
    found = end is not None and cursor.set_range(end)
    if not (cursor.prev() if found else cursor.last()):
        return
    for item in cursor.iterprev():
        if item[0] < start:
            return
        yield item


class _Writer(_Reader, Writer):
    """A write transaction of LMDB as a `Writer`."""

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        assert 0 < len(key) <= MAX_KEY_BYTES
        if table is PACKED:
            self.change(table, [(key, value)])
        else:
            self._transaction.put(key, value, db=self._tables[table])

    def put_many(self, table: Table, items: Iterable[tuple[bytes, bytes]]) -> None:
        if table is PACKED:
            items = iter(items)
            while several := dict(islice(items, CHANGED_AT_ONCE)):
                self.change(table, sorted(several.items()))
            return
        with self._transaction.cursor(self._tables[table]) as cursor:
            # Keys that are empty or too long are refused by LMDB, as a bug of ours.
            cursor.putmulti(items)

    def delete(self, table: Table, key: bytes) -> None:
        if table is PACKED:
            self.change(table, [(key, None)])
            return
        cursor = self._cursors.get(table) or self._open_cursor(table)
        if cursor.set_key(key):
            cursor.delete()

    def change(self, table: Table, changes: Sequence[Change]) -> None:
        if table is not PACKED:
            super().change(table, changes)
            return
        cursor = self._cursors.get(table) or self._open_cursor(table)
        packed_table.change(cursor, changes)

    def replace_run(self, start: bytes, end: bytes | None, records: bytes) -> None:
        cursor = self._cursors.get(PACKED) or self._open_cursor(PACKED)
        packed_table.replace(cursor, start, end, records)

    def delete_first(
        self, table: Table, limit: int, start: bytes = b"", end: bytes | None = None
    ) -> int:
        if table is PACKED:
            return self._delete_packed(limit, start, end)
        cursor = self._cursors.get(table) or self._open_cursor(table)
        cursor.set_range(start)
        deleted = 0
        # Each deletion moves on to the next key; behind the last one there is nothing to delete.
        while deleted < limit and (end is None or cursor.key() < end) and cursor.delete():
            deleted += 1
        return deleted

    def _delete_packed(self, limit: int, start: bytes, end: bytes | None) -> int:
        keys = [key for key, _ in islice(self.scan(PACKED, start, end), limit)]
        if keys:
            self.replace_run(keys[0], keys[-1] + b"\0", b"")
        return len(keys)


def _take_folder(folder: Path) -> int:
    """Lock the folder for this process and return the descriptor that holds the lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise DataFolderError(f"{folder}: {error.strerror}") from error
    try:
        flock(descriptor, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
        os.close(descriptor)
        raise DataFolderError(f"{folder} is in use by process {holder}") from None
    try:
        os.ftruncate(descriptor, 0)
        os.write(descriptor, b"%d\n" % os.getpid())
    except OSError as error:
        os.close(descriptor)
        raise DataFolderError(f"{folder}: {error.strerror}") from error
    return descriptor


def _open(folder: Path, map_size: int) -> tuple[Any, dict[Table, Any]]:
    """Open the environment, made and checked before."""
    path = folder / DATA_FILE
    try:
        if not path.exists():
            _create(folder, map_size)
        check_data_file(path)
        return _open_checked(folder, map_size)
    except OSError as error:
        raise DataFolderError(f"{path}: {error.strerror}") from error
    except BrokenFileError as error:
        raise DataFolderError(f"{path} is damaged: {error}") from error
    except lmdb.Error as error:
        raise DataFolderError(f"{path} cannot be opened: {error}") from error


def _create(folder: Path, map_size: int) -> None:
    """Make a data file with all tables and move it into its place."""
    new = folder / NEW_FOLDER
    shutil.rmtree(new, ignore_errors=True)
    environment = _environment(new, map_size)
    with environment.begin(write=True) as transaction:
        tables = _open_tables(environment, transaction)
        transaction.put(FORMAT_KEY, b"%d" % FORMAT_VERSION, db=tables[Table.META])
    environment.sync(force=True)
    environment.close()
    (new / DATA_FILE).rename(folder / DATA_FILE)
    shutil.rmtree(new)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Wait until the disk has the names in a folder, not only the files."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _open_checked(folder: Path, map_size: int) -> tuple[Any, dict[Table, Any]]:
    environment = _environment(folder, map_size)
    try:
        # If the format is another one, what was opened here is undone and the file stays as it is.
        with environment.begin(write=True) as transaction:
            tables = _open_tables(environment, transaction)
            _check_format(folder, transaction.get(FORMAT_KEY, db=tables[Table.META]))
    except BaseException:
        environment.close()
        raise
    return environment, tables


def _check_format(folder: Path, found: bytes | None) -> None:
    if found != b"%d" % FORMAT_VERSION:
        version = "none" if found is None else found[:32].decode("ascii", "replace")
        raise DataFolderError(
            f"{folder} has data of format version {version}, this node needs {FORMAT_VERSION}"
        )


def _open_tables(environment: Any, transaction: Any) -> dict[Table, Any]:
    return {table: environment.open_db(table.value.encode(), transaction) for table in Table}


def _environment(folder: Path, map_size: int) -> Any:
    return lmdb.open(
        str(folder),
        map_size=map_size,
        max_dbs=len(Table),
        max_readers=MAX_READERS,
        # The page that ends a commit is flushed by `sync`, everything before it by the commit.
        metasync=False,
        # The format that `check_data_file` knows.
        lib_version=0,
    )
