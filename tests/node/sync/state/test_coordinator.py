"""The coordinator: its two tables cell by cell, and that nothing gets lost in any order."""

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sync.state.coordinator import (
    MAX_FRUITLESS,
    BatchExecuted,
    BlockAccepted,
    CommitTarget,
    Coordinator,
    CoordinatorEffect,
    CoordinatorInput,
    Done,
    ExecuteBatch,
    Failed,
    Finalize,
    Finalized,
    Seal,
    SealTried,
    Start,
    State,
    SyncerDone,
    SyncerFailed,
    SyncerTook,
    TargetCommitted,
    TargetLost,
)
from node.sync.state.pivot_policy import PivotPolicy
from node.sync.state.registry import (
    CancelSyncer,
    FinalizeSyncer,
    MoveSyncer,
    RegistryEffect,
    StartSyncer,
    SyncerRegistry,
)
from node.sync.state.target import SyncTarget
from tests.node.sync.state.targets import target

SYNCERS = ("accounts", "blocks", "history")
FIRST = target(100)


def idle(*, interval: int = 1) -> Coordinator:
    registry = SyncerRegistry()
    for name in SYNCERS:
        registry.register(name)
    return Coordinator(registry, PivotPolicy(interval))


def at(state: State, *, interval: int = 1) -> Coordinator:
    """Return a coordinator in a state, on its way to `FIRST`."""
    coordinator = idle(interval=interval)
    steps: dict[State, list[CoordinatorInput]] = {
        State.INITIALIZING: [Start(FIRST), TargetCommitted(FIRST)],
        State.RUNNING: [SyncerTook(name, FIRST) for name in SYNCERS],
        State.FINALIZING: [SyncerDone(name, FIRST) for name in SYNCERS],
        State.EXECUTING_BATCH: [Finalized()],
        State.COMPLETED: [BatchExecuted(0), SealTried(is_sealed=True)],
    }
    if state is State.ABORTED:
        coordinator.handle(Failed("test"))
    for reached, events in steps.items():
        if state in {State.IDLE, State.ABORTED}:
            break
        for event in events:
            coordinator.handle(event)
        if reached is state:
            break
    assert coordinator.state is state
    return coordinator


def moved(new: SyncTarget) -> list[CoordinatorEffect]:
    """Return what hands out a target."""
    return [MoveSyncer(name, new) for name in SYNCERS]


def finalized(last: SyncTarget) -> list[CoordinatorEffect]:
    """Return what follows once all are done."""
    return [*(FinalizeSyncer(name) for name in SYNCERS), Finalize(last)]


def cancelled(*names: str) -> list[CoordinatorEffect]:
    return [CancelSyncer(name) for name in names or SYNCERS[::-1]]


def tell_all(
    coordinator: Coordinator, event: type[SyncerTook] | type[SyncerDone], of: SyncTarget
) -> list[CoordinatorEffect]:
    """Let all syncers say the same; return what comes of the last."""
    for name in SYNCERS[:-1]:
        assert coordinator.handle(event(name, of)) == []
    return coordinator.handle(event(SYNCERS[-1], of))


def pivot(coordinator: Coordinator, new: SyncTarget) -> list[CoordinatorEffect]:
    """Let syncers and store follow a new target; return what comes of that."""
    assert tell_all(coordinator, SyncerTook, new) == [CommitTarget(new)]
    return coordinator.handle(TargetCommitted(new))


def test_it_commits_the_target_and_starts_the_syncers_in_their_order() -> None:
    coordinator = idle()

    assert coordinator.handle(Start(FIRST)) == [CommitTarget(FIRST)]
    assert (coordinator.state, coordinator.target) == (State.INITIALIZING, FIRST)
    # Nobody can run before that.
    assert coordinator.handle(SyncerTook("accounts", FIRST)) == []
    started = coordinator.handle(TargetCommitted(FIRST))
    assert started == [StartSyncer(name, FIRST) for name in SYNCERS]
    for name in SYNCERS:
        assert coordinator.state is State.INITIALIZING
        assert coordinator.handle(SyncerTook(name, FIRST)) == []
    assert (coordinator.state, coordinator.pivots) == (State.RUNNING, 0)


def test_all_done_with_the_target_finalizes_it() -> None:
    coordinator = at(State.RUNNING)

    assert tell_all(coordinator, SyncerDone, FIRST) == finalized(FIRST)
    assert coordinator.state is State.FINALIZING


def test_a_syncer_may_be_done_before_all_of_them_run() -> None:
    coordinator = at(State.INITIALIZING)
    assert tell_all(coordinator, SyncerDone, FIRST) == []

    assert tell_all(coordinator, SyncerTook, FIRST) == finalized(FIRST)


def test_a_pivot_reaches_every_syncer_before_the_commit_target_moves() -> None:
    coordinator = at(State.RUNNING)

    assert coordinator.handle(BlockAccepted(target(101))) == moved(target(101))
    for name in SYNCERS[:2]:
        assert coordinator.handle(SyncerTook(name, target(101))) == []
    # It is not the target before the last of them has it, and the store too.
    last = coordinator.handle(SyncerTook(SYNCERS[2], target(101)))
    assert last == [CommitTarget(target(101))]
    assert (coordinator.target, coordinator.pivots) == (FIRST, 0)
    assert coordinator.handle(SyncerTook(SYNCERS[2], target(101))) == []
    assert coordinator.handle(TargetCommitted(target(101))) == []
    assert (coordinator.target, coordinator.pivots) == (target(101), 1)


def test_who_was_done_must_be_done_with_the_new_target() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(SyncerDone("accounts", FIRST))
    coordinator.handle(SyncerDone("blocks", FIRST))
    coordinator.handle(BlockAccepted(target(101)))
    assert pivot(coordinator, target(101)) == []

    # Late words about the old target count for nothing.
    assert coordinator.handle(SyncerDone("history", FIRST)) == []
    assert tell_all(coordinator, SyncerDone, target(101)) == finalized(target(101))


def test_done_with_a_target_that_is_still_being_handed_out_counts() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))
    assert tell_all(coordinator, SyncerDone, target(101)) == []

    assert pivot(coordinator, target(101)) == finalized(target(101))


def test_updates_never_overlap_and_the_highest_wins() -> None:
    coordinator = at(State.RUNNING)
    effects = [
        effect
        for number in range(101, 109)
        for effect in coordinator.handle(BlockAccepted(target(number)))
    ]
    assert effects == moved(target(101))

    assert pivot(coordinator, target(101)) == moved(target(108))
    assert pivot(coordinator, target(108)) == []
    assert (coordinator.target, coordinator.pivots) == (target(108), 2)


def test_nothing_is_finalized_while_a_new_target_waits() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))
    coordinator.handle(BlockAccepted(target(102)))
    tell_all(coordinator, SyncerDone, target(101))

    assert pivot(coordinator, target(101)) == moved(target(102))
    assert coordinator.state is State.RUNNING


def test_an_update_that_fails_aborts_and_finalizes_nothing() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))
    coordinator.handle(SyncerTook("accounts", target(101)))

    assert coordinator.handle(Failed("no space")) == [*cancelled(), Done("no space")]
    assert (coordinator.state, coordinator.target) == (State.ABORTED, FIRST)
    assert tell_all(coordinator, SyncerTook, target(101)) == []
    assert coordinator.handle(TargetCommitted(target(101))) == []


@pytest.mark.parametrize("state", [State.INITIALIZING, State.RUNNING])
def test_the_first_syncer_that_fails_ends_the_others_and_is_the_cause(state: State) -> None:
    coordinator = at(state)

    failed = coordinator.handle(SyncerFailed("blocks", "nobody has them"))
    assert failed == [*cancelled("history", "accounts"), Done("blocks: nobody has them")]
    assert coordinator.state is State.ABORTED
    assert coordinator.handle(SyncerFailed("history", "cancelled")) == []


@pytest.mark.parametrize("state", [State.FINALIZING, State.EXECUTING_BATCH])
def test_a_syncer_that_is_finalized_can_no_longer_fail(state: State) -> None:
    coordinator = at(state)

    assert coordinator.handle(SyncerFailed("blocks", "late")) == []
    assert coordinator.state is state


def test_batches_are_executed_until_the_queue_is_sealed() -> None:
    coordinator = at(State.FINALIZING)

    assert coordinator.handle(Finalized()) == [ExecuteBatch()]
    assert coordinator.handle(BatchExecuted(20)) == [ExecuteBatch()]
    assert coordinator.handle(BatchExecuted(0)) == [Seal()]
    # A block came between looking and closing.
    assert coordinator.handle(SealTried(is_sealed=False)) == [ExecuteBatch()]
    assert coordinator.handle(BatchExecuted(1)) == [ExecuteBatch()]
    assert coordinator.handle(BatchExecuted(0)) == [Seal()]
    assert coordinator.handle(SealTried(is_sealed=True)) == [Done(None)]
    assert coordinator.state is State.COMPLETED


def tried(coordinator: Coordinator, left: int) -> Seal:
    """Return the next try to seal after one that has left so many blocks."""
    (seal,) = coordinator.handle(SealTried(is_sealed=False, left=left))
    assert isinstance(seal, Seal)
    return seal


def test_a_seal_goes_on_by_steps_as_long_as_less_is_left() -> None:
    coordinator = at(State.EXECUTING_BATCH)
    assert coordinator.handle(BatchExecuted(0)) == [Seal()]
    for left in range(1000, 0, -1):
        assert tried(coordinator, left) == Seal()
        assert tried(coordinator, left + 1) == Seal()


def test_a_seal_takes_all_when_the_chain_grows_as_fast_as_it_is_executed() -> None:
    """Else a node that executes slowly would never have its state."""
    coordinator = at(State.EXECUTING_BATCH)
    assert coordinator.handle(BatchExecuted(0)) == [Seal()]
    seals = [tried(coordinator, left) for left in [7] + [7, 8] * (MAX_FRUITLESS // 2)]
    assert seals == [Seal()] * MAX_FRUITLESS + [Seal(takes_all=True)]
    assert coordinator.handle(SealTried(is_sealed=True)) == [Done(None)]


@pytest.mark.parametrize(
    "state",
    [
        State.IDLE,
        State.INITIALIZING,
        State.RUNNING,
        State.FINALIZING,
        State.EXECUTING_BATCH,
    ],
)
def test_a_failure_aborts_from_everywhere(state: State) -> None:
    coordinator = at(state)

    running = cancelled() if state in {State.INITIALIZING, State.RUNNING} else []
    assert coordinator.handle(Failed("cause")) == [*running, Done("cause")]
    assert coordinator.state is State.ABORTED


@pytest.mark.parametrize("state", [State.COMPLETED, State.ABORTED])
def test_what_is_over_stays_as_it_is_and_is_told_once(state: State) -> None:
    coordinator = at(state)
    events: list[CoordinatorInput] = [
        Start(FIRST),
        TargetCommitted(FIRST),
        SyncerTook("accounts", FIRST),
        SyncerDone("accounts", FIRST),
        SyncerFailed("accounts", "late"),
        BlockAccepted(target(200)),
        Finalized(),
        BatchExecuted(0),
        SealTried(is_sealed=True),
        Failed("late"),
    ]

    assert [coordinator.handle(event) for event in events] == [[]] * len(events)
    assert (coordinator.state, coordinator.is_over) == (state, True)


@pytest.mark.parametrize("state", list(State))
def test_only_a_running_one_takes_new_targets(state: State) -> None:
    coordinator = at(state)
    before = coordinator.target

    assert coordinator.may_pivot is (state is State.RUNNING)
    effects = coordinator.handle(BlockAccepted(target(1000)))
    assert effects == (moved(target(1000)) if state is State.RUNNING else [])
    assert coordinator.target == before


@pytest.mark.parametrize("state", list(State))
def test_a_target_that_is_lost_is_replaced_whatever_the_policy_says(state: State) -> None:
    coordinator = at(state, interval=10_000)
    assert coordinator.handle(BlockAccepted(target(104))) == []
    assert coordinator.handle(TargetLost(FIRST)) == []

    effects = coordinator.handle(TargetLost(target(104)))
    assert effects == (moved(target(104)) if state is State.RUNNING else [])
    if state is State.RUNNING:
        assert pivot(coordinator, target(104)) == []
        assert coordinator.target == target(104)


def test_pivots_at_150_and_180_over_blocks_100_to_200() -> None:
    coordinator = at(State.RUNNING, interval=30)
    chosen: list[int] = []
    for number in range(101, 201):
        if coordinator.handle(BlockAccepted(target(number))):
            chosen.append(number)
            assert pivot(coordinator, target(number)) == []

    assert chosen == [120, 150, 180]
    assert tell_all(coordinator, SyncerDone, target(180)) == finalized(target(180))


class World:
    """What surrounds a coordinator, in any order: syncers, a chain that moves, a queue, a disk."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.coordinator = idle(interval=self.draw.randint(1, 6))
        self.head = 100
        self.queue: deque[int] = deque()
        self.executed: list[int] = []
        self.committed = 100
        self.answers: list[CoordinatorInput] = []
        self.given: dict[str, SyncTarget] = {}
        self.finalized: SyncTarget | None = None
        self.is_sealed = False
        self.outcomes: list[str | None] = []

    def accept(self) -> None:
        """A block becomes final: the chain defers it or executes it, then tells."""
        self.head += 1
        if self.is_sealed:
            self.executed.append(self.head)
        else:
            self.queue.append(self.head)
        self.perform(self.coordinator.handle(BlockAccepted(target(self.head))))

    def perform(self, effects: list[CoordinatorEffect]) -> None:
        """Carry out effects. Their answers wait to be delivered in any order."""
        for effect in effects:
            match effect:
                case StartSyncer() | MoveSyncer() | FinalizeSyncer() | CancelSyncer():
                    self.tell_syncer(effect)
                case CommitTarget(new):
                    self.commit(new)
                case Finalize(last):
                    assert last == target(self.committed)
                    assert self.finalized is None
                    self.finalized = last
                    self.answers.append(Finalized())
                case ExecuteBatch() | Seal():
                    self.replay(effect)
                case Done(cause):
                    self.outcomes.append(cause)

    def tell_syncer(self, effect: RegistryEffect) -> None:
        match effect:
            case StartSyncer(name, new) | MoveSyncer(name, new):
                self.given[name] = new
                self.answers += [SyncerTook(name, new), SyncerDone(name, new)]
            case FinalizeSyncer(name):
                assert self.given[name] == target(self.committed)
            case CancelSyncer():
                raise AssertionError("nothing fails here")

    def commit(self, new: SyncTarget) -> None:
        """Move the commit target, which every syncer has by then, and prune the queue."""
        if self.given:
            assert set(self.given.values()) == {new}
            assert new.number > self.committed
        self.committed = new.number
        while self.queue and self.queue[0] <= new.number:
            self.queue.popleft()
        self.answers.append(TargetCommitted(new))

    def replay(self, effect: ExecuteBatch | Seal) -> None:
        """Execute some of the queue, or close it if it is empty."""
        if isinstance(effect, Seal):
            self.is_sealed = not self.queue
            self.answers.append(SealTried(is_sealed=self.is_sealed))
            return
        count = min(len(self.queue), self.draw.randint(1, 4))
        self.executed += [self.queue.popleft() for _ in range(count)]
        self.answers.append(BatchExecuted(count))

    def step(self) -> None:
        """Let one thing happen."""
        if self.answers and self.draw.random() < 0.7:
            index = self.draw.randrange(len(self.answers))
            self.perform(self.coordinator.handle(self.answers.pop(index)))
        elif self.head < 200:
            self.accept()


@given(st.integers(0, 2**64))
def test_every_block_above_the_target_is_executed_once_and_in_order(seed: int) -> None:
    world = World(seed)
    world.perform(world.coordinator.handle(Start(FIRST)))
    for _ in range(2000):
        world.step()

    assert world.coordinator.state is State.COMPLETED
    assert world.outcomes == [None]
    assert world.finalized is not None
    assert world.executed == list(range(world.finalized.number + 1, world.head + 1))
    assert not world.queue
