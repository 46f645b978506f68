"""Points, fading, bans and bounds of the score book."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import Fault
from node.net.scores import BAN_LIMIT, POINTS, ScoreBook, ScoreLimits, is_loopback
from node.sync.live.config import QueueConfig
from protocols.types import PeerId

PEER = PeerId("peer")
OTHER = PeerId("other")
HOST = "192.0.2.7"
LIMITS = ScoreLimits()


def test_every_fault_costs_something_and_none_more_than_the_limit() -> None:
    assert set(POINTS) == set(Fault)
    assert all(0 < points <= BAN_LIMIT for points in POINTS.values())


@pytest.mark.parametrize(
    ("fault", "reports"),
    [
        (Fault.WRONG_NETWORK, 1),
        (Fault.INVALID_BLOCK, 2),
        (Fault.INVALID_PROOF, 2),
        (Fault.INVALID_VOTE, 4),
        (Fault.MALFORMED, 4),
        (Fault.UNSOLICITED, 5),
        (Fault.FLOODING, 10),
        (Fault.INVALID_TRANSACTION, 10),
        (Fault.MISSING_PARENT, 20),
        (Fault.TOO_SLOW, 50),
    ],
)
def test_so_many_faults_at_once_reach_the_limit(fault: Fault, reports: int) -> None:
    book = ScoreBook()
    assert [book.report(PEER, fault, 0.0) for _ in range(reports)] == [False] * (reports - 1) + [
        True
    ]
    assert book.points(OTHER, 0.0) == 0


def test_points_fade_to_zero_and_not_below() -> None:
    book = ScoreBook()
    book.report(PEER, Fault.MALFORMED, 10.0)
    assert [book.points(PEER, at) for at in (10.0, 20.0, 60.0, 1e6)] == [25, 20, 0, 0]


def test_a_slow_trickle_of_faults_never_reaches_the_limit() -> None:
    book = ScoreBook()
    assert not any(book.report(PEER, Fault.TOO_SLOW, 5.0 * step) for step in range(1000))


def test_honest_peers_may_now_and_then_announce_what_others_lack() -> None:
    """One lookup in vain every ten seconds fades. All that one peer may have open at once do not
    reach the limit either."""
    book = ScoreBook()
    assert not any(book.report(PEER, Fault.MISSING_PARENT, 10.0 * step) for step in range(1000))
    at_once = QueueConfig(include_body=True).lookups_per_peer
    assert not any(book.report(OTHER, Fault.MISSING_PARENT, 0.0) for _ in range(at_once))


def test_ban_by_id_and_host_lasts_ten_minutes_and_clears_the_score() -> None:
    book = ScoreBook()
    book.report(PEER, Fault.MALFORMED, 0.0)
    book.ban(PEER, HOST, 0.0)
    assert [book.is_banned(PEER, at) for at in (0.0, 599.9, 600.0)] == [True, True, False]
    assert [book.is_host_banned(HOST, at) for at in (0.0, 599.9, 600.0)] == [True, True, False]
    assert book.points(PEER, 0.0) == 0
    assert not book.is_banned(OTHER, 0.0)
    assert not book.is_host_banned("192.0.2.8", 0.0)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_loopback_hosts_are_never_banned(host: str) -> None:
    book = ScoreBook()
    book.ban(PEER, host, 0.0)
    assert book.is_banned(PEER, 0.0)
    assert not book.is_host_banned(host, 0.0)


def test_ban_without_known_host() -> None:
    book = ScoreBook()
    book.ban(PEER, None, 0.0)
    assert book.is_banned(PEER, 0.0)


def test_ban_again_starts_anew() -> None:
    book = ScoreBook()
    book.ban(PEER, HOST, 0.0)
    book.ban(PEER, HOST, 500.0)
    assert book.is_banned(PEER, 1099.0)
    assert not book.is_banned(PEER, 1100.0)


def test_score_table_forgets_the_cleanest_first() -> None:
    book = ScoreBook(ScoreLimits(max_entries=2))
    book.report(PeerId("bad"), Fault.INVALID_BLOCK, 0.0)
    book.report(PeerId("slow"), Fault.TOO_SLOW, 0.0)
    book.report(PeerId("worse"), Fault.MALFORMED, 0.0)
    assert [book.points(PeerId(name), 0.0) for name in ("bad", "slow", "worse")] == [50, 0, 25]


def test_ban_table_forgets_the_oldest_first() -> None:
    book = ScoreBook(ScoreLimits(max_entries=2))
    for number in range(3):
        book.ban(PeerId(str(number)), f"192.0.2.{number}", float(number))
    assert [book.is_banned(PeerId(str(number)), 3.0) for number in range(3)] == [False, True, True]
    assert [book.is_host_banned(f"192.0.2.{number}", 3.0) for number in range(3)] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.1", False), ("example.org", False), ("", False)],
)
def test_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


@given(st.lists(st.tuples(st.sampled_from(list(Fault)), st.floats(0, 100)), max_size=50))
def test_score_stays_in_bounds(steps: list[tuple[Fault, float]]) -> None:
    """Whatever happens, a report is True exactly when the points are at the limit."""
    book, now = ScoreBook(), 0.0
    for fault, wait in steps:
        now += wait
        is_over = book.report(PEER, fault, now)
        assert book.points(PEER, now) >= 0
        assert is_over == (book.points(PEER, now) >= LIMITS.ban_at)
