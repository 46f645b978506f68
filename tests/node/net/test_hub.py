"""The draws of the simulated air: keyed, fair, and what partitions do to them."""

import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from node.net.hub import Hub, LinkConditions, Transmission
from protocols.types import PeerId

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")
SURE = LinkConditions(latency_s=(0.1, 0.1))
DEAF = LinkConditions(loss=1.0)


def delays(hub: Hub, messages: list[bytes], sender: PeerId = A) -> list[float | None]:
    """Send each message once and return its delay."""

    async def send() -> list[float | None]:
        arrivals = [hub.transmit(sender, B, message, size=0) for message in messages]
        return [None if arrival is None else arrival.at for arrival in arrivals]

    # A mock clock starts at zero.
    return trio.run(send, clock=MockClock())


def test_same_seed_draws_the_same() -> None:
    messages = [b"1", b"2", b"1", b"1"]

    assert delays(Hub(seed=5), messages) == delays(Hub(seed=5), messages)
    assert delays(Hub(seed=5), messages) != delays(Hub(seed=6), messages)


@given(st.permutations([b"1", b"2", b"3", b"4"]))
def test_order_of_sending_does_not_matter(order: list[bytes]) -> None:
    alone = [delays(Hub(seed=1), [message])[0] for message in order]

    assert delays(Hub(seed=1), order) == alone


def test_repeated_message_draws_anew() -> None:
    first, second = delays(Hub(seed=1), [b"1", b"1"])

    assert first != second


def test_each_direction_draws_for_itself() -> None:
    assert delays(Hub(seed=1), [b"1"], A) != delays(Hub(seed=1), [b"1"], C)


def test_latency_lies_in_its_range_and_fills_it() -> None:
    conditions = LinkConditions(latency_s=(0.2, 0.4))
    drawn = delays(Hub(seed=1, conditions=conditions), [bytes([n]) for n in range(200)])

    assert all(delay is not None and 0.2 <= delay < 0.401 for delay in drawn)
    assert min(delay for delay in drawn if delay is not None) < 0.22
    assert max(delay for delay in drawn if delay is not None) > 0.38


def test_fixed_latency_has_no_ties() -> None:
    drawn = delays(Hub(seed=1, conditions=SURE), [bytes([n]) for n in range(200)])

    assert len(set(drawn)) == 200
    assert all(delay is not None and math.isclose(delay, 0.1, abs_tol=2e-6) for delay in drawn)


def test_loss_is_about_its_share() -> None:
    conditions = LinkConditions(loss=0.25)
    drawn = delays(Hub(seed=1, conditions=conditions), [n.to_bytes(2, "big") for n in range(1000)])

    assert 200 < drawn.count(None) < 300


def test_lossless_message_ignores_loss_but_not_partitions() -> None:
    async def send() -> None:
        hub = Hub(seed=1, conditions=DEAF)
        assert hub.transmit(A, B, b"1", size=0) is None
        assert hub.transmit(A, B, b"1", size=0, lossless=True) is not None
        hub.partition([A])
        assert hub.transmit(A, B, b"1", size=0, lossless=True) is None

    trio.run(send, clock=MockClock())


def test_bandwidth_adds_to_the_delay() -> None:
    async def send() -> float:
        hub = Hub(seed=1, conditions=LinkConditions(latency_s=(0.1, 0.1), bytes_per_s=1000))
        arrival = hub.transmit(A, B, b"1", size=500)
        assert arrival is not None
        return arrival.at

    assert math.isclose(trio.run(send, clock=MockClock()), 0.6, abs_tol=1e-5)


def test_conditions_of_one_link_count_both_ways() -> None:
    async def send() -> None:
        hub = Hub(seed=1)
        hub.set_conditions(A, B, DEAF)
        assert hub.transmit(A, B, b"1", size=0) is None
        assert hub.transmit(B, A, b"1", size=0) is None
        assert hub.transmit(A, C, b"1", size=0) is not None

    trio.run(send, clock=MockClock())


@pytest.mark.parametrize(
    ("groups", "cut"),
    [
        ([], set()),
        ([[A]], {(A, B), (A, C)}),
        ([[A], [B]], {(A, B), (A, C), (B, C)}),
        ([[A, B]], {(A, C), (B, C)}),
    ],
)
def test_partition(groups: list[list[PeerId]], cut: set[tuple[PeerId, PeerId]]) -> None:
    hub = Hub(seed=1)
    hub.partition(*groups)

    assert {pair for pair in ((A, B), (A, C), (B, C)) if hub.is_cut(*pair)} == cut
    hub.heal()
    assert not hub.is_cut(A, B)


def test_observer_sees_every_transmission() -> None:
    seen: list[Transmission] = []
    hub = Hub(seed=1, observer=seen.append)
    hub.set_conditions(A, B, DEAF)
    delays(hub, [b"1"], A)
    delays(hub, [b"1"], C)

    assert [(each.sender, each.receiver, each.delay_s is None) for each in seen] == [
        (A, B, True),
        (C, B, False),
    ]


def test_sequence_numbers_go_on() -> None:
    hub = Hub(seed=1)

    assert [hub.next_sequence_number(peer) for peer in (A, A, B)] == [1, 2, 1]
