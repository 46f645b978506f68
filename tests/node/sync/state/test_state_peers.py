"""Who may be asked for state, and what becomes of those that fail."""

from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import StatePeers
from protocols.status import ResponseStatus
from protocols.types import PeerId

LIMITS = StateLimits()
A, B = PeerId("a"), PeerId("b")
TOPIC = ("state", 1)


def joined(*names: PeerId) -> StatePeers:
    peers = StatePeers(LIMITS)
    for name in names:
        peers.add(name)
    return peers


def pick(peers: StatePeers, now: float = 0.0, *, tried: set[PeerId] | None = None) -> PeerId | None:
    peers.end_pauses(now)
    return peers.pick(TOPIC, now, tried=tried or set(), places=2)


def test_questions_are_spread_and_bounded() -> None:
    peers = joined(A, B)
    picked = []
    while (peer := pick(peers)) is not None:
        peers.opened(peer)
        picked.append(peer)
    assert picked == [A, B, A, B]
    peers.closed(B)
    assert pick(peers) == B


def test_who_left_is_nobody() -> None:
    peers = joined(A)
    peers.opened(A)
    peers.remove(A)
    for note in (peers.closed, peers.succeeded):
        note(A)
    peers.failed(A, 0.0)
    peers.lacks(A, TOPIC, 0.0)
    peers.never_has(A, TOPIC)
    peers.was_busy(A, 0.0)
    assert not peers.lied(A, 0.0)
    assert (pick(peers), peers.count, peers.nobody_has(TOPIC)) == (None, 0, False)


def test_who_was_tried_is_asked_only_when_nobody_else_is_there() -> None:
    peers = joined(A, B)
    assert pick(peers, tried={A}) == B
    assert pick(peers, tried={A, B}) == A
    peers.opened(B)
    peers.opened(B)
    # The other one is there, only busy with us.
    assert pick(peers, tried={A}) is None


def test_who_failed_is_asked_when_there_is_no_choice_and_after_a_rest() -> None:
    peers = joined(A, B)
    peers.failed(A, 0.0)
    peers.opened(B)
    peers.opened(B)
    assert pick(peers) is None
    assert pick(peers, LIMITS.rest_s) == A
    peers.remove(B)
    assert pick(peers) == A
    # It has to show that it still answers.
    peers.opened(A)
    assert pick(peers) is None
    peers.closed(A)
    peers.succeeded(A)
    peers.opened(A)
    assert pick(peers) == A


def test_who_fails_again_and_again_rests() -> None:
    peers = joined(A)
    for _ in range(LIMITS.failures_max):
        assert pick(peers, 5.0) == A
        peers.failed(A, 5.0)
    assert pick(peers, 5.0) is None
    assert peers.next_release() == 5.0 + LIMITS.rest_s
    assert pick(peers, 5.0 + LIMITS.rest_s) == A
    assert peers.next_release() is None


def test_three_lies_end_it() -> None:
    peers = joined(A)
    outcomes = [peers.lied(A, 0.0) for _ in range(LIMITS.lies_max)]
    assert outcomes == [False] * (LIMITS.lies_max - 1) + [True]
    assert (pick(peers, 1e6), peers.count, peers.next_release()) == (None, 0, None)


def test_a_busy_peer_gets_a_moment_and_counts_as_silent_in_the_end() -> None:
    peers = joined(A)
    peers.refused(A, TOPIC, ResponseStatus.BUSY, 0.0)
    assert (pick(peers), peers.next_release()) == (None, LIMITS.busy_pause_s)
    assert pick(peers, LIMITS.busy_pause_s) == A
    for _ in range(LIMITS.refusals_max):
        peers.refused(A, TOPIC, ResponseStatus.RATE_LIMITED, 0.0)
    assert peers.next_release() == LIMITS.rest_s


def test_who_has_pruned_something_is_asked_for_other_things() -> None:
    peers = joined(A)
    peers.refused(A, TOPIC, ResponseStatus.PRUNED, 0.0)
    assert pick(peers, 1e6) is None
    assert peers.nobody_has(TOPIC)
    assert peers.next_release() is None
    assert peers.pick(("state", 2), 0.0, places=1) == A


def test_who_has_something_not_yet_is_asked_again() -> None:
    peers = joined(A)
    peers.refused(A, TOPIC, ResponseStatus.TARGET_NOT_FOUND, 0.0)
    assert (pick(peers), peers.nobody_has(TOPIC)) == (None, False)
    assert pick(peers, LIMITS.lack_pause_s) == A


def test_who_never_gets_something_counts_as_who_has_it_no_more() -> None:
    peers = joined(A, B)
    peers.never_has(B, TOPIC)
    for _ in range(LIMITS.lacks_max):
        assert not peers.nobody_has(TOPIC)
        peers.lacks(A, TOPIC, 0.0)
    assert peers.nobody_has(TOPIC)
    # And is asked again all the same, some time.
    assert pick(peers, LIMITS.rest_s) == A


def test_silent_peers_do_not_count_among_those_who_say_that_they_lack() -> None:
    peers = joined(A, B)
    peers.never_has(A, TOPIC)
    for _ in range(2 * LIMITS.failures_max):
        assert not peers.nobody_has(TOPIC)
        peers.failed(B, 0.0)
    # Its rest is over, and it is asked once more.
    assert not peers.nobody_has(TOPIC)
    assert pick(peers, LIMITS.rest_s) == B
    peers.failed(B, LIMITS.rest_s)
    assert peers.nobody_has(TOPIC)


def test_who_answers_after_a_rest_counts_again() -> None:
    peers = joined(A, B)
    peers.never_has(A, TOPIC)
    for start in (0.0, LIMITS.rest_s):
        for _ in range(LIMITS.failures_max):
            peers.failed(B, start)
        peers.succeeded(B)
    assert not peers.nobody_has(TOPIC)


def test_a_peer_that_is_always_busy_is_not_waited_for_for_ever() -> None:
    peers = joined(A, B)
    peers.never_has(A, TOPIC)
    for _ in range(2 * LIMITS.refusals_max):
        peers.was_busy(B, 0.0)
        assert not peers.nobody_has(TOPIC)
    peers.was_busy(B, LIMITS.rest_s)
    assert peers.nobody_has(TOPIC)


def test_what_peers_lack_is_bounded() -> None:
    peers = joined(A)
    for height in range(LIMITS.topics_max + 1):
        peers.never_has(A, ("changes", height))
    assert not peers.nobody_has(("changes", 0))
    assert peers.nobody_has(("changes", 1))
