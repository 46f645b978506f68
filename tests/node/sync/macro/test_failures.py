"""Failures of peers that have left."""

from node.sync.macro.failures import KEPT_MAX, KEPT_S, Failures
from protocols.types import PeerId
from tests.build.sync import ALICE, BOB


def test_failures_are_kept_for_a_while_and_taken_once() -> None:
    failures = Failures()
    failures.keep(ALICE, 2, 0.0)
    failures.keep(BOB, 3, 0.0)
    assert failures.take(ALICE, KEPT_S - 1) == 2
    assert failures.take(ALICE, KEPT_S - 1) == 0
    assert failures.take(BOB, KEPT_S) == 0


def test_leaving_without_failures_forgets_the_older_ones() -> None:
    failures = Failures()
    failures.keep(ALICE, 2, 0.0)
    failures.keep(ALICE, 0, 1.0)
    assert failures.take(ALICE, 2.0) == 0


def test_whoever_left_first_is_forgotten_first() -> None:
    failures = Failures()
    peers = [PeerId(f"peer{number}") for number in range(KEPT_MAX + 1)]
    for peer in [*peers[:-1], peers[0], peers[-1]]:
        failures.keep(peer, 1, 0.0)
    assert [peer for peer in peers if not failures.take(peer, 1.0)] == [peers[1]]
