"""Ranges still to fetch, against a plain list of keys."""

from hypothesis import given
from hypothesis import strategies as st

from node.sync.state.coverage import EVERYTHING, Coverage, Span, key_of, width
from node.sync.state.key_ranges import KeyRange, KeyRanges
from protocols.types import PeerId


def all_spans(ranges: KeyRanges, leased: list[KeyRange]) -> list[Span]:
    return sorted(each.span for each in [*ranges.waiting, *leased])


def test_a_range_is_waiting_leased_or_gone() -> None:
    ranges = KeyRanges([EVERYTHING])
    only = ranges.waiting[0]
    ranges.lease(only)
    assert (list(ranges.waiting), ranges.is_empty) == ([], False)
    ranges.release(only)
    assert list(ranges.waiting) == [only]
    ranges.lease(only)
    ranges.advance(only, key_of(99))
    assert [each.span for each in ranges.waiting] == [(key_of(100), EVERYTHING[1])]
    rest = ranges.waiting[0]
    ranges.lease(rest)
    ranges.advance(rest, EVERYTHING[1])
    assert ranges.is_empty


def test_what_failed_comes_first() -> None:
    ranges = KeyRanges([(key_of(0), key_of(9)), (key_of(10), key_of(19))])
    first = ranges.waiting[0]
    ranges.lease(first)
    ranges.release(first)
    assert ranges.waiting[0] is first


def test_the_widest_leased_range_is_halved() -> None:
    ranges = KeyRanges([(key_of(0), key_of(9)), (key_of(100), key_of(199))])
    for each in list(ranges.waiting):
        ranges.lease(each)
    assert ranges.split(20)
    assert [each.span for each in ranges.waiting] == [(key_of(150), key_of(199))]
    ranges.lease(ranges.waiting[0])
    assert not ranges.split(51)


def test_one_key_is_never_halved() -> None:
    ranges = KeyRanges([(key_of(5), key_of(5))])
    ranges.lease(ranges.waiting[0])
    assert not ranges.split(0)


def test_nothing_leased_is_not_halved() -> None:
    assert not KeyRanges([EVERYTHING]).split(0)


def test_an_answer_may_prove_more_than_is_left_of_its_range() -> None:
    ranges = KeyRanges([(key_of(0), key_of(99))])
    only = ranges.waiting[0]
    ranges.lease(only)
    ranges.split(2)
    ranges.advance(only, key_of(70))
    assert [each.span for each in ranges.waiting] == [(key_of(50), key_of(99))]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 99)), max_size=40))
def test_no_key_is_lost_or_fetched_by_two(taken: list[tuple[int, int, int]]) -> None:
    ranges, leased, proven = KeyRanges([EVERYTHING]), list[KeyRange](), Coverage()
    for action, which, percent in taken:
        if action == 0 and ranges.waiting:
            leased.append(ranges.waiting[which % len(ranges.waiting)])
            ranges.lease(leased[-1])
        elif action == 1 and ranges.waiting:
            first = ranges.waiting[which % len(ranges.waiting)]
            ranges.carve(first, 1 + (width(first.span) * percent // 99))
        elif action == 1:
            ranges.split(2)
        elif action == 2 and leased:
            ranges.release(leased.pop(which % len(leased)))
        elif action == 3 and leased:
            each = leased.pop(which % len(leased))
            start, end = (int.from_bytes(key, "big") for key in each.span)
            last = key_of(start + (end - start) * percent // 99)
            ranges.advance(each, last)
            proven.add(each.start, last)
    spans = all_spans(ranges, leased)
    assert spans == sorted(spans, key=lambda span: span[1])
    assert Coverage([*spans, *proven]).is_everything
    assert sum(1 for _ in Coverage(spans)) <= len(spans)
    assert list(Coverage(proven.gaps())) == list(Coverage(spans))


def test_a_piece_is_parted_from_the_start_of_a_range() -> None:
    ranges = KeyRanges([(key_of(5), key_of(99))])
    piece = ranges.carve(ranges.waiting[0], 10)
    assert [each.span for each in ranges.waiting] == [
        (key_of(5), key_of(14)),
        (key_of(15), key_of(99)),
    ]
    assert piece is ranges.waiting[0]
    assert ranges.carve(piece, 10) is piece


def test_a_piece_ends_where_a_subtree_ends_if_it_holds_several() -> None:
    ranges = KeyRanges([(key_of(5), key_of(999))])
    ranges.carve(ranges.waiting[0], 8 * 16 + 15)
    assert ranges.waiting[0].end == key_of(8 * 16 + 15)
    ranges.carve(ranges.waiting[1], 8 * 16 - 1)
    assert ranges.waiting[1].span == (key_of(9 * 16), key_of(9 * 16 + 8 * 16 - 2))


def test_who_failed_at_a_range_failed_at_its_pieces() -> None:
    ranges = KeyRanges([EVERYTHING])
    ranges.waiting[0].tried.add(PeerId("silent"))
    piece = ranges.carve(ranges.waiting[0], 1)
    assert piece.span == (key_of(0), key_of(0))
    assert [each.tried for each in ranges.waiting] == [{PeerId("silent")}] * 2
