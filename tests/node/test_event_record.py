"""The record of a node's newest events."""

from enum import StrEnum

from hypothesis import given
from hypothesis import strategies as st

from node.event_record import MAX_EVENTS, MAX_TEXT, EventRecord, plain


class Word(StrEnum):
    ONE = "one"


def filled(count: int, size: int = MAX_EVENTS) -> EventRecord:
    record = EventRecord(size)
    for index in range(count):
        record.add("ticked", {"index": index}, time=f"t{index}", now=float(index))
    return record


def test_nothing_has_happened_yet() -> None:
    record = EventRecord()
    assert (record.oldest, record.newest, record.after(0, 10)) == (1, 0, [])


def test_numbers_begin_with_one() -> None:
    record = filled(3)
    assert (record.oldest, record.newest) == (1, 3)
    assert [(event.seq, event.facts["index"]) for event in record.after(0, 10)] == [
        (1, 0),
        (2, 1),
        (3, 2),
    ]
    assert [event.seq for event in record.after(1, 1)] == [2]
    assert record.after(3, 10) == []
    assert record.after(4, 10) == []


@given(
    count=st.integers(0, 40),
    size=st.integers(1, 9),
    seq=st.integers(0, 50),
    limit=st.integers(0, 9),
)
def test_the_newest_are_kept_without_a_gap(count: int, size: int, seq: int, limit: int) -> None:
    record = filled(count, size)
    kept = range(max(count - size, 0) + 1, count + 1)
    assert (record.oldest, record.newest) == (kept.start, count)
    wanted = [number for number in kept if number > seq][:limit]
    assert [event.seq for event in record.after(seq, limit)] == wanted


def test_an_event_as_json() -> None:
    record = EventRecord()
    facts = {"block": bytes(range(32)), "part": Word.ONE, "seq": 7, "node": "another"}
    record.add("held", {**facts, "spans": (b"\x01", None)}, time="2026", now=1.23456789)
    (event,) = record.after(0, 1)
    assert event.to_json("12D3Koo") == {
        "seq": 1,
        "time": "2026",
        "monotonic": 1.234568,
        "node": "12D3Koo",
        "type": "held",
        "block": bytes(range(32)).hex(),
        "part": "one",
        "spans": ["01", None],
    }
    assert list(event.to_json("x"))[:5] == ["seq", "time", "monotonic", "node", "type"]


def test_a_text_of_a_stranger_does_not_fill_the_memory() -> None:
    record = EventRecord()
    record.add("malformed", {"reason": "x" * (MAX_TEXT + 1), "count": 5}, time="", now=0)
    (event,) = record.after(0, 1)
    assert event.facts == {"reason": "x" * MAX_TEXT, "count": 5}


def test_what_json_does_not_know_is_text() -> None:
    assert plain({1: [b"\xff", {2}, 0.5, True]}) == {"1": ["ff", "{2}", 0.5, True]}
