"""Coverage against a plain set of keys."""

from itertools import pairwise
from typing import TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.pages import ROOT, nibble_at
from node.storage.memory import MemoryStore
from node.storage.store import Table
from node.sync.state.coverage import (
    EVERYTHING,
    KEY_SPACE,
    Coverage,
    Span,
    after,
    before,
    key_of,
    load,
    save,
    span_of,
    width,
)
from protocols.types import Address

SIZE = 24
"""Keys of the small world: half of them at either end of the key space, where edges are."""

Step: TypeAlias = tuple[bool, int, int]


def key(index: int) -> Address:
    return key_of(index if index < SIZE // 2 else KEY_SPACE - SIZE + index)


KEYS = [key(index) for index in range(SIZE)]
MIDDLE = key_of(KEY_SPACE // 2)
"""Stands for all keys between the two halves of the small world."""
UNIVERSE = sorted({*KEYS, MIDDLE})

indexes = st.integers(0, SIZE - 1)
steps = st.lists(st.tuples(st.booleans(), indexes, indexes), max_size=12)


def span(first: int, second: int) -> Span:
    return key(min(first, second)), key(max(first, second))


def members(wanted: Span) -> set[Address]:
    return {each for each in UNIVERSE if wanted[0] <= each <= wanted[1]}


def run(taken: list[Step]) -> tuple[Coverage, set[Address]]:
    coverage, model = Coverage(), set[Address]()
    for is_added, first, second in taken:
        wanted = span(first, second)
        if is_added:
            coverage.add(*wanted)
            model |= members(wanted)
        else:
            coverage.subtract(*wanted)
            model -= members(wanted)
    return coverage, model


@given(steps)
def test_it_holds_what_was_added_and_not_taken_away(taken: list[Step]) -> None:
    coverage, model = run(taken)

    assert {each for each in UNIVERSE if each in coverage} == model
    assert coverage.is_everything == (model == set(UNIVERSE))
    assert coverage.clip([(each, b"") for each in UNIVERSE]) == [
        (each, b"") for each in UNIVERSE if each in model
    ]


@given(steps)
def test_its_ranges_ascend_and_never_touch(taken: list[Step]) -> None:
    spans = list(run(taken)[0])

    assert all(start <= end for start, end in spans)
    assert all((after(first[1]) or b"") < second[0] for first, second in pairwise(spans))


@given(steps, indexes, indexes)
def test_gaps_and_covered_parts_make_up_a_range(taken: list[Step], first: int, second: int) -> None:
    coverage, model = run(taken)
    wanted = span(first, second)
    inside, gaps = list(coverage.within(*wanted)), coverage.gaps(*wanted)

    assert set().union(*map(members, inside)) == model & members(wanted)
    assert set().union(*map(members, gaps)) == members(wanted) - model
    assert sum(map(width, inside)) + sum(map(width, gaps)) == width(wanted)


@given(steps)
def test_ranges_and_gaps_are_the_key_space(taken: list[Step]) -> None:
    coverage, _ = run(taken)

    covered = sum(map(width, coverage))
    assert covered + sum(map(width, coverage.gaps())) == KEY_SPACE


@given(steps, steps)
def test_what_is_saved_over_anything_is_loaded_again(old: list[Step], new: list[Step]) -> None:
    stored, coverage = run(old)[0], run(new)[0]
    store = MemoryStore()
    with store.write() as writer:
        save(writer, Coverage(), stored)
        save(writer, load(writer), coverage)
    with store.read() as reader:
        assert list(load(reader)) == list(coverage)
        assert dict(reader.scan(Table.COVERAGE)) == dict(coverage)


@given(steps, steps)
def test_a_copy_is_another_one(taken: list[Step], later: list[Step]) -> None:
    coverage, _ = run(taken)
    spans = list(coverage)
    copy = Coverage(coverage)
    for _, first, second in later:
        copy.add(*span(first, second))
    assert list(coverage) == spans


def test_keys_end_where_the_key_space_does() -> None:
    assert before(EVERYTHING[0]) is None
    assert after(EVERYTHING[1]) is None
    assert span_of(ROOT) == EVERYTHING


@given(st.lists(st.integers(0, 15), max_size=40))
def test_the_span_of_a_place_holds_its_prefix_and_nothing_else(nibbles: list[int]) -> None:
    place = ROOT
    for nibble in nibbles:
        place = place.child(nibble)
    for each in span_of(place):
        assert [nibble_at(each, depth) for depth in range(len(nibbles))] == nibbles
    assert width(span_of(place)) == 16 ** (40 - len(nibbles))
