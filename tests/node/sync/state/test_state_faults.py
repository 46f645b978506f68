"""Fetching accounts from peers that lie, are silent, leave, or have nothing to say."""

from random import Random

import pytest

from node.errors import Fault
from node.sync.inputs import DeadlinePassed
from node.sync.state.state_events import (
    AskChanges,
    ChangesArrived,
    ChangesChecked,
    JobDone,
    RangeArrived,
    RangeChecked,
    RepairStarted,
    ServerLeft,
    StateFailed,
    StateInput,
    StateRefused,
    StateUnavailable,
    SubtreesArrived,
    SubtreesCompared,
    TargetTooOld,
)
from node.sync.state.state_store import NOTHING
from protocols.messages.state_range import ProvenRange
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.state_source import Ask, Server, Source, random_state
from tests.build.state_world import LIMITS, World

MANY = 500
ODD, HONEST = PeerId("odd"), PeerId("honest")


def made(count: int = MANY, *, seed: int = 1) -> tuple[Source, World]:
    draw = Random(seed)
    source = Source(random_state(draw, count), draw)
    return source, World(source, seed)


def server(source: Source, name: PeerId = HONEST) -> Server:
    return Server(name, source, Random(name))


@pytest.mark.parametrize("seed", range(10))
def test_who_lies_is_blamed_and_others_are_asked_instead(seed: int) -> None:
    source, world = made(seed=seed)
    liar = server(source, ODD)
    liar.lies = 1.0
    world.start(liar, server(source))
    for _ in range(10):
        source.grow_randomly(5)
    world.choose()
    world.run()

    assert {peer for peer, _ in world.faults} == {ODD}
    # What was on its way when it lied for the first time counts too.
    assert len(world.faults) <= LIMITS.lies_max + LIMITS.ranges_per_peer
    assert world.effects == []


@pytest.mark.parametrize("seed", range(10))
def test_false_changes_are_blamed_and_fetched_elsewhere(seed: int) -> None:
    source, world = made(50, seed=seed)
    world.start(server(source))
    world.run()
    world.leave(HONEST)
    liar = server(source, ODD)
    liar.lies = 1.0
    world.join(liar)
    source.grow_randomly(5)
    world.choose()
    while not world.faults:
        assert world.step()
    world.join(server(source))
    world.run()
    assert {peer for peer, _ in world.faults} == {ODD}


@pytest.mark.parametrize(("fraction", "lies"), [(0.0, 0.0), (0.6, 0.0), (1.0, 0.0), (1.0, 1.0)])
def test_changes_whose_headers_are_forgotten_are_nobodys_fault(
    fraction: float, lies: float
) -> None:
    """Our chain keeps a window below its target, and the accounts may have been left before it."""
    source, world = made()
    odd = server(source, ODD)
    world.start(odd)
    while world.machine.progress.fraction < fraction:
        assert world.step()
    for _ in range(10):
        source.grow_randomly(5)
    world.oldest_header = 5
    world.choose()
    odd.lies = lies
    while not world.effects:
        assert world.step()
    assert world.faults == []
    odd.lies = 0.0
    world.run()
    assert [type(effect) for effect in world.effects] == [RepairStarted]


def test_a_lie_is_reported_as_a_false_proof() -> None:
    source, world = made()
    liar = server(source, ODD)
    liar.lies = 1.0
    world.start(liar)
    while not world.faults:
        assert world.step()
    assert world.faults == [(ODD, Fault.INVALID_PROOF)]


def test_who_lies_three_times_is_asked_no_more() -> None:
    source, world = made()
    liar = server(source, ODD)
    liar.lies = 1.0
    world.start(liar)
    while world.step():
        pass
    assert len(world.faults) == LIMITS.lies_max
    asked = len(world.asked)
    world.join(server(source))
    world.run()
    assert all(ask.peer == HONEST for ask in world.asked[asked:])


def test_silence_costs_one_timeout_and_the_next_peer_is_asked() -> None:
    source, world = made()
    silent = server(source, ODD)
    silent.silence = 1.0
    world.start(silent, server(source))
    world.run()

    assert world.now < 2 * LIMITS.timeout_s
    assert world.faults == []


def test_a_silent_peer_is_asked_again_after_a_rest() -> None:
    source, world = made()
    silent = server(source, ODD)
    silent.silence = 1.0
    world.start(silent)
    while world.now < LIMITS.timeout_s * LIMITS.failures_max:
        assert world.step()
    silent.silence = 0.0
    world.run()
    assert world.now < LIMITS.timeout_s * LIMITS.failures_max + LIMITS.rest_s + 10


@pytest.mark.parametrize("seed", range(5))
def test_what_a_peer_was_asked_when_it_left_is_asked_elsewhere_at_once(seed: int) -> None:
    source, world = made(seed=seed)
    world.start(server(source, ODD), server(source))
    while world.machine.progress.fraction < 0.3:
        assert world.step()
    world.leave(ODD)
    world.run()
    assert world.now < LIMITS.timeout_s


def test_places_are_free_again_however_questions_end() -> None:
    source, world = made()
    peers = [server(source, PeerId(f"peer {index}")) for index in range(3)]
    for peer in peers:
        peer.silence, peer.latency_s = 0.3, 0.3
    world.start(*peers)
    for index in range(6):
        for _ in range(20):
            world.step()
        world.leave(peers[index % 3].name)
        world.join(peers[index % 3])
    world.run()
    assert world.machine.held_answers == 0


class Denier(Server):
    """Says at once that it has none of it any more."""

    def answer(self, ask: Ask) -> StateInput | None:
        if isinstance(ask, AskChanges):
            return StateRefused(ask.id, ResponseStatus.PRUNED)
        return StateUnavailable(ask.id, 2**32 - 1, 2**32 - 1)


@pytest.mark.parametrize("grows_from_s", [1.0, 3.0, 100.0])
def test_what_one_denies_is_not_lost_while_another_is_silent(grows_from_s: float) -> None:
    source, world = made()
    honest = server(source)
    honest.latency_s = 0.5
    world.start(honest, Denier(ODD, source, Random(2)))

    def grow(blocks: int) -> None:
        source.grow_randomly(2)
        world.choose()
        if blocks:
            world.later(2.0, lambda: grow(blocks - 1))

    world.later(grows_from_s, lambda: grow(12))
    world.later(1.5, lambda: setattr(honest, "silence", 1.0))
    world.later(1.5 + LIMITS.timeout_s, lambda: setattr(honest, "silence", 0.0))
    while source.head < 13:
        assert world.step()
    world.run()
    assert world.effects == []


@pytest.mark.parametrize("fraction", [0.5, 1.0])
def test_who_is_silent_for_ever_holds_up_what_others_have_pruned_for_a_minute(
    fraction: float,
) -> None:
    source, world = made()
    silent, pruned = server(source, ODD), server(source)
    silent.silence = 1.0
    world.start(silent, pruned)
    while world.machine.progress.fraction < fraction:
        assert world.step()
    pruned.keeps_changes = False
    source.grow_randomly(3)
    world.choose()
    began = world.now
    world.run()
    assert world.now - began < LIMITS.rest_s + (LIMITS.failures_max + 2) * LIMITS.timeout_s
    assert [type(effect) for effect in world.effects] == [RepairStarted]


def test_a_busy_peer_is_no_reason_to_wait() -> None:
    source, world = made()
    busy = server(source, ODD)
    busy.is_busy = True
    world.start(busy, server(source))
    world.run()
    assert (world.faults, world.now < LIMITS.timeout_s) == ([], True)


def test_who_is_behind_is_asked_again_a_moment_later() -> None:
    source, world = made()
    source.grow_randomly(3)
    behind = server(source, ODD)
    behind.lag = 1
    world.start(behind)
    world.later(3.0, lambda: setattr(behind, "lag", 0))
    world.run()
    assert (world.faults, world.effects) == ([], [])


def test_who_never_gets_there_holds_up_nobody() -> None:
    source, world = made(50)
    behind, pruned = server(source, ODD), server(source)
    world.start(behind, pruned)
    world.run()
    behind.lag, pruned.keeps_changes = 1000, False
    source.grow_randomly(5)
    world.choose()
    world.run(until_s=world.now + 2 * LIMITS.lacks_max + LIMITS.rest_s)


def test_a_target_that_nobody_can_present_is_told_once() -> None:
    source, world = made()
    first = source.target()
    peers = [server(source, name) for name in (ODD, HONEST)]
    for peer in peers:
        peer.retains = 2
    for _ in range(5):
        source.grow_randomly(3)
    for peer in peers:
        world.join(peer)
    world.choose(first)
    while world.step():
        pass

    assert world.effects == [TargetTooOld(first)]
    assert world.faults == []
    # With another target it goes on.
    world.choose()
    world.run()


def test_a_target_that_was_too_old_is_reached_once_somebody_has_it() -> None:
    source, world = made()
    first = source.target()
    pruned = server(source, ODD)
    pruned.retains = 0
    source.grow_randomly(3)
    world.join(pruned)
    world.choose(first)
    while world.step():
        pass
    world.join(server(source))
    world.run()
    assert world.reached == [first]


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_what_nobody_waits_for_changes_nothing(fraction: float) -> None:
    source, world = made()
    world.start(server(source))
    while world.machine.progress.fraction < fraction:
        assert world.step()
    progress = world.machine.progress
    unknown = 10**6
    late: list[StateInput] = [
        RangeArrived(unknown, ProvenRange(leaves=b"", proof=b"")),
        ChangesArrived(unknown, (b"",)),
        SubtreesArrived(unknown, (b"",)),
        StateUnavailable(unknown, 0, 0),
        StateRefused(unknown, ResponseStatus.PRUNED),
        StateFailed(unknown),
        RangeChecked(unknown, None, None),
        ChangesChecked(unknown, None),
        SubtreesCompared(unknown, None),
        JobDone(unknown, NOTHING),
        ServerLeft(PeerId("nobody")),
        DeadlinePassed(),
    ]
    assert [world.machine.handle(event, world.now) for event in late] == [[]] * len(late)
    assert world.machine.progress == progress
    world.run()


def test_answers_to_cancelled_questions_are_late() -> None:
    source, world = made()
    world.start(server(source, ODD))
    while world.machine.progress.fraction < 0.3:
        assert world.step()
    asked = world.asked[-1]
    world.leave(ODD)
    held = world.machine.held_answers
    answer = server(source).answer(asked)
    assert answer is not None
    assert world.machine.handle(answer, world.now) == []
    assert world.machine.held_answers == held


@pytest.mark.parametrize("blocks", [0, 40])
def test_who_gives_as_little_as_it_can_holds_up_nobody(blocks: int) -> None:
    source, world = made()
    stingy = server(source, ODD)
    stingy.is_stingy, stingy.latency_s = True, 0.9 * LIMITS.timeout_s
    world.start(stingy, server(source))
    for _ in range(blocks):
        source.grow_randomly(3)
    world.choose()
    world.run()
    assert world.now < 3 * LIMITS.timeout_s
    assert sum(ask.peer == ODD for ask in world.asked) < 12
    assert (world.faults, world.effects) == ([], [])


def test_a_repair_does_not_wait_for_who_gives_little() -> None:
    source, world = made()
    stingy = server(source, ODD)
    stingy.is_stingy, stingy.keeps_changes = True, False
    plain = server(source)
    plain.keeps_changes = False
    world.start(stingy, plain)
    while world.machine.progress.fraction < 0.5:
        assert world.step()
    source.grow_randomly(3)
    world.choose()
    world.run()
    assert world.faults == []


def test_with_nobody_else_little_has_to_do() -> None:
    source, world = made(30)
    stingy = server(source, ODD)
    stingy.is_stingy = True
    world.start(stingy)
    world.run()
