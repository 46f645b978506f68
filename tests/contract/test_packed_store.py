"""What both stores promise of the packed table alone, and of many changes at once in any table."""

import pytest

from node.storage.disk import CHANGED_AT_ONCE
from node.storage.runs import KEY_BYTES, Item, items_of, record_of, run_of
from node.storage.store import PACKED, Reader, Store, Table

WIDEST = 65_535


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def items(*numbers: int) -> list[Item]:
    return [(key(number), b"value %d" % number) for number in numbers]


def fill(store: Store, *numbers: int) -> None:
    with store.write() as writer:
        writer.put_many(PACKED, items(*numbers))


def numbers(reader: Reader) -> list[int]:
    found = [int.from_bytes(name, "big") for name, _ in reader.scan(PACKED)]
    assert list(reader.scan(PACKED)) == items(*found)
    assert list(reader.scan(PACKED, reverse=True)) == items(*found)[::-1]
    return found


BOUNDS: dict[str, tuple[bytes, bytes | None, range]] = {
    "all": (b"", None, range(0, 1000, 2)),
    "from a key": (key(500), None, range(500, 1000, 2)),
    "from between": (key(501), None, range(502, 1000, 2)),
    "from behind a key": (key(500) + b"\0", None, range(502, 1000, 2)),
    "from a prefix": (key(512)[:19], None, range(512, 1000, 2)),
    "to a key": (b"", key(500), range(0, 500, 2)),
    "to between": (b"", key(501), range(0, 502, 2)),
    "to behind a key": (b"", key(500) + b"\0", range(0, 502, 2)),
    "to a prefix": (b"", key(512)[:19], range(0, 512, 2)),
    "inside": (key(101), key(899), range(102, 899, 2)),
    "a few": (key(100), key(106), range(100, 106, 2)),
    "one": (key(100), key(100) + b"\0", range(100, 102, 2)),
    "below a prefix": (key(256)[:19], key(512)[:19], range(256, 512, 2)),
    "behind the last": (key(999), None, range(0)),
    "before the first": (b"", b"\0", range(0)),
    "nothing between": (key(101), key(102), range(0)),
    "empty": (key(100), key(100), range(0)),
}


@pytest.fixture(params=BOUNDS)
def bounds(request: pytest.FixtureRequest) -> tuple[bytes, bytes | None, range]:
    return BOUNDS[request.param]


def test_runs_hold_what_a_scan_yields(
    store: Store, bounds: tuple[bytes, bytes | None, range]
) -> None:
    fill(store, *range(0, 1000, 2))
    start, end, expected = bounds
    with store.read() as reader:
        runs = list(reader.scan_runs(start, end))
        assert all(runs)
        assert b"".join(runs) == run_of(items(*expected)) == reader.run(start, end)
        assert list(reader.scan(PACKED, start, end)) == items(*expected)
        assert list(reader.scan(PACKED, start, end, reverse=True)) == items(*expected)[::-1]


def test_an_empty_table_has_no_runs(store: Store) -> None:
    with store.write() as writer:
        assert list(writer.scan_runs()) == []
        assert writer.run(b"", None) == b""
        assert writer.delete_first(PACKED, 5) == 0
        writer.delete(PACKED, key(1))
        writer.change(PACKED, [])
        writer.change(PACKED, [(key(1), None)])
        writer.replace_run(b"", None, b"")
        assert list(writer.scan_runs()) == []


def test_a_range_is_replaced_and_nothing_beside_it(
    store: Store, bounds: tuple[bytes, bytes | None, range]
) -> None:
    fill(store, *range(0, 1000, 2))
    start, end, replaced = bounds
    new = [number for number in range(1, 1000, 3) if start <= key(number) < (end or b"\xff")]
    kept = [number for number in range(0, 1000, 2) if number not in replaced]
    with store.write() as writer:
        writer.replace_run(start, end, run_of(items(*new)))
        assert numbers(writer) == sorted(kept + new)
        writer.replace_run(start, end, b"")
        assert numbers(writer) == kept
        writer.replace_run(start, end, run_of(items(*replaced)))
    with store.read() as reader:
        assert numbers(reader) == list(range(0, 1000, 2))


def test_every_key_may_be_the_border_of_what_is_replaced(store: Store) -> None:
    """First and last keys of runs are among them."""
    everything = list(range(60))
    for border in everything:
        for start, end in ((30, border), (border, 30), (border, border), (border, border + 1)):
            low, high = min(start, end), max(start, end)
            with store.write(durable=False) as writer:
                writer.replace_run(b"", None, run_of(items_of_one_width(*everything)))
                writer.replace_run(key(low), key(high), b"")
                kept = [number for number in everything if not low <= number < high]
                assert list(writer.scan(PACKED)) == items_of_one_width(*kept)
                writer.replace_run(
                    key(low), key(high), run_of(items_of_one_width(*range(low, high)))
                )
                assert list(writer.scan(PACKED)) == items_of_one_width(*everything)


def items_of_one_width(*numbers: int) -> list[Item]:
    return [(key(number), b"value %03d" % number) for number in numbers]


def test_a_table_that_was_emptied_can_be_filled_again(store: Store) -> None:
    fill(store, *range(200))
    with store.write() as writer:
        writer.change(PACKED, [(key(number), None) for number in range(200)])
        assert numbers(writer) == []
        writer.put(PACKED, key(7), b"value 7")
        assert numbers(writer) == [7]
        writer.replace_run(b"", None, run_of(items(*range(300))))
    with store.read() as reader:
        assert numbers(reader) == list(range(300))


def test_values_of_all_lengths_stand_beside_each_other(store: Store) -> None:
    # The longest whose record has a width of two bytes, and the ones beside it.
    lengths = [1, 9, 618, 619, WIDEST - 23, WIDEST - 22, WIDEST - 21, WIDEST]
    values = {key(number): bytes([number]) * length for number, length in enumerate(lengths)}
    with store.write() as writer:
        for name, value in values.items():
            writer.put(PACKED, name, b"before")
            writer.put(PACKED, name, value)
            assert writer.get(PACKED, name) == value
        assert writer.run(b"", None) == run_of(values.items())
        for name in values:
            writer.put(PACKED, name, values[name][::-1])
    with store.read() as reader:
        assert list(reader.scan(PACKED)) == sorted(values.items())
        assert b"".join(reader.scan_runs()) == run_of(values.items())


def test_a_key_whose_bytes_stand_in_values_and_across_records_is_found(store: Store) -> None:
    content = {key(number): key(number + 1) * 3 for number in range(0, 200, 2)}
    with store.write() as writer:
        writer.put_many(PACKED, content.items())
        for number in range(200):
            assert writer.get(PACKED, key(number)) == content.get(key(number))
        # All zeros: in each head and each value before the only key that is.
        writer.put(PACKED, key(0), bytes(60))
        writer.put(PACKED, key(4), key(4) * 3)
        writer.delete(PACKED, key(8))
        writer.delete(PACKED, key(9))
        expected = {**content, key(0): bytes(60), key(4): key(4) * 3}
        del expected[key(8)]
        assert list(writer.scan(PACKED)) == sorted(expected.items())


@pytest.mark.parametrize("table", [Table.UNDO, PACKED])
def test_many_keys_are_changed_at_once(store: Store, table: Table) -> None:
    with store.write() as writer:
        writer.put_many(table, items(*range(100)))
        writer.change(table, [])
        writer.change(table, [(key(n), None if n % 3 else b"changed") for n in range(0, 120, 2)])
        expected = {
            key(n): b"value %d" % n if n % 2 else b"changed"
            for n in range(120)
            if (n % 2 and n < 100) or n % 6 == 0
        }
        assert list(writer.scan(table)) == sorted(expected.items())
        writer.change(table, [(key(7), b"alone")])
        writer.change(table, [(key(9), None), (key(10), None)])
    expected[key(7)] = b"alone"
    del expected[key(9)]
    with store.read() as reader:
        assert list(reader.scan(table)) == sorted(expected.items())
        assert reader.get(table, key(7)) == b"alone"


def test_an_ordinary_table_may_hold_empty_values_when_it_is_changed(store: Store) -> None:
    with store.write() as writer:
        writer.change(Table.HEIGHTS, [(b"a", b""), (b"long key", b""), (b"z", None)])
    with store.read() as reader:
        assert list(reader.scan(Table.HEIGHTS)) == [(b"a", b""), (b"long key", b"")]


def test_the_last_of_several_values_of_one_key_stays_however_far_apart_they_are(
    store: Store,
) -> None:
    count = CHANGED_AT_ONCE + 5
    several = [(key(3), b"first"), (key(3), b"value 3"), (key(4), b"first")]
    with store.write() as writer:
        writer.put_many(PACKED, iter(several + items(*reversed(range(count)))))
        assert numbers(writer) == list(range(count))
        writer.put_many(PACKED, [(key(5), b"first"), *items(*range(9, count)), *items(5)])
    with store.read() as reader:
        assert numbers(reader) == list(range(count))


def test_runs_and_reads_do_not_disturb_each_other(store: Store) -> None:
    fill(store, *range(500))
    found = b""
    with store.read() as reader:
        for run in reader.scan_runs(key(50), key(450)):
            found += run
            assert reader.get(PACKED, key(3)) == b"value 3"
            assert reader.run(key(490), key(495)) == run_of(items(*range(490, 495)))
            assert next(reader.scan(PACKED, reverse=True))[0] == key(499)
        assert list(items_of(found)) == items(*range(50, 450))


def test_runs_under_way_do_not_see_later_commits(store: Store) -> None:
    fill(store, *range(1000))
    with store.read() as snapshot:
        runs = snapshot.scan_runs()
        seen = next(runs)
        with store.write() as writer:
            writer.replace_run(key(10), key(990), record_of(key(500), b"new"))
            writer.put(PACKED, key(999), b"new")
        assert seen + b"".join(runs) == run_of(items(*range(1000)))
        assert snapshot.run(key(400), key(600)) == run_of(items(*range(400, 600)))
