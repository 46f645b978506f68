"""What is told of each range and of each change."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.accounts.records import Records
from node.services.accounts_journal import MAX_OPEN, AccountsJournal
from node.sync.state.block_changes import BlockChanges
from node.sync.state.coverage import EVERYTHING
from node.sync.state.state_events import (
    ApplyBlocks,
    AskRange,
    Build,
    CheckRange,
    JobDone,
    RangeArrived,
    RangeChecked,
    WriteParts,
)
from node.sync.state.state_store import NOTHING
from protocols.messages.state_range import ProvenRange
from protocols.types import PeerId
from tests.build.blocks import digest
from tests.node.sync.state.targets import target

TARGET = target(20)
ANSWER = ProvenRange(leaves=b"leaves", proof=b"proof")
RECORDS = Records.of(b"")

Lines = list[MutableMapping[str, Any]]


@pytest.fixture
def lines() -> Iterator[Lines]:
    with capture_logs() as captured:
        yield captured


@pytest.fixture
def journal() -> AccountsJournal:
    return AccountsJournal()


def ask(number: int, peer: str) -> AskRange:
    return AskRange(id=number, peer=PeerId(peer), target=TARGET, span=EVERYTHING, limit=9)


def check(number: int) -> CheckRange:
    return CheckRange(id=number, root=digest("root"), span=EVERYTHING, answer=ANSWER)


def checked(number: int, *, is_true: bool = True) -> RangeChecked:
    return RangeChecked(number, RECORDS if is_true else None, None)


def test_a_range_tells_who_sent_what_and_how_fast(journal: AccountsJournal, lines: Lines) -> None:
    """Two are under way at once, and come the other way round."""
    journal.on_effect(ask(1, "slow"), 10.0)
    journal.on_effect(ask(2, "fast"), 10.5)
    journal.on_event(RangeArrived(2, ANSWER), 11.0)
    journal.on_effect(check(3), 11.0)
    journal.on_event(RangeArrived(1, ANSWER), 13.0)
    journal.on_effect(check(4), 13.0)
    journal.on_event(checked(4), 14.0)
    journal.on_event(checked(3), 15.0)
    common = {"log_level": "debug", "event": "range_received", "leaves": 0, "bytes": 11}
    common |= {"block": 20, "start": EVERYTHING[0]}
    assert lines == [
        {**common, "peer": "slow", "seconds": 3.0},
        {**common, "peer": "fast", "seconds": 0.5},
    ]


def test_what_is_false_or_late_tells_nothing(journal: AccountsJournal, lines: Lines) -> None:
    journal.on_effect(ask(1, "liar"), 10.0)
    journal.on_event(RangeArrived(1, ANSWER), 11.0)
    journal.on_effect(check(2), 11.0)
    journal.on_event(checked(2, is_true=False), 12.0)
    journal.on_event(RangeArrived(1, ANSWER), 13.0)
    journal.on_effect(check(3), 13.0)
    journal.on_event(checked(3), 14.0)
    journal.on_event(checked(9), 14.0)
    journal.on_event(JobDone(9, NOTHING), 14.0)
    assert lines == []


def test_changes_and_writes_tell_how_long_they_took(journal: AccountsJournal, lines: Lines) -> None:
    blocks = tuple(BlockChanges(target(number), ()) for number in (21, 22, 23))
    journal.on_effect(ApplyBlocks(1, blocks), 10.0)
    journal.on_event(JobDone(1, NOTHING), 10.25)
    journal.on_effect(WriteParts(2, ()), 11.0)
    journal.on_event(JobDone(2, NOTHING), 11.5)
    journal.on_event(JobDone(2, NOTHING), 12.0)
    journal.on_effect(Build(3, 1000), 12.0)
    journal.on_event(JobDone(3, NOTHING, is_complete=False), 12.75)
    assert [(line["event"], line["seconds"]) for line in lines] == [
        ("changes_applied", 0.25),
        ("ranges_written", 0.5),
        ("branches_built", 0.75),
    ]
    assert lines[2]["are_all"] is False
    assert (lines[0]["first"], lines[0]["last"], lines[0]["accounts"]) == (21, 23, 0)


def test_questions_without_an_answer_are_forgotten(journal: AccountsJournal, lines: Lines) -> None:
    for number in range(MAX_OPEN + 1):
        journal.on_effect(ask(number, "silent"), 1.0)
    for number in (0, MAX_OPEN):
        journal.on_event(RangeArrived(number, ANSWER), 2.0)
        journal.on_effect(check(1000 + number), 2.0)
        journal.on_event(checked(1000 + number), 3.0)
    assert len(lines) == 1
