"""The packed table beside a dictionary, and the runs that it leaves in the file."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from node.chain.overlay import Overlay
from node.storage.disk import DiskStore
from node.storage.memory import MemoryStore
from node.storage.packed_table import MAX_RUN_BYTES
from node.storage.runs import Change, Item
from node.storage.store import PACKED, Reader, Store, Table, Writer

NUMBERS = 400
"""Keys: twenty runs of the most common values, some pages of the file."""

WIDEST = 65_535

Step: TypeAlias = tuple[str, tuple[Any, ...]]
"""A method of a writer, and what is passed after the table if it takes one."""


@dataclass
class Model:
    """Implements `Writer` for one table, as simply as can be."""

    values: dict[bytes, bytes] = field(default_factory=dict)

    def get(self, table: Table, key: bytes) -> bytes | None:
        assert table is PACKED
        return self.values.get(key)

    def scan(
        self, table: Table, start: bytes = b"", end: bytes | None = None, *, reverse: bool = False
    ) -> Iterator[Item]:
        assert table is PACKED
        for key in sorted(self.values, reverse=reverse):
            if start <= key and (end is None or key < end):
                yield key, self.values[key]

    def scan_runs(self, start: bytes = b"", end: bytes | None = None) -> Iterator[bytes]:
        for key, value in self.scan(PACKED, start, end):
            yield key + len(value).to_bytes(2, "big") + value

    def run(self, start: bytes, end: bytes | None) -> bytes:
        return b"".join(self.scan_runs(start, end))

    def put(self, table: Table, key: bytes, value: bytes) -> None:
        self.put_many(table, [(key, value)])

    def put_many(self, table: Table, items: Iterable[Item]) -> None:
        assert table is PACKED
        self.values.update(items)

    def delete(self, table: Table, key: bytes) -> None:
        assert table is PACKED
        self.values.pop(key, None)

    def change(self, table: Table, changes: Sequence[Change]) -> None:
        for key, value in changes:
            if value is None:
                self.delete(table, key)
            else:
                self.put(table, key, value)

    def replace_run(self, start: bytes, end: bytes | None, records: bytes) -> None:
        self.delete_first(PACKED, len(self.values), start, end)
        self.values.update(records_of(records))

    def delete_first(
        self, table: Table, limit: int, start: bytes = b"", end: bytes | None = None
    ) -> int:
        keys = [key for key, _ in self.scan(table, start, end)][:limit]
        for key in keys:
            del self.values[key]
        return len(keys)


def records_of(run: bytes) -> Iterator[Item]:
    while run:
        end = 22 + int.from_bytes(run[20:22], "big")
        yield run[:20], run[22:end]
        run = run[end:]


def dense_key(number: int) -> bytes:
    # Most of its bytes are zeros, and so are those of many values: they stand anywhere in a run.
    return number.to_bytes(20, "big")


def spread_key(number: int) -> bytes:
    return bytes((number * 89 % 256, number % 7)) * 10


numbers = st.integers(0, NUMBERS - 1)
keys = st.one_of(numbers, st.integers(0, 5)).map(dense_key) | numbers.map(spread_key)
widths = st.one_of(
    st.just(9),
    st.just(9),
    st.just(9),
    st.integers(1, 700),
    st.sampled_from([1, 618, 619, WIDEST - 22, WIDEST - 21, WIDEST]),
)
fillings = st.sampled_from([b"\0", b"\0", b"\0\x09", b"a", dense_key(3)])


def value_of(width: int, filling: bytes) -> bytes:
    return (filling * width)[:width]


values = st.one_of(
    st.builds(value_of, widths, fillings), st.integers(0, 2**72 - 1).map(lambda n: n.to_bytes(9))
)
short_values = st.builds(value_of, st.sampled_from([1, 9, 9, 9, 30]), fillings)
bounds = st.one_of(
    keys,
    keys.map(lambda key: key + b"\0"),
    keys.map(lambda key: key[:19]),
    st.binary(max_size=2),
)
ends = st.none() | bounds
ranges = st.tuples(bounds, ends).map(
    lambda pair: pair if pair[1] is None or pair[0] <= pair[1] else pair[::-1]
)


def many(first: int, count: int, stride: int, value: bytes) -> list[Item]:
    return [(dense_key(first + each * stride), value) for each in range(count)]


items = st.one_of(
    st.lists(st.tuples(keys, values), max_size=6),
    st.builds(many, numbers, st.integers(1, 200), st.integers(1, 3), short_values),
)


def as_changes(some: list[Item], gone: Iterable[bytes]) -> list[Change]:
    changes: dict[bytes, bytes | None] = dict(some)
    changes |= dict.fromkeys(gone)
    return sorted(changes.items(), key=lambda change: change[0])


def as_replacement(
    between: tuple[bytes, bytes | None], some: list[Item]
) -> tuple[bytes, bytes | None, bytes]:
    inside = Model(dict(some)).run(*between)
    return *between, inside


def steps(name: str, *arguments: "st.SearchStrategy[Any]") -> "st.SearchStrategy[Step]":
    return st.tuples(st.just(name), st.tuples(*arguments))


writes = st.one_of(
    steps("put", keys, values),
    steps("put_many", items),
    steps("put_many", items),
    steps("delete", keys),
    steps("change", st.builds(as_changes, items, st.lists(keys, max_size=5))),
    steps("change", st.builds(as_changes, items, st.sets(numbers.map(dense_key), max_size=60))),
    st.tuples(st.just("replace_run"), st.builds(as_replacement, ranges, items)),
    steps("delete_first", st.integers(0, 300), bounds, ends),
)
reads = st.one_of(
    steps("get", keys),
    steps("scan", bounds, ends),
    steps("scan_down", bounds, ends),
    steps("scan_runs", bounds, ends),
    steps("run", bounds, ends),
)
transactions = st.lists(
    st.tuples(st.lists(writes | reads, min_size=1, max_size=8), st.booleans()),
    min_size=1,
    max_size=5,
)


def answer(writer: Writer, step: Step) -> object:
    name, arguments = step
    match name:
        case "scan":
            return list(writer.scan(PACKED, *arguments))
        case "scan_down":
            return list(writer.scan(PACKED, *arguments, reverse=True))
        case "scan_runs":
            runs = list(writer.scan_runs(*arguments))
            assert all(runs)
            return b"".join(runs)
        case "run" | "replace_run":
            return getattr(writer, name)(*arguments)
        case _:
            return getattr(writer, name)(PACKED, *arguments)


class StopError(Exception):
    pass


@given(transactions)
def test_whatever_is_done_to_the_table_it_answers_as_a_dictionary_would(
    plan: list[tuple[list[Step], bool]],
) -> None:
    model = Model()
    with TemporaryDirectory() as folder, ExitStack() as opened:
        stores: list[Store] = [MemoryStore(), MemoryStore()]
        disks = [DiskStore(Path(folder) / name) for name in ("alone", "below")]
        stores += disks
        for store in stores:
            opened.callback(store.close)
        for some, fails in plan:
            after = Model(dict(model.values))
            expected = [answer(after, step) for step in some]
            for index, store in enumerate(stores):
                answers = done_to(store, some, fails=fails, in_overlay=index % 2 == 1)
                assert answers == expected
            model = model if fails else after
            for store in stores:
                with store.read() as reader:
                    check_content(reader, model)
            for disk in disks:
                check_runs(disk)


def done_to(store: Store, some: list[Step], *, fails: bool, in_overlay: bool) -> list[object]:
    """Take steps in one transaction, which is undone at its end if it fails."""
    answers: list[object] = []
    with suppress(StopError), store.write(durable=False) as writer:
        target = Overlay(writer) if in_overlay else writer
        answers += [answer(target, step) for step in some]
        if isinstance(target, Overlay):
            target.flush(writer)
        if fails:
            raise StopError
    return answers


def check_content(reader: Reader, model: Model) -> None:
    assert list(reader.scan(PACKED)) == list(model.scan(PACKED))
    assert list(reader.scan(PACKED, reverse=True)) == list(model.scan(PACKED, reverse=True))
    for key, value in model.values.items():
        assert reader.get(PACKED, key) == value


def check_runs(store: DiskStore) -> None:
    """Look at the rows as LMDB holds them."""
    before = b""
    with store._environment.begin(db=store._tables[PACKED]) as transaction:
        for last, row in transaction.cursor():
            width, run = int.from_bytes(row[:2], "big"), row[2:]
            found = list(records_of(run))
            names = [name for name, _ in found]
            assert names == sorted(set(names))
            assert before < names[0]
            assert last == names[-1]
            before = last
            found_widths = {22 + len(value) for _, value in found}
            uniform = len(found_widths) == 1 and max(found_widths) <= 0xFFFF
            assert width == (max(found_widths) if uniform else 0)
            assert len(run) <= MAX_RUN_BYTES or len(found) == 1
