"""When to dial."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from node.net.dialer import (
    DeadlinePassed,
    Dial,
    Dialer,
    DialerLimits,
    DialFailed,
    Event,
    Joined,
    Left,
)
from protocols.types import PeerId

ANNA, BOB, CARL = PeerId("anna"), PeerId("bob"), PeerId("carl")
LIMITS = DialerLimits(first_delay_s=1.0, max_delay_s=4.0, stable_s=10.0, max_dialing=2)


class Even(Random):
    """No jitter."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


def _dialer(*peers: PeerId) -> Dialer:
    return Dialer({peer: f"/to/{peer}" for peer in peers}, Even(), LIMITS)


def test_targets_are_dialled_at_once_as_far_as_slots_go() -> None:
    dialer = _dialer(ANNA, BOB, CARL)
    assert dialer.handle(DeadlinePassed(), 0.0) == [Dial(ANNA, "/to/anna"), Dial(BOB, "/to/bob")]
    assert dialer.next_deadline() is None
    assert dialer.handle(Joined(ANNA), 0.5) == [Dial(CARL, "/to/carl")]


def test_failures_wait_longer_each_time_up_to_the_bound() -> None:
    dialer = _dialer(ANNA)
    now, waits = 0.0, []
    for _ in range(4):
        assert dialer.handle(DeadlinePassed(), now) == [Dial(ANNA, "/to/anna")]
        assert dialer.handle(DialFailed(ANNA), now) == []
        deadline = dialer.next_deadline()
        assert deadline is not None
        waits.append(deadline - now)
        now = deadline
    assert waits == [1.0, 2.0, 4.0, 4.0]


def test_a_peer_that_breaks_off_at_once_keeps_its_back_off() -> None:
    dialer = _dialer(ANNA)
    dialer.handle(DeadlinePassed(), 0.0)
    dialer.handle(DialFailed(ANNA), 0.0)
    dialer.handle(DeadlinePassed(), 1.0)
    dialer.handle(Joined(ANNA), 1.0)
    assert dialer.handle(Left(ANNA), 2.0) == []
    assert dialer.next_deadline() == 4.0


def test_a_stable_connection_clears_the_back_off() -> None:
    dialer = _dialer(ANNA)
    dialer.handle(DeadlinePassed(), 0.0)
    dialer.handle(DialFailed(ANNA), 0.0)
    dialer.handle(Joined(ANNA), 1.0)
    dialer.handle(Left(ANNA), 11.0)
    assert dialer.next_deadline() == 12.0


def test_it_may_have_dialled_us_first() -> None:
    dialer = _dialer(ANNA)
    dialer.handle(DeadlinePassed(), 0.0)
    dialer.handle(Joined(ANNA), 0.1)
    assert dialer.handle(DialFailed(ANNA), 0.2) == []
    assert dialer.next_deadline() is None


def test_strangers_and_late_news_change_nothing() -> None:
    dialer = _dialer(ANNA)
    dialer.handle(DeadlinePassed(), 0.0)
    for event in (Joined(BOB), Left(BOB), DialFailed(BOB), Left(ANNA)):
        assert dialer.handle(event, 1.0) == []
    assert dialer.next_deadline() is None


peers = st.sampled_from([ANNA, BOB, CARL])
events = st.one_of(
    st.builds(Joined, peers),
    st.builds(Left, peers),
    st.builds(DialFailed, peers),
    st.just(DeadlinePassed()),
)


@given(st.lists(st.tuples(events, st.floats(0, 20))))
def test_dials_are_bounded_and_no_target_is_forgotten(steps: list[tuple[Event, float]]) -> None:
    dialer, now = _dialer(ANNA, BOB, CARL), 0.0
    dialing: set[PeerId] = set()
    connected: set[PeerId] = set()
    for event, wait in [(DeadlinePassed(), 0.0), *steps]:
        now += wait
        if isinstance(event, DialFailed | Joined):
            dialing.discard(event.peer)
        if isinstance(event, Joined):
            connected.add(event.peer)
        if isinstance(event, Left):
            connected.discard(event.peer)
        for dial in dialer.handle(event, now):
            assert dial.peer not in dialing | connected
            dialing.add(dial.peer)
        assert len(dialing) <= LIMITS.max_dialing
        waiting = {ANNA, BOB, CARL} - dialing - connected
        free = len(dialing) < LIMITS.max_dialing
        assert (dialer.next_deadline() is not None) == (bool(waiting) and free)
