"""Records in one byte string: how a packed table keeps many small values as one, and hands them on.

    run     record || record ...                          ascending by key, no key twice
    record  key: 20 bytes || length: 2 bytes || value: 1..65535 bytes

A page of the accounts trie is hashed in the same form, and accounts travel in it. Nearly always all
records of a run have one width, and then no step of Python is taken for each. Functions that take a
width save two thirds of their time by being told it.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice, pairwise
from struct import Struct
from typing import Any, Final, TypeAlias

KEY_BYTES: Final = 20
LENGTH_BYTES: Final = 2

HEAD_BYTES: Final = KEY_BYTES + LENGTH_BYTES
"""What stands before a value."""

MIXED: Final = 0
"""Width of a run whose records are not all of one. An empty run has it too."""

UNPACKED_AT_ONCE: Final = 64
"""Keys that are read with one format, of which there is one for each width and number."""

Item: TypeAlias = tuple[bytes, bytes]
"""Key and value."""

Change: TypeAlias = tuple[bytes, bytes | None]
"""Key and new value; None removes the key."""


def record_of(key: bytes, value: bytes) -> bytes:
    """Return one record."""
    assert len(key) == KEY_BYTES
    assert value
    return key + len(value).to_bytes(LENGTH_BYTES, "big") + value


def run_of(items: Iterable[Item]) -> bytes:
    """Return items, which are in key order, as one run."""
    return b"".join([record_of(key, value) for key, value in items])


def width_of(run: bytes) -> int:
    """Return the bytes of each record, or `MIXED`."""
    if len(run) < HEAD_BYTES:
        return MIXED
    high, low = run[KEY_BYTES], run[KEY_BYTES + 1]
    width = HEAD_BYTES + (high << 8 | low)
    count, rest = divmod(len(run), width)
    if rest or run[KEY_BYTES + 1 :: width].count(low) != count:
        return MIXED
    return width if run[KEY_BYTES::width].count(high) == count else MIXED


def is_run(content: bytes) -> bool:
    """Tell whether bytes are some records and nothing else. Their order is not looked at."""
    at = 0
    while at + HEAD_BYTES < (end := _end_at(content, at)) <= len(content):
        at = end
    return 0 < at == len(content)


def count_in(run: bytes) -> int:
    """Count the records."""
    width = width_of(run)
    return len(run) // width if width else sum(1 for _ in _starts(run))


def keys_of(run: bytes, width: int) -> Sequence[bytes]:
    """Return the keys of a run of a width."""
    if not width:
        return [run[at : at + KEY_BYTES] for at in _starts(run)]
    whole, rest = divmod(len(run) // width, UNPACKED_AT_ONCE)
    if not whole:
        return _keys_format(width, rest)(run, 0)
    # Not a tuple for each key: the garbage collector would look at all of them.
    several, step = _keys_format(width, UNPACKED_AT_ONCE), UNPACKED_AT_ONCE * width
    keys: list[bytes] = []
    for at in range(0, whole * step, step):
        keys += several(run, at)
    keys += _keys_format(width, rest)(run, whole * step)
    return keys


def items_of(run: bytes) -> Iterator[Item]:
    """Yield keys and values."""
    width = width_of(run)
    return _items_format(width)(run) if width else _mixed_items(run)


def last_key(run: bytes) -> bytes:
    """Return the last key of a run that is not empty."""
    width = width_of(run)
    at = len(run) - width if width else max(_starts(run))
    return run[at : at + KEY_BYTES]


def value_in(run: bytes, key: bytes, width: int) -> bytes | None:
    """Return the value of a key in a run of a width, or None."""
    keys = keys_of(run, width)
    index = bisect_left(keys, key)
    if index == len(keys) or keys[index] != key:
        return None
    places = _places(run, width)
    return run[places[index] + HEAD_BYTES : places[index + 1]]


def part_of(run: bytes, start: bytes, end: bytes | None, width: int) -> bytes:
    """Return the records with `start <= key < end` of a run of a width."""
    keys = keys_of(run, width)
    low = bisect_left(keys, start)
    high = len(keys) if end is None else bisect_left(keys, end, low)
    if width:
        return run[low * width : high * width]
    places = _places(run, width)
    return run[places[low] : places[high]]


def replaced(run: bytes, key: bytes, value: bytes | None, width: int) -> bytes | None:
    """Return a run of a width with one value in the place of another that is as long.

    It is what most changes are, and a third of what `changed` costs. None if it is not that.
    """
    at = run.find(key)
    # The same bytes may stand across two records.
    if value is None or at < 0 or len(value) + HEAD_BYTES != width or at % width:
        return None
    return run[: at + HEAD_BYTES] + value + run[at + width :]


def changed(run: bytes, changes: Sequence[Change], width: int) -> bytes:
    """Return a run of a width after changes, which are in key order, no key twice."""
    keys, places = keys_of(run, width), _places(run, width)
    parts: list[bytes] = []
    index = kept = 0
    for key, value in changes:
        index = bisect_left(keys, key, index)
        parts.append(run[kept : places[index]])
        is_there = index < len(keys) and keys[index] == key
        kept = places[index + is_there]
        if value is not None:
            parts.append(record_of(key, value))
    parts.append(run[kept:])
    return b"".join(parts)


def beginning(run: bytes, count: int, size: int) -> bytes:
    """Return the first records of a run, at most so many of at most so many bytes together."""
    width = width_of(run)
    if width:
        return run[: min(count, size // width) * width]
    end = 0
    for at in islice(_starts(run), count):
        if _end_at(run, at) > size:
            break
        end = _end_at(run, at)
    return run[:end]


def cut(run: bytes, limit: int) -> Iterator[bytes]:
    """Cut a run into about equal ones of at most so many bytes, or of a single record."""
    return (run[low:high] for low, high in pairwise(_cuts(run, limit)))


def _cuts(run: bytes, limit: int) -> Sequence[int]:
    width = width_of(run)
    if width:
        count = len(run) // width
        parts = -(-count // max(limit // width, 1))
        return [index * count // parts * width for index in range(parts + 1)]
    cuts = [0]
    for at in _starts(run):
        left = len(run) - cuts[-1]
        size = -(-left // -(-left // limit))
        if at > cuts[-1] and _end_at(run, at) - cuts[-1] > size:
            cuts.append(at)
    return [*cuts, len(run)] if run else []


@lru_cache(1024)
def _keys_format(width: int, count: int) -> Callable[[bytes, int], tuple[bytes, ...]]:
    return Struct(f"{KEY_BYTES}s{width - KEY_BYTES}x" * count).unpack_from


@lru_cache(1024)
def _items_format(width: int) -> Callable[[bytes], Iterator[Any]]:
    return Struct(f"{KEY_BYTES}s{LENGTH_BYTES}x{width - HEAD_BYTES}s").iter_unpack


def _mixed_items(run: bytes) -> Iterator[Item]:
    for at in _starts(run):
        yield run[at : at + KEY_BYTES], run[at + HEAD_BYTES : _end_at(run, at)]


def _starts(run: bytes) -> Iterator[int]:
    """Yield where records start."""
    at = 0
    while at < len(run):
        yield at
        at = _end_at(run, at)


def _places(run: bytes, width: int) -> Sequence[int]:
    """Return where records start, and the length of the run."""
    return range(0, len(run) + 1, width) if width else [*_starts(run), len(run)]


def _end_at(run: bytes, at: int) -> int:
    return at + HEAD_BYTES + int.from_bytes(run[at + KEY_BYTES : at + HEAD_BYTES], "big")
