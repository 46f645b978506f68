"""Fetching all accounts of a target that moves: what it asks, writes and says."""

from dataclasses import replace
from random import Random

import pytest

from node.accounts.range_proof import FIRST_ADDRESS, LAST_ADDRESS
from node.storage.store import Table
from node.sync.state import coverage, state_store
from node.sync.state.state_events import (
    AskChanges,
    AskRange,
    AskSubtrees,
    RepairStarted,
    Restarted,
    StateInput,
    TargetPassed,
    TargetReached,
)
from node.sync.state.state_limits import StateLimits
from protocols.types import Address, PeerId
from tests.build.state_source import Ask, Server, Source, State, random_state
from tests.build.state_world import LIMITS, World

MANY = 700
NOBODY = Address(b"\x77" * 20)


def made(state: State | int, *, limits: StateLimits = LIMITS) -> tuple[Source, World]:
    draw = Random(1)
    source = Source(random_state(draw, state) if isinstance(state, int) else state, draw)
    return source, World(source, 1, limits=limits)


def honest(source: Source, name: str = "honest") -> Server:
    return Server(PeerId(name), source, Random(name))


def steps(world: World, count: int) -> None:
    for _ in range(count):
        assert world.step()


def until_covered(world: World, fraction: float) -> None:
    while world.machine.progress.fraction < fraction:
        assert world.step()


def covered_accounts(world: World) -> list[bytes]:
    """Return the stored accounts that count."""
    with world.store.read() as reader:
        covered = coverage.load(reader)
        return [key for key, _ in reader.scan(Table.ACCOUNTS) if key in covered]


# Content.


@pytest.mark.parametrize("count", [0, 1, 16, 17, MANY])
def test_it_fetches_a_state(count: int) -> None:
    source, world = made(count)
    world.start(honest(source))
    world.run()

    assert world.reached == [source.target()]
    assert world.refetched() <= LIMITS.range_leaves * LIMITS.held_ranges
    assert world.effects == []


def test_a_small_state_is_one_question() -> None:
    source, world = made(LIMITS.range_leaves)
    world.start(honest(source))
    world.run()

    ask = world.asked[0]
    assert isinstance(ask, AskRange)
    assert (ask.span, ask.target) == ((FIRST_ADDRESS, LAST_ADDRESS), source.target())
    assert len(world.asked) == 1


@pytest.mark.parametrize("count", [0, 300])
def test_accounts_that_were_there_before_are_gone(count: int) -> None:
    source, world = made(count)
    with world.store.write() as writer:
        for key, value in random_state(Random(2), MANY).items():
            writer.put(Table.ACCOUNTS, key, value)
    world.start(honest(source))
    world.run()


def test_nothing_happens_without_a_peer_or_without_a_target() -> None:
    source, world = made(10)
    world.choose()
    while world.step():
        pass
    assert world.asked == []

    other = World(source, 2)
    other.join(honest(source))
    assert not other.step()
    assert other.machine.next_deadline() is None


def test_questions_go_to_all_peers_and_several_to_each() -> None:
    source, world = made(MANY)
    world.start(honest(source, "a"), honest(source, "b"))
    until_covered(world, 0.3)

    asked = [ask.peer for ask in world.asked[1:13]]
    assert {asked.count(PeerId("a")), asked.count(PeerId("b"))} <= set(range(3, 10))
    assert len(world.asked) >= 2 * LIMITS.ranges_per_peer


def test_what_is_held_is_bounded_however_many_peers_there_are() -> None:
    source, world = made(3 * MANY)
    world.checks_content = False
    for index in range(10):
        world.join(honest(source, f"peer {index}"))
    world.choose()
    most = 0
    while not world.is_done:
        assert world.step()
        most = max(most, world.machine.held_answers)
    assert most == LIMITS.held_ranges


def test_progress_counts_accounts() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, 0.5)
    progress = world.machine.progress

    assert progress.total == MANY
    assert 0.5 <= progress.fraction < 1
    assert progress.newest == progress.stored == source.target()
    world.run()
    assert world.machine.progress.fraction == 1
    assert world.machine.progress.accounts == MANY


def grow_oddly(source: Source) -> None:
    """Add blocks that create, delete, create again, and change one account in each."""
    known = sorted(source.states[-1])
    first, last = known[0], known[-1]
    source.grow({NOBODY: b"created", first: None, last: b"1"})
    source.grow({NOBODY: None, first: b"back", last: b"2"})
    source.grow({NOBODY: b"again", last: b"3"})
    source.grow({})
    source.grow({first: None, known[len(known) // 2]: None, last: b"4"})


@pytest.mark.parametrize("fraction", [0.0, 0.01, 0.5, 0.99])
def test_changes_meet_accounts_that_are_fetched_and_others(fraction: float) -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, fraction)
    grow_oddly(source)
    world.choose()
    world.run()
    assert world.effects == []


def test_a_target_may_empty_the_state() -> None:
    source, world = made(300)
    world.start(honest(source))
    until_covered(world, 0.5)
    source.grow(dict.fromkeys(source.states[-1]))
    world.choose()
    world.run()
    assert world.stored_state() == {}


# Moving target.


def test_it_moves_before_the_first_answer() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    grow_oddly(source)
    world.choose()
    world.run()
    assert world.reached == [source.target()]


def test_it_moves_after_the_download_and_before_the_check() -> None:
    source, world = made(300)
    world.start(honest(source))
    while not (world.machine.progress.accounts == 300 and not world.machine.progress.is_whole):
        assert world.step()
    grow_oddly(source)
    world.choose()
    world.run()
    assert world.reached == [source.target()]


def test_it_says_how_far_behind_it_is_at_every_moment() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    seen = set()
    for index in range(2000):
        if world.is_done:
            break
        assert world.step()
        if index % 10 == 0 and source.head < 30:
            source.grow_randomly(3)
            world.choose()
        progress = world.machine.progress
        assert progress.newest == source.target()
        with world.store.read() as reader:
            assert progress.stored == state_store.load(reader).target
        if progress.stored is not None:
            assert progress.accounts == len(covered_accounts(world))
            seen.add(source.head - progress.stored.number)
    world.run()
    assert world.machine.progress.stored == source.target()
    assert max(seen) > 3


def test_it_moves_when_it_was_reached() -> None:
    source, world = made(300)
    world.start(honest(source))
    world.run()
    for _ in range(3):
        leaves = world.leaves
        grow_oddly(source)
        world.choose()
        world.run()
        assert world.leaves == leaves
    assert [target.number for target in world.reached] == [0, 5, 10, 15]


def test_it_moves_fifty_times_in_a_row() -> None:
    source, world = made(MANY)
    world.start(honest(source, "a"), honest(source, "b"))
    for _ in range(50):
        source.grow_randomly(5)
        world.choose()
        steps(world, 2)
    world.run()
    assert world.reached[-1] == source.target()
    # Nothing that came was thrown away for it.
    assert world.refetched() < LIMITS.range_leaves


def test_it_moves_over_more_blocks_than_an_answer_has() -> None:
    source, world = made(300)
    world.start(honest(source))
    until_covered(world, 0.4)
    for _ in range(200):
        source.grow_randomly(2)
    world.choose()
    before = len(world.asked)
    world.run()

    asked = world.asked[before:]
    assert isinstance(asked[0], AskChanges)
    # Ranges are not asked for while the stored target is that old.
    assert all(
        source.head - ask.target.number <= LIMITS.max_lag_blocks
        for ask in asked
        if isinstance(ask, AskRange)
    )


def test_an_answer_that_cannot_be_rolled_forward_is_asked_for_again() -> None:
    source, world = made(MANY, limits=replace(LIMITS, kept_changes=5))
    slow = honest(source)
    slow.latency_s = 1.0
    world.start(slow, honest(source, "quick"))
    for _ in range(30):
        source.grow_randomly(4)
        world.choose()
        steps(world, 4)
    world.run()
    assert world.effects == []
    assert world.refetched() > 0


def test_a_silent_peer_does_not_hold_up_the_first_question() -> None:
    source, world = made(MANY)
    silent = honest(source, "silent")
    silent.silence = 1.0
    world.join(silent)
    world.join(honest(source))
    world.choose()
    until_covered(world, 0.9)
    assert world.now < LIMITS.timeout_s


def test_a_target_below_the_last_one_changes_nothing() -> None:
    source, world = made(30)
    source.grow_randomly(3)
    world.start(honest(source))
    world.choose(source.target(0))
    world.wanted = source.target()
    world.run()
    assert world.reached == [source.target()]


# Restart.


def test_it_goes_on_where_the_last_one_ended() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, 0.5)
    with world.store.read() as reader:
        covered = list(coverage.load(reader))
    asked = len(world.asked)
    world.kill()

    first = world.asked[asked]
    assert isinstance(first, AskRange)
    assert all(first.span[1] < start or first.span[0] > end for start, end in covered)
    world.run()
    assert world.refetched() <= LIMITS.range_leaves * LIMITS.held_ranges


def test_a_process_that_ends_after_a_pivot_goes_on_with_the_new_target() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, 0.5)
    grow_oddly(source)
    world.choose()
    while world.machine.progress.stored != source.target():
        assert world.step()
    accounts = world.machine.progress.accounts
    world.kill()

    assert world.machine.progress.stored == source.target()
    assert world.machine.progress.accounts == accounts > 0
    world.run()
    assert world.reached == [source.target()]
    assert world.effects == []


def test_a_process_that_ends_at_a_pivot_before_it_is_stored_goes_for_it_all_the_same() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, 0.5)
    grow_oddly(source)
    world.choose()
    world.kill()

    assert world.machine.progress.stored == source.target(0)
    world.run()
    assert world.reached == [source.target()]
    assert world.refetched() <= LIMITS.range_leaves * LIMITS.held_ranges


def test_a_state_that_was_reached_is_reached_at_once() -> None:
    source, world = made(30)
    world.start(honest(source))
    world.run()
    asked = len(world.asked)
    world.kill()

    assert world.reached == [source.target(), source.target()]
    assert len(world.asked) == asked


def test_a_target_below_what_is_stored_is_not_gone_back_to() -> None:
    source, world = made(30)
    source.grow_randomly(3)
    world.start(honest(source))
    world.run()
    world.wanted = source.target(0)
    world.kill()

    assert world.effects == [TargetPassed(source.target())]
    assert world.reached == [source.target(), source.target()]


# Repair.


def spoil(world: World, *keys: Address) -> None:
    """Change stored accounts behind the back of the sync."""
    with world.store.write() as writer:
        for key in keys:
            writer.put(Table.ACCOUNTS, key, b"spoilt")


def test_a_wrong_root_costs_only_what_differs() -> None:
    source, world = made(MANY)
    world.start(honest(source))
    until_covered(world, 1.0)
    world.checks_content = False
    leaves = world.leaves
    known = sorted(source.states[-1])
    spoil(world, known[5], known[500])
    world.run()

    assert [type(effect) for effect in world.effects] == [RepairStarted]
    assert world.leaves - leaves < MANY // 3
    assert any(isinstance(ask, AskSubtrees) for ask in world.asked)


def test_changes_that_nobody_has_cost_only_what_differs() -> None:
    source, world = made(MANY)
    server = honest(source)
    world.start(server)
    until_covered(world, 0.8)
    server.keeps_changes = False
    leaves = world.leaves
    known = sorted(source.states[-1])
    source.grow({known[3]: b"new", known[600]: None})
    world.choose()
    world.run()

    assert [type(effect) for effect in world.effects] == [RepairStarted]
    assert world.leaves - leaves < MANY // 2


def test_when_nobody_sends_nodes_it_starts_from_zero() -> None:
    source, world = made(100)
    server = honest(source)
    world.start(server)
    until_covered(world, 0.5)
    server.keeps_changes = server.sends_nodes = False
    source.grow_randomly(5)
    world.choose()
    world.run()

    assert [type(effect) for effect in world.effects] == [RepairStarted, Restarted]


@pytest.mark.parametrize("blocks", [0, 20])
def test_branches_are_made_in_several_transactions(blocks: int) -> None:
    jobs = []
    for built_accounts in (100, 10**6):
        source, world = made(3000, limits=replace(LIMITS, built_accounts=built_accounts))
        world.start(honest(source))
        until_covered(world, 1.0)
        for _ in range(blocks):
            source.grow_randomly(5)
        world.choose()
        world.run()
        assert world.effects == []
        jobs.append(world.jobs)
    assert jobs[0] > jobs[1] + 2


class Moody(Server):
    """Fails to answer each second question about nodes, and has no changes."""

    def answer(self, ask: Ask) -> StateInput | None:
        self.keeps_changes = False
        if isinstance(ask, AskSubtrees):
            self.sends_nodes = not self.sends_nodes
        return Server.answer(self, ask)


def test_a_long_repair_is_not_given_up_for_what_fails_between_answers() -> None:
    limits = replace(LIMITS, repair_places=1, repair_failures_max=2)
    source, world = made(3000, limits=limits)
    world.start(Moody(PeerId("moody"), source, Random(1)))
    until_covered(world, 0.8)
    source.grow_randomly(40)
    world.choose()
    world.run()

    questions = sum(isinstance(ask, AskSubtrees) for ask in world.asked)
    assert questions // 2 > limits.repair_failures_max
    assert [type(effect) for effect in world.effects] == [RepairStarted]


def test_it_says_once_of_each_target_that_it_is_reached() -> None:
    source, world = made(30)
    world.start(honest(source))
    world.run()
    world.join(honest(source, "another"))
    world.choose()

    assert world.reached == [source.target()]
    assert TargetReached(source.target()) not in world.effects
