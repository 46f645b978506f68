"""What both stores promise, of an ordinary table and of the packed one.

What only a disk can do is in `tests/node/storage/test_disk.py`.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from random import Random

import pytest

from node.storage.runs import KEY_BYTES
from node.storage.store import (
    DELETED_AT_ONCE,
    MAX_KEY_BYTES,
    PACKED,
    Reader,
    Store,
    Table,
    Writer,
    delete_range,
)

THREADS = 4
ROUNDS = 50


@pytest.fixture(params=["ordinary", "packed"])
def table(request: pytest.FixtureRequest) -> Table:
    return Table.UNDO if request.param == "ordinary" else PACKED


def fill(store: Store, table: Table, *numbers: int) -> None:
    with store.write() as writer:
        for number in numbers:
            writer.put(table, key(number), b"value %d" % number)


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def numbers(
    reader: Reader,
    table: Table,
    start: int = 0,
    end: int | None = None,
    *,
    reverse: bool = False,
) -> list[int]:
    bound = None if end is None else key(end)
    items = list(reader.scan(table, key(start), bound, reverse=reverse))
    assert all(value == b"value %d" % int.from_bytes(name, "big") for name, value in items)
    return [int.from_bytes(name, "big") for name, _ in items]


def test_a_committed_value_is_read(store: Store, table: Table) -> None:
    fill(store, table, 1)
    with store.read() as reader:
        assert reader.get(table, key(1)) == b"value 1"
        assert reader.get(table, key(2)) is None


def test_a_commit_that_does_not_wait_for_the_disk_is_read_too(store: Store) -> None:
    with store.write(durable=False) as writer:
        writer.put(Table.UNDO, b"key", b"value")
    with store.read() as reader:
        assert reader.get(Table.UNDO, b"key") == b"value"


def test_a_value_may_be_empty_and_is_not_a_missing_one(store: Store) -> None:
    with store.write() as writer:
        writer.put(Table.HEIGHTS, b"key", b"")
    with store.read() as reader:
        assert reader.get(Table.HEIGHTS, b"key") == b""
        assert list(reader.scan(Table.HEIGHTS)) == [(b"key", b"")]


def test_a_large_value_comes_back_whole(store: Store) -> None:
    value = bytes(range(256)) * 4096
    with store.write() as writer:
        writer.put(Table.BODIES, b"key", value)
    with store.read() as reader:
        assert reader.get(Table.BODIES, b"key") == value


def test_the_longest_key_works_and_others_are_refused(store: Store) -> None:
    longest = bytes(range(255)) + b"x" * (MAX_KEY_BYTES - 255)
    with store.write() as writer:
        writer.put(Table.META, longest, b"value")
        assert writer.get(Table.META, longest) == b"value"
        for wrong in (b"", longest + b"x"):
            with pytest.raises(AssertionError):
                writer.put(Table.META, wrong, b"value")


def test_the_newest_value_wins(store: Store) -> None:
    with store.write() as writer:
        writer.put(Table.UNDO, b"key", b"first")
        writer.put(Table.UNDO, b"key", b"second")
    with store.write() as writer:
        assert writer.get(Table.UNDO, b"key") == b"second"
        writer.put(Table.UNDO, b"key", b"third")
    with store.read() as reader:
        assert list(reader.scan(Table.UNDO)) == [(b"key", b"third")]


def test_many_values_are_set_at_once_in_any_order(store: Store, table: Table) -> None:
    fill(store, table, 3, 7)
    with store.write() as writer:
        writer.put_many(table, ((key(n), b"value %d" % n) for n in (9, 1, 7, 5)))
        writer.put_many(table, [(key(3), b"new"), (key(3), b"newer")])
        writer.put_many(table, [])
        assert writer.get(table, key(3)) == b"newer"
        assert writer.get(Table.VOTES, key(9)) is None
        writer.put(table, key(3), b"value 3")
    with store.read() as reader:
        assert numbers(reader, table) == [1, 3, 5, 7, 9]


def test_deleting_removes_and_a_missing_key_is_fine(store: Store, table: Table) -> None:
    fill(store, table, 1, 2)
    with store.write() as writer:
        writer.delete(table, key(1))
        writer.delete(table, key(1))
        writer.delete(table, key(9))
    with store.read() as reader:
        assert numbers(reader, table) == [2]


def test_a_range_is_deleted_however_long(store: Store, table: Table) -> None:
    count = 2 * DELETED_AT_ONCE + 5
    fill(store, table, *range(count + 10))
    with store.write() as writer:
        assert delete_range(writer, table, key(3), key(count)) == count - 3
        assert delete_range(writer, table, key(3), key(count)) == 0
    with store.read() as reader:
        assert numbers(reader, table) == [0, 1, 2, *range(count, count + 10)]
    with store.write() as writer:
        assert delete_range(writer, table) == 13


def test_tables_do_not_share_keys(store: Store) -> None:
    with store.write() as writer:
        for table in Table:
            writer.put(table, key(1), table.value.encode())
        writer.delete(Table.VOTES, key(1))
    with store.read() as reader:
        found = {table: reader.get(table, key(1)) for table in Table}
    assert found == {
        table: None if table is Table.VOTES else table.value.encode() for table in Table
    }


def test_a_scan_yields_keys_in_byte_order(store: Store) -> None:
    keys = [b"\xff", b"a", b"\x00", b"ab", b"\xff\x00", b"b", b"\x00\x00"]
    with store.write() as writer:
        for name in keys:
            writer.put(Table.UNDO, name, name)
    with store.read() as reader:
        assert [name for name, _ in reader.scan(Table.UNDO)] == sorted(keys)
        down = [name for name, _ in reader.scan(Table.UNDO, reverse=True)]
        assert down == sorted(keys, reverse=True)


RANGES = {
    "all": (0, None, [10, 20, 30, 40]),
    "from a key": (20, None, [20, 30, 40]),
    "from between": (21, None, [30, 40]),
    "to a key": (0, 30, [10, 20]),
    "to between": (0, 31, [10, 20, 30]),
    "inside": (15, 35, [20, 30]),
    "one": (20, 21, [20]),
    "past the end": (41, None, []),
    "before the start": (0, 10, []),
    "nothing between": (21, 29, []),
    "empty": (20, 20, []),
    "backwards": (30, 20, []),
}


@pytest.mark.parametrize("name", RANGES)
def test_a_scan_keeps_to_its_range_in_both_directions(
    store: Store, table: Table, name: str
) -> None:
    start, end, expected = RANGES[name]
    fill(store, table, 40, 10, 30, 20)
    with store.read() as reader:
        assert numbers(reader, table, start, end) == expected
        assert numbers(reader, table, start, end, reverse=True) == expected[::-1]


def test_a_scan_of_an_empty_table_yields_nothing(store: Store) -> None:
    with store.read() as reader:
        assert list(reader.scan(Table.VOTES)) == []
        assert list(reader.scan(Table.VOTES, b"a", b"b", reverse=True)) == []


def test_a_long_scan_skips_and_repeats_nothing(store: Store, table: Table) -> None:
    everything = list(range(1000))
    fill(store, table, *everything)
    with store.read() as reader:
        assert numbers(reader, table) == everything
        assert numbers(reader, table, reverse=True) == everything[::-1]
        assert numbers(reader, table, 100, 900, reverse=True) == everything[100:900][::-1]


def test_the_first_item_of_a_scan_may_be_taken_alone(store: Store, table: Table) -> None:
    fill(store, table, *range(500))
    with store.read() as reader:
        newest, _ = next(iter(reader.scan(table, reverse=True)))
        assert newest == key(499)
    fill(store, table, 500)
    with store.read() as reader:
        newest, _ = next(iter(reader.scan(table, reverse=True)))
        assert newest == key(500)


def test_a_writer_sees_its_own_writes(store: Store, table: Table) -> None:
    fill(store, table, 1, 2, 3)
    with store.write() as writer:
        writer.put(table, key(4), b"value 4")
        writer.delete(table, key(2))
        assert writer.get(table, key(4)) == b"value 4"
        assert writer.get(table, key(2)) is None
        assert numbers(writer, table) == [1, 3, 4]
        assert numbers(writer, table, reverse=True) == [4, 3, 1]


def test_what_was_read_before_is_read_as_it_is_after_a_write(store: Store, table: Table) -> None:
    fill(store, table, *range(0, 2000, 2))
    with store.write() as writer:
        for number in range(2000):
            assert (writer.get(table, key(number)) is None) == (number % 2 == 1)
            if number % 3 == 0:
                writer.delete(table, key(number))
                assert writer.get(table, key(number)) is None
            else:
                writer.put(table, key(number), b"changed")
                assert writer.get(table, key(number)) == b"changed"
        for number in range(2000):
            expected = b"changed" if number % 3 else None
            assert writer.get(table, key(number)) == expected
        assert writer.get(table, key(5000)) is None


def test_two_scans_and_reads_of_one_table_do_not_disturb_each_other(
    store: Store, table: Table
) -> None:
    fill(store, table, *range(300))
    with store.read() as reader:
        first, second = reader.scan(table), reader.scan(table, key(100))
        for number in range(200):
            assert next(first)[0] == key(number)
            assert reader.get(table, key(299 - number)) == b"value %d" % (299 - number)
            assert next(second)[0] == key(100 + number)


def test_the_first_keys_of_a_range_are_removed(store: Store, table: Table) -> None:
    # Many pages of a B-tree, some of which become empty.
    fill(store, table, *range(3000))
    fill(store, Table.VOTES, 7)
    with store.write() as writer:
        assert writer.delete_first(table, 0) == 0
        assert writer.delete_first(table, 100, key(50), key(60)) == 10
        assert writer.delete_first(table, 1500, key(100), key(2900)) == 1500
        assert writer.delete_first(table, 1, key(2999)) == 1
        assert writer.delete_first(table, 5, key(2999)) == 0
        assert writer.delete_first(table, 5, key(60), key(60)) == 0
        assert numbers(writer, table) == [*range(50), *range(60, 100), *range(1600, 2999)]
        assert writer.get(table, key(1600)) == b"value 1600"
        assert writer.delete_first(table, 9999) == 50 + 40 + 1399
        assert writer.delete_first(table, 9999) == 0
        assert writer.delete_first(table, 9999, end=key(5)) == 0
    with store.read() as reader:
        assert numbers(reader, table) == []
        assert [name for name, _ in reader.scan(Table.VOTES)] == [key(7)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_whatever_is_written_in_whatever_order_is_read(
    store: Store, table: Table, seed: int
) -> None:
    draw, model = Random(seed), dict[bytes, bytes]()
    for _ in range(3):
        with store.write(durable=False) as writer:
            for _ in range(1500):
                write_at_random(writer, table, model, draw)
                asked = key(draw.randrange(2000))
                assert writer.get(table, asked) == model.get(asked)
            assert list(writer.scan(table)) == sorted(model.items())
        with store.read() as reader:
            assert list(reader.scan(table)) == sorted(model.items())


def write_at_random(writer: Writer, table: Table, model: dict[bytes, bytes], draw: Random) -> None:
    start, count = draw.randrange(2000), draw.randrange(60)
    match draw.randrange(20):
        case 0:
            items = [(key(start + each), draw.randbytes(200)) for each in range(count)]
            writer.put_many(table, items)
            model.update(items)
        case 1:
            end = start + draw.randrange(100)
            gone = [each for each in sorted(model) if key(start) <= each < key(end)][:count]
            assert writer.delete_first(table, count, key(start), key(end)) == len(gone)
            for each in gone:
                del model[each]
        case 2 | 3 | 4 | 5 | 6 | 7 | 8:
            writer.delete(table, key(start))
            model.pop(key(start), None)
        case _:
            model[key(start)] = draw.randbytes(draw.randint(1, 700))
            writer.put(table, key(start), model[key(start)])


class StopError(Exception):
    pass


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
def test_a_raise_inside_a_write_leaves_nothing(
    store: Store, table: Table, error: type[BaseException]
) -> None:
    fill(store, table, 1, 2)

    def break_off() -> None:
        with store.write() as writer:
            writer.put(table, key(1), b"changed")
            writer.delete(table, key(2))
            writer.put(table, key(3), b"new")
            writer.put(Table.VOTES, b"other table", b"new")
            writer.delete(table, key(3))
            writer.put(table, key(2), b"back again")
            raise error

    with pytest.raises(error):
        break_off()
    with store.read() as reader:
        assert numbers(reader, table) == [1, 2]
        assert list(reader.scan(Table.VOTES)) == []
    fill(store, table, 4)
    with store.read() as reader:
        assert numbers(reader, table) == [1, 2, 4]


def test_a_snapshot_does_not_see_later_commits(store: Store, table: Table) -> None:
    fill(store, table, 1, 2, 3)
    with store.read() as snapshot:
        fill(store, table, 4)
        with store.write() as writer:
            writer.delete(table, key(1))
            writer.put(table, key(2), b"changed")
        with store.write() as writer:
            writer.put(table, key(1), b"changed")
            writer.put(table, key(2), b"changed again")
        assert numbers(snapshot, table) == [1, 2, 3]
        assert numbers(snapshot, table, reverse=True) == [3, 2, 1]
        assert snapshot.get(table, key(1)) == b"value 1"
        assert snapshot.get(table, key(4)) is None
        with store.read() as newer:
            assert newer.get(table, key(2)) == b"changed again"
            assert [name for name, _ in newer.scan(table)] == [key(n) for n in (1, 2, 3, 4)]


def test_a_scan_under_way_does_not_see_later_commits(store: Store, table: Table) -> None:
    fill(store, table, *range(0, 400, 2))
    with store.read() as snapshot:
        up, down = snapshot.scan(table), snapshot.scan(table, reverse=True)
        seen_up, seen_down = [next(up)], [next(down)]
        with store.write() as writer:
            for number in range(400):
                if number % 3:
                    writer.put(table, key(number), b"new")
                else:
                    writer.delete(table, key(number))
        seen_up += up
        seen_down += down
    expected = [(key(number), b"value %d" % number) for number in range(0, 400, 2)]
    assert (seen_up, seen_down) == (expected, expected[::-1])


def test_a_snapshot_opened_during_a_write_sees_nothing_of_it(store: Store, table: Table) -> None:
    fill(store, table, 1, 2)
    with store.write() as writer:
        writer.put(table, key(3), b"value 3")
        with store.read() as before:
            writer.delete(table, key(1))
            assert numbers(before, table) == [1, 2]
            with store.read() as second:
                assert numbers(second, table) == [1, 2]
    with store.read() as after:
        assert numbers(after, table) == [2, 3]


def test_a_snapshot_outlives_a_write_that_fails(store: Store, table: Table) -> None:
    fill(store, table, 1)
    with store.read() as snapshot:
        with suppress(StopError), store.write() as writer:
            writer.put(table, key(1), b"changed")
            writer.put(table, key(2), b"value 2")
            raise StopError
        assert numbers(snapshot, table) == [1]
        fill(store, table, 2)
        assert numbers(snapshot, table) == [1]


def test_a_write_inside_a_write_is_our_bug(store: Store) -> None:
    with store.write(), pytest.raises(AssertionError), store.write():
        pass


def in_threads(work: Callable[[int], None]) -> None:
    """Run `work` in several threads and raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(index: int) -> None:
        try:
            work(index)
        except BaseException as error:  # noqa: BLE001 - carried to the test's own thread.
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(index,)) for index in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_readers_in_other_threads_see_whole_commits(store: Store, table: Table) -> None:
    """Every commit moves one coin between 20 accounts: each snapshot must count all of them."""
    with store.write() as writer:
        for number in range(20):
            writer.put(table, key(number), key(100))

    def work(index: int) -> None:
        for step in range(ROUNDS):
            if index == 0:
                move_a_coin(store, table, step % 20, (step * 7 + 1) % 20)
                continue
            with store.read() as reader:
                values = dict(reader.scan(table))
                again = {name: reader.get(table, name) for name in values}
            assert sum(int.from_bytes(value, "big") for value in values.values()) == 2000
            assert again == values

    in_threads(work)


def move_a_coin(store: Store, table: Table, source: int, target: int) -> None:
    with store.write(durable=False) as writer:
        for number, coins in ((source, -1), (target, 1)):
            before = int.from_bytes(writer.get(table, key(number)) or b"", "big")
            writer.put(table, key(number), key(before + coins))


def test_writers_in_several_threads_wait_for_each_other(store: Store) -> None:
    with store.write() as writer:
        writer.put(Table.META, b"counter", key(0))

    def work(_: int) -> None:
        for _ in range(ROUNDS):
            with store.write(durable=False) as writer:
                count = int.from_bytes(writer.get(Table.META, b"counter") or b"", "big")
                writer.put(Table.META, b"counter", key(count + 1))

    in_threads(work)
    with store.read() as reader:
        assert reader.get(Table.META, b"counter") == key(THREADS * ROUNDS)


def test_thousands_of_snapshots_leave_no_slot_taken(store: Store) -> None:
    fill(store, Table.UNDO, 1)
    kept = []
    for _ in range(3000):
        with store.read() as reader:
            assert next(iter(reader.scan(Table.UNDO))) == (key(1), b"value 1")
            assert reader.get(Table.UNDO, key(1)) == b"value 1"
        # A slot that only the garbage collector frees is not free yet.
        kept.append(reader)
