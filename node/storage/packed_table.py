"""A table of many small values as LMDB holds it: runs of records, each under the key of its last.

A value of its own costs LMDB and Python as much as a run of 20: a table of a million accounts is
written in a sixth of the time, and read in a third where runs are handed on as they are.

    key of a run    the last key in it; all of it lies behind the key of the run before

    value of a run  the width of its records in 2 bytes, 0 if it is mixed, then the run

So the first run at or behind a key is the one that holds it, if the table does.

Runs are cut when they become too long, and are never joined: keys that come and go leave short ones
behind, at worst one for each key, as if the table were not packed.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

import lmdb

from node.storage.runs import (
    HEAD_BYTES,
    KEY_BYTES,
    MIXED,
    Change,
    Item,
    changed,
    cut,
    is_run,
    items_of,
    last_key,
    part_of,
    replaced,
    value_in,
    width_of,
)

WIDTH_BYTES: Final = 2
"""Before each run. Records that are wider count as mixed."""

MAX_RUN_BYTES: Final = 640
"""Six of them fill a page of 4096 bytes, with the heads of the page and of its nodes. LMDB, filled
in key order, leaves the room of one run in each page."""


def get(cursor: Any, key: bytes) -> bytes | None:
    """Return the value, or None."""
    assert len(key) == KEY_BYTES
    if not cursor.set_range(key):
        return None
    run, width = _run_at(cursor)
    at = run.find(key)
    if at < 0:
        return None
    if width and not at % width:
        return run[at + HEAD_BYTES : at + width]
    # Mixed, or the same bytes stand across two records.
    return value_in(run, key, width)


def runs_between(cursor: Any, start: bytes, end: bytes | None) -> Iterator[bytes]:
    """Yield the records with `start <= key < end` in order, none of the runs empty."""
    found = cursor.set_range(start)
    while found:
        run, width = _run_at(cursor)
        is_last = end is not None and cursor.key() >= end
        if is_last or run[:KEY_BYTES] < start:
            run = part_of(run, start, end if is_last else None, width)
        if run:
            yield run
        found = not is_last and cursor.next()


def items_down(cursor: Any, start: bytes, end: bytes | None) -> Iterator[Item]:
    """Yield (key, value) with `start <= key < end` from the end down."""
    found = (end is not None and cursor.set_range(end)) or cursor.last()
    while found:
        for item in reversed(list(items_of(_run_at(cursor)[0]))):
            if item[0] < start:
                return
            if end is None or item[0] < end:
                yield item
        found = cursor.prev()


def change(cursor: Any, changes: Sequence[Change]) -> None:
    """Set values, in key order, no key twice; None removes a key."""
    first, count = 0, len(changes)
    while first < count:
        end = first + 1
        if cursor.set_range(changes[first][0]):
            last = cursor.key()
            if end < count and changes[end][0] <= last:
                end = bisect_left(changes, (last + b"\0",), end)
        else:
            # Behind all runs: into the last one, if there is any.
            last, end = cursor.key() if cursor.last() else b"", count
        _change_run(cursor, last, changes[first:end])
        first = end


def replace(cursor: Any, start: bytes, end: bytes | None, records: bytes) -> None:
    """Make a range hold exactly these records.

    Args:
        cursor: Of the table.
        start: First key of the range.
        end: First key behind it, None if there is none.
        records: A run of any length, all of it inside the range.
    """
    assert end is None or start <= end
    for run in (*_clear(cursor, start, end), records):
        _put(cursor, run)


def _run_at(cursor: Any) -> tuple[bytes, int]:
    """Return the run that the cursor is at, and its width.

    Raises:
        CorruptedError: No run stands there, because the file is damaged.
    """
    value = cursor.value()
    if len(value) > WIDTH_BYTES:
        width, run = value[0] << 8 | value[1], value[WIDTH_BYTES:]
        if not len(run) % width if width > HEAD_BYTES else not width and is_run(run):
            return run, width
    raise lmdb.CorruptedError("no run of records")


def _stored(run: bytes, width: int) -> bytes:
    return bytes((width >> 8, width & 0xFF)) + run


def _change_run(cursor: Any, last: bytes, changes: Sequence[Change]) -> None:
    """Change the run at the cursor, whose last key this is; none if that is empty."""
    run, width = _run_at(cursor) if last else (b"", MIXED)
    key, value = changes[-1]
    assert len(key) == KEY_BYTES
    assert value != b""
    if len(changes) == 1 and (new := replaced(run, key, value, width)):
        cursor.put(last, _stored(new, width))
        return
    before, run = run, changed(run, changes, width)
    if run == before:
        return
    stays = key < last or (key == last and value is not None)
    if stays and len(run) <= MAX_RUN_BYTES:
        cursor.put(last, _stored(run, _stored_width(run)))
        return
    if last:
        cursor.delete()
    _put(cursor, run)


def _put(cursor: Any, run: bytes) -> None:
    """Put new runs, all of whose keys lie between two that are there."""
    width = _stored_width(run)
    parts = cut(run, MAX_RUN_BYTES)
    if width:
        last = slice(-width, KEY_BYTES - width)
        cursor.putmulti([(part[last], _stored(part, width)) for part in parts])
    else:
        cursor.putmulti([(last_key(part), _stored(part, _stored_width(part))) for part in parts])


def _stored_width(run: bytes) -> int:
    width = width_of(run)
    return width if width < 1 << 8 * WIDTH_BYTES else MIXED


def _clear(cursor: Any, start: bytes, end: bytes | None) -> tuple[bytes, bytes]:
    """Remove the runs that hold keys of a range; return what stood in them before and behind it."""
    before = behind = b""
    found = cursor.set_range(start)
    while found:
        run, width = _run_at(cursor)
        if run[:KEY_BYTES] < start:
            before = part_of(run, b"", start, width)
        if end is not None and cursor.key() >= end:
            behind = part_of(run, end, None, width)
            if len(behind) < len(run):
                cursor.delete()
            else:
                behind = b""
            break
        # On to the next one.
        found = cursor.delete() and bool(cursor.key())
    return before, behind
