from collections.abc import Sequence

import pytest

from node.storage.runs import (
    HEAD_BYTES,
    KEY_BYTES,
    MIXED,
    UNPACKED_AT_ONCE,
    Change,
    Item,
    beginning,
    changed,
    count_in,
    cut,
    items_of,
    keys_of,
    last_key,
    part_of,
    record_of,
    replaced,
    run_of,
    value_in,
    width_of,
)

WIDEST = 65_535


def key(number: int) -> bytes:
    return number.to_bytes(KEY_BYTES, "big")


def items(count: int, length: int = 9) -> list[Item]:
    """Every second key from 2 on."""
    return [(key(2 * each), each.to_bytes(2, "big") * length) for each in range(1, count + 1)]


def uniform(count: int, length: int = 9) -> list[Item]:
    return [(name, value[-length:]) for name, value in items(count, length)]


def mixed(*lengths: int) -> list[Item]:
    return [(key(2 * each), bytes([each]) * length) for each, length in enumerate(lengths, 1)]


CONTENTS: dict[str, list[Item]] = {
    "empty": [],
    "one": uniform(1),
    "one of one byte": uniform(1, 1),
    "one of the most bytes": uniform(1, WIDEST),
    "two": uniform(2),
    "as many as have a format": uniform(UNPACKED_AT_ONCE),
    "more than have a format": uniform(UNPACKED_AT_ONCE + 1),
    "many": uniform(300),
    "of one byte each": uniform(20, 1),
    "of one high byte": uniform(20, 0x209),
    "of the most bytes each": uniform(3, WIDEST),
    "the first another": mixed(8, 9, 9, 9),
    "the last another": mixed(9, 9, 9, 8),
    "the last longer": mixed(9, 9, 9, 10),
    "two widths in turn": mixed(9, 30, 9, 30, 9),
    # As long as three of the first width, and as two.
    "as long as uniform": mixed(9, 4, 14),
    "as long as fewer": mixed(9, 9 + HEAD_BYTES + 9),
    "the high byte another": mixed(9, 0x109, 9),
    "the low byte another": mixed(0x109, 0x10A, 0x109),
    "the least and the most": mixed(1, WIDEST, 1, WIDEST),
    # Wherever a record of the first width would have its low byte there is such a byte.
    "all low bytes alike": [(key(2), bytes(9)), (key(4), b"\t" * 0x109), (b"\t" * 20, b"\t")],
    "nothing but zeros": [(key(0), bytes(9)), (key(1), bytes(40)), (key(256), bytes(9))],
}
"""Key 1 and each odd one is in none but the last."""


@pytest.fixture(params=CONTENTS)
def content(request: pytest.FixtureRequest) -> list[Item]:
    return CONTENTS[request.param]


@pytest.fixture
def run(content: list[Item]) -> bytes:
    return run_of(content)


@pytest.fixture
def width(content: list[Item]) -> int:
    lengths = {len(value) for _, value in content}
    return HEAD_BYTES + lengths.pop() if len(lengths) == 1 else MIXED


def bounds_of(content: list[Item]) -> list[bytes]:
    """Keys of a run, keys between them, and bounds that are shorter or longer than a key."""
    chosen = [name for name, _ in (*content[:3], *content[-3:])]
    before = [name[:-1] + bytes([name[-1] - 1]) for name in chosen if name[-1]]
    behind = [name + b"\0" for name in chosen]
    prefixes = [name[:-1] for name in chosen] + [name[:-2] for name in chosen]
    return [b"", *chosen, *before, *behind, *prefixes, b"\0", b"\x01", b"\xff" * 30]


def test_a_record_is_a_key_a_length_and_a_value() -> None:
    assert record_of(b"k" * 20, b"value") == b"k" * 20 + b"\x00\x05" + b"value"
    longest = record_of(b"k" * 20, bytes(WIDEST))
    assert longest == b"k" * 20 + b"\xff\xff" + bytes(WIDEST)


@pytest.mark.parametrize(
    ("name", "value"),
    [(b"k" * 19, b"v"), (b"k" * 21, b"v"), (b"", b"v"), (b"k" * 20, b"")],
    ids=["short key", "long key", "no key", "no value"],
)
def test_what_is_no_record_is_our_bug(name: bytes, value: bytes) -> None:
    with pytest.raises(AssertionError):
        record_of(name, value)


def test_a_value_that_its_length_cannot_tell_is_our_bug() -> None:
    with pytest.raises(OverflowError):
        record_of(key(1), bytes(WIDEST + 1))


def test_a_run_is_its_records(content: list[Item]) -> None:
    assert run_of(content) == b"".join(record_of(*item) for item in content)
    assert run_of(iter(content)) == run_of(content)


def test_the_width_is_told_only_if_all_records_have_it(run: bytes, width: int) -> None:
    assert width_of(run) == width


def test_records_are_counted(content: list[Item], run: bytes) -> None:
    assert count_in(run) == len(content)


@pytest.mark.parametrize("told", [True, False])
def test_keys_are_read(content: list[Item], run: bytes, width: int, *, told: bool) -> None:
    """A width that is not told is one that was too large to be stored."""
    assert list(keys_of(run, width if told else MIXED)) == [name for name, _ in content]


def test_items_are_read(content: list[Item], run: bytes) -> None:
    assert list(items_of(run)) == content


def test_the_last_key_is_found(content: list[Item], run: bytes) -> None:
    if content:
        assert last_key(run) == content[-1][0]


@pytest.mark.parametrize("told", [True, False])
def test_values_are_found(content: list[Item], run: bytes, width: int, *, told: bool) -> None:
    told_width = width if told else MIXED
    for name, value in content:
        assert value_in(run, name, told_width) == value
    for name in bounds_of(content):
        assert value_in(run, name, told_width) == dict(content).get(name)


@pytest.mark.parametrize("told", [True, False])
def test_a_part_is_what_lies_between(
    content: list[Item], run: bytes, width: int, *, told: bool
) -> None:
    bounds = bounds_of(content)
    for start in bounds:
        for end in (*bounds, None):
            between = [
                item for item in content if start <= item[0] and (end is None or item[0] < end)
            ]
            assert part_of(run, start, end, width if told else MIXED) == run_of(between)


def straddling() -> list[Item]:
    """Return records of one width, in which the bytes of the third key stand in others before."""
    third = b"\x05" * 20
    return [
        (b"\x01" * 20, b"in a value" + third + b"ten bytes."),
        (b"\x03" * 20, bytes(30) + third[:10]),
        (third, b"x" * 40),
        (b"\x07" * 20, third * 2),
    ]


def test_a_key_whose_bytes_stand_elsewhere_too_is_found_in_its_place() -> None:
    content = straddling()
    run = run_of(content)
    width = width_of(run)
    assert width == HEAD_BYTES + 40
    for name, value in content:
        assert value_in(run, name, width) == value
        assert part_of(run, name, name + b"\0", width) == record_of(name, value)
        without = [item for item in content if item[0] != name]
        assert changed(run, [(name, None)], width) == run_of(without)
        assert value_in(run_of(without), name, width) is None


def test_a_key_that_only_stands_across_two_records_is_in_none() -> None:
    # The last byte of a value, and all of the next key but its last.
    run = run_of([(key(1), b"\x11"), (b"\x11" * 20, b"\x11"), (b"\x12" * 20, b"\x11")])
    across = run[22:42]
    assert across == b"\x11" * 20
    inside = bytes(3) + run[:17]
    held = run_of([(key(5), inside), (key(6), inside)])
    for name in (held[at : at + 20] for at in range(1, 22)):
        expected = inside if name in (key(5), key(6)) else None
        assert value_in(held, name, width_of(held)) == expected
        assert replaced(held, name, b"x" * 20, width_of(held)) is None or expected


def test_one_value_takes_the_place_of_another_that_is_as_long() -> None:
    content = uniform(5)
    run = run_of(content)
    for name, _ in content:
        new = [(each, b"new value" if each == name else value) for each, value in content]
        assert replaced(run, name, b"new value", HEAD_BYTES + 9) == run_of(new)


NOT_REPLACED: dict[str, tuple[list[Item], bytes, bytes | None]] = {
    "removed": (uniform(3), key(4), None),
    "longer": (uniform(3), key(4), b"new value."),
    "shorter": (uniform(3), key(4), b"new one"),
    "not there": (uniform(3), key(5), b"new value"),
    "before all": (uniform(3), key(1), b"new value"),
    "nothing there": ([], key(4), b"new value"),
    "mixed": (mixed(9, 9, 8), key(4), b"new value"),
    "inside a value": ([(key(9), key(4))], key(4), bytes(20)),
    "inside a value first": ([(key(1), key(4)), (key(4), bytes(20))], key(4), b"x" * 20),
    "across two": ([(key(1), b"\x11"), (b"\x22" * 20, b"\x11")], b"\x11" + b"\x22" * 19, b"x"),
}
"""What a run holds, a key, and what it shall be set to."""


@pytest.mark.parametrize("name", NOT_REPLACED)
def test_nothing_else_is_a_replacement(name: str) -> None:
    content, changed_key, value = NOT_REPLACED[name]
    run = run_of(content)
    assert replaced(run, changed_key, value, width_of(run)) is None


def changes_of(content: list[Item]) -> list[list[Change]]:
    """Changes at both ends, between, of all keys, and of none."""
    names = [name for name, _ in content]
    new = [(key(3), b"three"), (key(5), b"nine byte"), (key(2**159), b"behind")]
    return [
        [],
        [(name, None) for name in names],
        [(name, None) for name in names[:1]],
        [(name, None) for name in names[-1:]],
        [(name, None) for name in names[1:-1]],
        [(name, b"nine byte") for name in names],
        [(name, b"another length") for name in names[::2]],
        [(key(3), None), (key(2**159), None)],
        list(new),
        sorted([*new, *((name, None) for name in names if name not in dict(new))]),
        sorted([*new, *((name, b"x") for name in names[::3] if name not in dict(new))]),
    ]


@pytest.mark.parametrize("told", [True, False])
def test_a_run_is_changed(content: list[Item], run: bytes, width: int, *, told: bool) -> None:
    for changes in changes_of(content):
        assert changed(run, changes, width if told else MIXED) == run_of(after(content, changes))


def after(content: list[Item], changes: Sequence[Change]) -> list[Item]:
    values: dict[bytes, bytes | None] = {**dict(content), **dict(changes)}
    return [(name, value) for name, value in sorted(values.items()) if value is not None]


def test_the_beginning_is_bounded_in_records_and_bytes(content: list[Item], run: bytes) -> None:
    counts = {0, 1, 2, len(content) - 1, len(content), len(content) + 1}
    ends = [len(run_of(content[:count])) for count in sorted(counts) if count >= 0]
    for count in (each for each in counts if each >= 0):
        for size in {each + more for each in ends for more in (-1, 0, 1) if each + more >= 0}:
            expected = b""
            for item in content[:count]:
                if len(expected) + len(record_of(*item)) > size:
                    break
                expected += record_of(*item)
            assert beginning(run, count, size) == expected


LIMITS = (1, HEAD_BYTES, 31, 61, 62, 63, 640, 2000, 2**20)


@pytest.mark.parametrize("limit", LIMITS)
def test_pieces_are_short_enough_or_a_single_record(
    content: list[Item], run: bytes, limit: int
) -> None:
    pieces = list(cut(run, limit))
    assert b"".join(pieces) == run
    assert all(pieces)
    assert [item for piece in pieces for item in items_of(piece)] == content
    assert all(len(piece) <= limit or count_in(piece) == 1 for piece in pieces)
    if len(run) <= limit:
        assert len(pieces) <= 1


@pytest.mark.parametrize("count", [20, 21, 22, 41, 59, 60, 61, 300])
def test_pieces_are_few_and_about_equal(count: int) -> None:
    width = HEAD_BYTES + 9
    in_pieces = [len(piece) // width for piece in cut(run_of(uniform(count)), 640)]
    assert len(in_pieces) == -(-count // 20)
    assert max(in_pieces) - min(in_pieces) <= 1


@pytest.mark.parametrize("count", [14, 15, 30, 31, 120])
def test_pieces_of_two_widths_are_few_and_about_equal(count: int) -> None:
    run = run_of(mixed(*([9, 40] * count)[:count]))
    lengths = [len(piece) for piece in cut(run, 640)]
    assert len(lengths) <= -(-len(run) // 640) + 1
    assert 2 * min(lengths) >= max(lengths)


def test_a_record_that_is_too_long_stands_alone_wherever_it_is() -> None:
    for lengths in ([2000, 9, 9], [9, 2000, 9], [9, 9, 2000], [2000, 2000], [9, 2000, 2000, 9]):
        content = mixed(*lengths)
        pieces = list(cut(run_of(content), 640))
        alone = [run_of([item]) for item in content if len(item[1]) == 2000]
        assert [piece for piece in pieces if len(piece) > 640] == alone
