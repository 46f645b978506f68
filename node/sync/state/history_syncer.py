"""The machine that fetches what it takes to extend the history of a target's epoch.

    target --ask a peer--> peaks --hash to the history root--> reached --new target--> ask again
                ^                 | they do not: another peer
                +-----------------+

That is a handful of hashes for each target. They are kept in memory: after a restart they are asked
for again.
"""

from collections.abc import Sequence
from typing import Final

from node.chain.history_tree import EMPTY_ROOT, NO_PEAKS, Peaks
from node.errors import Fault
from node.sync.effects import ReportPeer
from node.sync.state.one_question import OneQuestion
from node.sync.state.part_events import AskPeaks, HistoryEffect, HistoryInput, PeaksArrived
from node.sync.state.state_events import (
    TargetReached,
    TargetTooOld,
)
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.state_peers import Topic
from node.sync.state.target import SyncTarget

NAME: Final = "history"


class HistorySyncer:
    """Fetches the peaks of each target. Implements `Syncer`; one task feeds it."""

    def __init__(self, limits: StateLimits = DEFAULT_LIMITS) -> None:
        """Begin idle.

        Args:
            limits: Its bounds.
        """
        self._question = OneQuestion(limits)
        self._target: SyncTarget | None = None
        self._peaks: Peaks | None = None
        self._reached: SyncTarget | None = None
        self._too_old: SyncTarget | None = None

    @property
    def name(self) -> str:
        """What the registry knows it by."""
        return NAME

    @property
    def peaks(self) -> Peaks | None:
        """Those of the newest target, proven; None as long as they are missing."""
        return self._peaks

    def sync(self, target: SyncTarget, now: float) -> Sequence[HistoryEffect]:
        """Begin."""
        return self.update_target(target, now)

    def update_target(self, target: SyncTarget, now: float) -> Sequence[HistoryEffect]:
        """Go for a newer target. What was asked for another is no longer wanted."""
        if target == self._target:
            return []
        self._target = target
        self._peaks = NO_PEAKS if target.history_root == EMPTY_ROOT else None
        return [*self._question.drop(), *self._step(now)]

    def finalize(self) -> Sequence[HistoryEffect]:
        """Want nothing more: it is done with the last target, whose peaks stay."""
        self._target = None
        return self._question.drop()

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due, monotonic clock, or None."""
        is_waiting = self._target is not None and self._peaks is None
        return self._question.next_deadline() if is_waiting else None

    def handle(self, event: HistoryInput, now: float) -> list[HistoryEffect]:
        """Apply one event. What comes late changes nothing."""
        self._question.wake(now)
        return self._on_event(event, now) + self._step(now)

    def _on_event(self, event: HistoryInput, now: float) -> list[HistoryEffect]:
        match event:
            case PeaksArrived():
                return self._on_peaks(event, now)
            case _:
                return [*self._question.hear(event, now)]

    def _on_peaks(self, event: PeaksArrived, now: float) -> list[HistoryEffect]:
        peer = self._question.answered(event.id)
        if peer is None or self._target is None:
            return []
        peaks = Peaks(event.leaf_count, event.peaks)
        if peaks.root != self._target.history_root:
            self._question.lied(peer, now)
            return [ReportPeer(peer, Fault.INVALID_PROOF)]
        self._question.useful(peer)
        self._peaks = peaks
        return []

    def _step(self, now: float) -> list[HistoryEffect]:
        target = self._target
        if target is None:
            return []
        if self._peaks is not None:
            if self._reached == target:
                return []
            self._reached = target
            return [TargetReached(target)]
        topic: Topic = "history", target.hash
        question = self._question.ask(topic, now)
        if question is not None:
            return [AskPeaks(question.id, question.peer, target.hash)]
        if self._question.nobody_has(topic) and self._too_old != target:
            self._too_old = target
            return [TargetTooOld(target)]
        return []
