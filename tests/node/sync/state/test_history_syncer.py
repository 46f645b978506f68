"""Peaks of each target, and nothing that is not proven."""

from dataclasses import replace

from node.chain.history_tree import EMPTY_ROOT, NO_PEAKS, Peaks, extend
from node.errors import Fault
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state.history_syncer import HistorySyncer
from node.sync.state.part_events import AskPeaks, HistoryEffect, PeaksArrived
from node.sync.state.state_events import (
    CancelQuestion,
    ServerJoined,
    ServerLeft,
    StateFailed,
    StateRefused,
    TargetReached,
    TargetTooOld,
)
from node.sync.state.state_limits import DEFAULT_LIMITS
from node.sync.state.target import SyncTarget
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.node.sync.state.targets import target as plain_target

A, B = PeerId("a"), PeerId("b")


def peaks_of(count: int) -> Peaks:
    return extend(NO_PEAKS, (number.to_bytes(4, "big") for number in range(count)))[0]


def target(number: int) -> SyncTarget:
    """Return a target whose epoch has as many transactions as blocks."""
    return replace(plain_target(number), history_root=peaks_of(number).root)


def arrived(ask: HistoryEffect, peaks: Peaks) -> PeaksArrived:
    assert isinstance(ask, AskPeaks)
    return PeaksArrived(ask.id, peaks.leaf_count, peaks.hashes)


def joined(*peers: PeerId) -> HistorySyncer:
    syncer = HistorySyncer()
    for peer in peers:
        assert not syncer.handle(ServerJoined(peer), 0.0)
    return syncer


def test_peaks_are_asked_for_and_proven() -> None:
    syncer = joined(A)
    (ask,) = syncer.sync(target(7), 0.0)
    assert ask == AskPeaks(id=1, peer=A, verifier=target(7).hash)
    assert syncer.handle(arrived(ask, peaks_of(7)), 1.0) == [TargetReached(target(7))]
    assert syncer.peaks == peaks_of(7)
    assert syncer.next_deadline() is None


def test_an_epoch_without_transactions_needs_nobody() -> None:
    syncer = joined()
    empty = replace(plain_target(4), history_root=EMPTY_ROOT)
    assert syncer.sync(empty, 0.0) == [TargetReached(empty)]
    assert syncer.peaks == NO_PEAKS


def test_a_false_answer_is_scored_and_another_is_asked() -> None:
    syncer = joined(A, B)
    (ask,) = syncer.sync(target(7), 0.0)
    assert isinstance(ask, AskPeaks)
    wrong = arrived(ask, peaks_of(6))
    reported, again = syncer.handle(wrong, 1.0)
    assert reported == ReportPeer(ask.peer, Fault.INVALID_PROOF)
    assert isinstance(again, AskPeaks)
    assert again.peer != ask.peer
    assert syncer.peaks is None
    assert syncer.handle(arrived(again, peaks_of(7)), 1.0) == [TargetReached(target(7))]


def test_one_that_is_done_resumes_when_the_target_moves() -> None:
    syncer = joined(A)
    (ask,) = syncer.sync(target(7), 0.0)
    syncer.handle(arrived(ask, peaks_of(7)), 0.0)
    (again,) = syncer.update_target(target(9), 0.0)
    assert syncer.peaks is None
    assert syncer.handle(arrived(again, peaks_of(9)), 0.0) == [TargetReached(target(9))]
    assert syncer.update_target(target(9), 0.0) == []


def test_an_answer_for_an_older_target_is_dropped() -> None:
    syncer = joined(A)
    (ask,) = syncer.sync(target(7), 0.0)
    cancelled, again = syncer.update_target(target(9), 0.0)
    assert isinstance(ask, AskPeaks)
    assert cancelled == CancelQuestion(ask.id)
    assert syncer.handle(arrived(ask, peaks_of(7)), 0.0) == []
    assert syncer.handle(arrived(again, peaks_of(9)), 0.0) == [TargetReached(target(9))]


def test_questions_that_are_cancelled_keep_no_place() -> None:
    """A peer has one: the target moves again and again before it answers, and it is asked again."""
    syncer = joined(A)
    (ask,) = syncer.sync(target(7), 0.0)
    for number in range(8, 58):
        assert isinstance(ask, AskPeaks)
        cancelled, ask = syncer.update_target(target(number), 0.0)
        assert isinstance(cancelled, CancelQuestion)
        assert isinstance(ask, AskPeaks)
        assert ask.verifier == target(number).hash
    assert syncer.handle(arrived(ask, peaks_of(57)), 0.0) == [TargetReached(target(57))]


def test_silence_and_leaving_go_on_with_another() -> None:
    syncer = joined(A, B)
    (ask,) = syncer.sync(target(7), 0.0)
    assert isinstance(ask, AskPeaks)
    late = syncer.next_deadline()
    assert late == DEFAULT_LIMITS.timeout_s
    cancelled, again = syncer.handle(DeadlinePassed(), late)
    assert cancelled == CancelQuestion(ask.id)
    assert isinstance(again, AskPeaks)
    assert again.peer != ask.peer
    gone, last = syncer.handle(ServerLeft(again.peer), late)
    assert gone == CancelQuestion(again.id)
    assert isinstance(last, AskPeaks)
    assert last.peer == ask.peer
    (retry,) = syncer.handle(StateFailed(last.id), late)
    assert isinstance(retry, AskPeaks)


def test_a_history_that_nobody_has_is_told_once() -> None:
    syncer = joined(A)
    (ask,) = syncer.sync(target(7), 0.0)
    assert isinstance(ask, AskPeaks)
    refused = StateRefused(ask.id, ResponseStatus.PRUNED)
    assert syncer.handle(refused, 0.0) == [TargetTooOld(target(7))]
    assert syncer.handle(DeadlinePassed(), 1.0) == []
