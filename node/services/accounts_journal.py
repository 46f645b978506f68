"""What fetching the accounts tells of each step of it.

    range_received    accounts of a range are proven: who sent how many in how many seconds, of
                      which block, from which key on
    ranges_written    proven ranges are stored, seconds that it took
    changes_applied   blocks whose changes the stored accounts were moved over, seconds that it took
    branches_built    a part of the missing branches, or all that were left, seconds that it took

It sees all events and effects of the machine, and changes none. All are of level debug.
"""

from dataclasses import dataclass
from typing import Final

import structlog

from node.sync.state.state_events import (
    ApplyBlocks,
    AskRange,
    Build,
    CheckRange,
    JobDone,
    RangeArrived,
    RangeChecked,
    StateEffect,
    StateInput,
    WriteParts,
)

log = structlog.get_logger("state_sync")

MAX_OPEN: Final = 256
"""Questions, or checks, that are waited for: more than the machine has open at once. It forgets
some without a word; when there are more, the oldest are forgotten here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """One answer, before it is checked."""

    ask: AskRange
    bytes: int
    seconds: float
    """Since the question."""


class AccountsJournal:
    """Watches one machine. Its task shows it each event before the machine, and each effect."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[AskRange, float]] = {}
        """By question, with the time."""
        self._arrived: _Answered | None = None
        """What came last: the next check is of it."""
        self._checks: dict[int, _Answered] = {}
        """By check."""
        self._job: tuple[ApplyBlocks | WriteParts | Build, float] | None = None

    def on_event(self, event: StateInput, now: float) -> None:
        """See what happens.

        Args:
            event: Before the machine takes it.
            now: Monotonic clock, seconds.
        """
        match event:
            case RangeArrived():
                self._on_arrived(event, now)
            case RangeChecked():
                self._on_checked(event)
            case JobDone():
                self._on_job_done(event, now)
            case _:
                pass

    def on_effect(self, effect: StateEffect, now: float) -> None:
        """See what is to be done.

        Args:
            effect: Of the machine.
            now: Monotonic clock, seconds.
        """
        match effect:
            case AskRange():
                _make_room(self._asked)
                self._asked[effect.id] = effect, now
            case CheckRange() if self._arrived is not None:
                _make_room(self._checks)
                self._checks[effect.id] = self._arrived
            case ApplyBlocks() | WriteParts() | Build():
                self._job = effect, now
            case _:
                pass

    def _on_arrived(self, event: RangeArrived, now: float) -> None:
        self._arrived = None
        if event.id in self._asked:
            ask, asked_at = self._asked.pop(event.id)
            size = len(event.answer.leaves) + len(event.answer.proof)
            self._arrived = _Answered(ask=ask, bytes=size, seconds=now - asked_at)

    def _on_checked(self, event: RangeChecked) -> None:
        answered = self._checks.pop(event.id, None)
        if event.records is None or answered is None:
            return
        log.debug(
            "range_received",
            leaves=len(event.records),
            bytes=answered.bytes,
            peer=answered.ask.peer,
            block=answered.ask.target.number,
            start=answered.ask.span[0],
            seconds=round(answered.seconds, 6),
        )

    def _on_job_done(self, event: JobDone, now: float) -> None:
        if self._job is None or self._job[0].id != event.id:
            return
        job, began = self._job
        self._job = None
        seconds = round(now - began, 6)
        match job:
            case ApplyBlocks(_, blocks):
                log.debug(
                    "changes_applied",
                    first=blocks[0].block.number,
                    last=blocks[-1].block.number,
                    accounts=sum(len(block.changes) for block in blocks),
                    seconds=seconds,
                )
            case WriteParts(_, parts):
                log.debug("ranges_written", ranges=len(parts), seconds=seconds)
            case Build():
                log.debug("branches_built", are_all=event.is_complete, seconds=seconds)


def _make_room(open_: "dict[int, tuple[AskRange, float]] | dict[int, _Answered]") -> None:
    if len(open_) >= MAX_OPEN:
        del open_[next(iter(open_))]
