"""Open questions: whom to ask, and who has failed too often."""

import pytest

from node.sync.macro.epoch_download import EpochDownload, Wanted
from node.sync.macro.history_answers import after_election
from node.sync.macro.history_items import SetItem
from node.sync.macro.history_limits import HistoryLimits
from node.sync.macro.leases import Lease, Leases
from node.sync.macro.target import Target
from protocols.types import Height, PeerId
from tests.build.blocks import digest
from tests.build.sync import ALICE, BOB, CAROL

LIMITS = HistoryLimits(headers_in_flight=2, leaves_in_flight=2, doubtful_max=2)
"""Four questions: two for each of two peers."""

TARGET = Target(12, digest("target"))
DOWNLOAD = EpochDownload(TARGET, after_election(0, digest("genesis")), 3)


def wanted(after: Height) -> Wanted:
    return Wanted(SetItem(TARGET, after), DOWNLOAD, reserve_bytes=10)


def leases_of(*peers: PeerId) -> Leases:
    leases = Leases(LIMITS)
    for peer in peers:
        leases.add(peer)
    return leases


def open_one(leases: Leases, after: Height, *peers: PeerId, now: float = 0.0) -> PeerId | None:
    peer = leases.pick(wanted(after).item, peers, now)
    if peer is not None:
        leases.open(wanted(after), peer, now)
    return peer


def fail(leases: Leases, after: Height, peer: PeerId) -> bool:
    lease = leases.close(leases.open(wanted(after), peer, 0.0))
    assert isinstance(lease, Lease)
    return leases.failed(lease)


def test_questions_are_spread_and_shared() -> None:
    leases = leases_of(ALICE, BOB)
    picked = [open_one(leases, after, ALICE, BOB) for after in range(5)]
    assert picked == [ALICE, BOB, ALICE, BOB, None]
    assert leases.reserved_bytes == 40
    assert leases.count(SetItem) == 4
    assert leases.next_deadline() == LIMITS.slow_s


def test_a_place_is_free_again_after_the_answer() -> None:
    leases = leases_of(ALICE)
    ticket = leases.open(wanted(0), ALICE, 0.0)
    assert leases.is_open(wanted(0).item)
    assert leases.close(ticket) is not None
    assert leases.close(ticket) is None
    assert not leases.is_open(wanted(0).item)
    assert leases.next_deadline() is None


def test_another_is_asked_after_a_failure_and_all_again_at_last() -> None:
    leases = leases_of(ALICE, BOB)
    assert not fail(leases, 0, ALICE)
    assert leases.pick(wanted(0).item, (ALICE, BOB), 0.0) == BOB
    assert not fail(leases, 0, BOB)
    assert leases.pick(wanted(0).item, (ALICE, BOB), 0.0) == ALICE


def test_one_that_has_failed_comes_last_and_with_one_question() -> None:
    leases = leases_of(ALICE, BOB)
    fail(leases, 9, ALICE)
    picked = [open_one(leases, after, ALICE, BOB) for after in range(6)]
    assert picked == [BOB, BOB, BOB, BOB, ALICE, None]


def test_too_many_failures_are_remembered_for_a_while() -> None:
    leases = leases_of(ALICE, BOB, CAROL)
    for peer in (ALICE, BOB, CAROL):
        assert [fail(leases, number, peer) for number in range(3)] == [False, False, True]
    for peer in (ALICE, BOB, CAROL):
        leases.remove(peer)
        leases.add(peer)
    # Two are remembered: BOB and CAROL may be asked one question each.
    assert [open_one(leases, after, BOB) for after in range(2)] == [BOB, None]
    assert [open_one(leases, after, ALICE) for after in range(2, 4)] == [ALICE, ALICE]
    assert [peer in leases.given_back for peer in (ALICE, BOB, CAROL)] == [False, True, True]
    leases.succeeded(BOB)
    assert BOB not in leases.given_back
    leases.remove(BOB)
    leases.add(BOB)
    assert [open_one(leases, after, BOB) for after in range(4, 6)] == [BOB, BOB]


def test_a_pause_ends() -> None:
    leases = leases_of(ALICE)
    assert not leases.was_busy(ALICE, 0.0)
    assert leases.pick(wanted(0).item, (ALICE,), 0.4) is None
    assert leases.next_release() == 0.5
    leases.end_pauses(0.5)
    assert leases.next_release() is None
    assert leases.pick(wanted(0).item, (ALICE,), 0.5) == ALICE


def test_refusals_of_one_moment_count_once() -> None:
    leases = leases_of(ALICE)
    assert not any(leases.was_busy(ALICE, 0.0) for _ in range(LIMITS.refusals_max))
    later = [leases.was_busy(ALICE, float(moment)) for moment in range(1, LIMITS.refusals_max)]
    assert later == [False] * (LIMITS.refusals_max - 2) + [True]


def test_what_is_not_wanted_is_closed() -> None:
    leases = leases_of(ALICE)
    first = leases.open(wanted(0), ALICE, 0.0)
    leases.open(wanted(1), ALICE, 0.0)
    assert leases.keep_only({wanted(1).item}) == [first]
    assert leases.remove(ALICE) != []
    assert leases.late(LIMITS.timeout_s) == []


def test_a_slow_question_is_asked_of_another_that_is_quick() -> None:
    leases = leases_of(ALICE, BOB, CAROL)
    assert open_one(leases, 0, ALICE, BOB) == ALICE
    assert leases.is_quick(wanted(0).item)

    assert leases.late(LIMITS.slow_s) == []

    assert not leases.is_quick(wanted(0).item)
    assert leases.is_open(wanted(0).item)
    assert leases.count(SetItem) == 0, "it has given its place away"
    assert leases.next_deadline() == LIMITS.timeout_s
    assert open_one(leases, 0, ALICE, BOB, now=LIMITS.slow_s) == BOB
    assert leases.is_quick(wanted(0).item)
    assert leases.reserved_bytes == 10, "one answer is kept"
    assert leases.late(2 * LIMITS.slow_s) == []
    assert leases.pick(wanted(0).item, (ALICE, BOB), 2 * LIMITS.slow_s) is None


def test_slow_peers_are_not_asked_instead_of_each_other() -> None:
    leases = leases_of(ALICE, BOB)
    open_one(leases, 0, ALICE)
    open_one(leases, 1, BOB)
    leases.late(LIMITS.slow_s)
    assert leases.pick(wanted(0).item, (ALICE, BOB), LIMITS.slow_s) is None


def test_whoever_is_slow_gets_one_question_beside_a_quick_peer() -> None:
    leases = leases_of(ALICE, BOB)
    open_one(leases, 0, ALICE)
    leases.late(LIMITS.slow_s)
    picked = [open_one(leases, after, ALICE, BOB, now=LIMITS.slow_s) for after in range(1, 6)]
    assert picked == [BOB] * 4 + [None]


def test_a_lone_slow_peer_keeps_its_share() -> None:
    leases = leases_of(ALICE)
    for after in range(3):
        open_one(leases, after, ALICE)
    leases.late(LIMITS.slow_s)
    picked = [open_one(leases, after, ALICE, now=LIMITS.slow_s) for after in range(3, 5)]
    assert picked == [ALICE, None]


@pytest.mark.parametrize("returns", [False, True])
def test_whoever_was_overtaken_comes_last_until_it_answers(returns: bool) -> None:
    leases = leases_of(ALICE, BOB)
    open_one(leases, 0, ALICE)
    leases.late(LIMITS.slow_s)
    if returns:
        leases.remove(ALICE)
        leases.add(ALICE)
    else:
        leases.keep_only(())
    picked = [open_one(leases, after, ALICE, BOB) for after in range(1, 7)]
    assert picked == [BOB] * 4 + [ALICE, None]
    leases.keep_only(())
    leases.succeeded(ALICE)
    picked = [open_one(leases, after, ALICE, BOB) for after in range(1, 6)]
    assert sorted(peer for peer in picked if peer) == [ALICE, ALICE, BOB, BOB]
