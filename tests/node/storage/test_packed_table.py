"""How little is read and how full the file is. `tests/property` has whether it is right."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from node.errors import StorageError
from node.storage import packed_table
from node.storage.disk import DiskStore
from node.storage.runs import items_of, run_of
from node.storage.store import PACKED, Writer

COUNT = 10_000

RUN = 20
"""Records of the usual width in one run."""


def key(number: int) -> bytes:
    return number.to_bytes(20, "big")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[DiskStore]:
    opened = DiskStore(tmp_path / "data")
    yield opened
    opened.close()


@dataclass
class Counted:
    """A cursor that counts the rows that are read through it."""

    cursor: Any
    rows: int = 0

    def set_range(self, start: bytes) -> bool:
        return bool(self.cursor.set_range(start))

    def key(self) -> bytes:
        return bytes(self.cursor.key())

    def value(self) -> bytes:
        self.rows += 1
        return bytes(self.cursor.value())

    def next(self) -> bool:
        return bool(self.cursor.next())

    def prev(self) -> bool:
        return bool(self.cursor.prev())

    def last(self) -> bool:
        return bool(self.cursor.last())


@pytest.fixture
def cursor(store: DiskStore) -> Iterator[Counted]:
    with store.write() as writer:
        writer.replace_run(b"", None, run_of((key(n), bytes(9)) for n in range(COUNT)))
    with store._environment.begin(db=store._tables[PACKED]) as transaction:
        yield Counted(transaction.cursor())


def test_one_row_is_read_for_a_value(cursor: Counted) -> None:
    for number in (0, 19, 20, 5000, COUNT - 1):
        assert packed_table.get(cursor, key(number)) == bytes(9)
    assert packed_table.get(cursor, key(COUNT)) is None
    assert cursor.rows == 5


@pytest.mark.parametrize(
    ("start", "end", "rows"),
    [
        (key(100), key(101), 1),
        (key(105), key(115), 1),
        (key(110), key(130), 2),
        (key(100), key(200), 6),
        (key(COUNT - 1), None, 1),
        (key(COUNT), None, 0),
        (b"", key(1), 1),
        (key(5120)[:19], key(5376)[:19], 14),
    ],
    ids=["one", "inside", "across", "several", "last", "behind all", "first", "prefixes"],
)
def test_no_more_rows_are_read_than_hold_a_range_and_one(
    cursor: Counted, start: bytes, end: bytes | None, rows: int
) -> None:
    found = [
        item for run in packed_table.runs_between(cursor, start, end) for item in items_of(run)
    ]
    assert cursor.rows <= rows
    down = list(packed_table.items_down(cursor, start, end))
    assert down == found[::-1]
    # One more on either side may have to be looked at.
    assert cursor.rows <= 2 * rows + 2


def test_the_newest_item_is_had_without_reading_the_rest(cursor: Counted) -> None:
    assert next(packed_table.items_down(cursor, b"", None))[0] == key(COUNT - 1)
    assert next(packed_table.items_down(cursor, b"", key(5000)))[0] == key(4999)
    assert next(packed_table.runs_between(cursor, key(5000), None))[:20] == key(5000)
    assert cursor.rows <= 4


def used(store: DiskStore) -> tuple[int, int]:
    """Return the runs and the pages that hold them."""
    with store._environment.begin() as transaction:
        stat = transaction.stat(store._tables[PACKED])
    assert stat["overflow_pages"] == 0
    return stat["entries"], stat["leaf_pages"]


@pytest.mark.parametrize("at_once", [COUNT, 1000])
def test_what_is_written_in_key_order_fills_runs_and_pages(store: DiskStore, at_once: int) -> None:
    fill_in_order(store, at_once)
    runs, pages = used(store)
    assert runs <= COUNT // RUN + 2
    assert pages <= runs // 5 + 1


def test_a_few_at_a_time_in_key_order_fill_half_of_each_run(store: DiskStore) -> None:
    fill_in_order(store, 7)
    runs, pages = used(store)
    assert runs <= 2 * COUNT // RUN
    assert pages <= runs // 5


def test_what_is_written_in_no_order_fills_half_of_each_run(store: DiskStore) -> None:
    with store.write() as writer:
        for number in range(COUNT):
            writer.put(PACKED, key(number * 7919 % COUNT), bytes(9))
    runs, pages = used(store)
    assert runs <= 2 * COUNT // RUN
    assert pages <= runs // 5


def fill_in_order(store: DiskStore, at_once: int) -> None:
    with store.write() as writer:
        for start in range(0, COUNT, at_once):
            numbers = range(start, min(start + at_once, COUNT))
            writer.put_many(PACKED, [(key(number), bytes(9)) for number in numbers])


NO_RUNS = {
    "nothing": b"",
    "half a width": b"\0",
    "a width of nothing but a key": b"\0\x14" + bytes(60),
    "another width": b"\0\x20" + run_of([(key(1), bytes(9))]),
    "no whole record": b"\0\0" + run_of([(key(1), bytes(9))])[:-1],
    "less than a head": b"\0\0" + bytes(21),
}

USES: dict[str, Callable[[Writer], object]] = {
    "get": lambda writer: writer.get(PACKED, key(1)),
    "scan": lambda writer: list(writer.scan(PACKED)),
    "scan down": lambda writer: list(writer.scan(PACKED, reverse=True)),
    "run": lambda writer: writer.run(b"", None),
    "put": lambda writer: writer.put(PACKED, key(1), b"value"),
    "delete": lambda writer: writer.delete(PACKED, key(1)),
    "replace": lambda writer: writer.replace_run(key(0), key(2), b""),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", NO_RUNS)
def test_damage_that_no_check_of_the_file_sees_is_an_error_with_a_name(
    store: DiskStore, name: str, use: str
) -> None:
    with store._environment.begin(write=True) as transaction:
        transaction.put(key(1), NO_RUNS[name], db=store._tables[PACKED])

    with pytest.raises(StorageError), store.write() as writer:
        USES[use](writer)


@pytest.mark.parametrize("seed", range(40))
def test_whatever_stands_in_the_place_of_a_run_can_be_used_or_not(
    store: DiskStore, seed: int
) -> None:
    draw = Random(seed)
    row = bytearray(b"\0\x1f" + run_of([(key(each), bytes(9)) for each in range(20)]))
    for _ in range(draw.choice([1, 1, 3, 100])):
        row[draw.randrange(len(row))] = draw.randrange(256)
    for use in USES.values():
        with store._environment.begin(write=True) as transaction:
            transaction.put(key(19), bytes(row), db=store._tables[PACKED])
        with suppress(StorageError), store.write() as writer:
            use(writer)
