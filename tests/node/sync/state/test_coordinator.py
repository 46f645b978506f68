"""The coordinator: its two tables cell by cell, and that nothing gets lost in any order."""

from collections import deque
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.sync.state.coordinator import (
    BatchExecuted,
    BlockAccepted,
    CancelAll,
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
    StartSyncers,
    State,
    SyncerDone,
    SyncerRuns,
    TargetUpdated,
    UpdateTarget,
)
from node.sync.state.pivot_policy import PivotPolicy
from node.sync.state.target import SyncTarget
from tests.node.sync.state.targets import target

SYNCERS = ("accounts", "blocks", "history")
FIRST = target(100)


def at(state: State, *, interval: int = 1) -> Coordinator:
    """Return a coordinator in a state, on its way to `FIRST`."""
    coordinator = Coordinator(SYNCERS, PivotPolicy(interval))
    steps: dict[State, list[CoordinatorInput]] = {
        State.INITIALIZING: [Start(FIRST)],
        State.RUNNING: [SyncerRuns(name) for name in SYNCERS],
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


def test_it_starts_the_syncers_in_their_order_and_waits_for_all() -> None:
    coordinator = at(State.IDLE)

    assert coordinator.handle(Start(FIRST)) == [StartSyncers(FIRST)]
    for name in SYNCERS:
        assert coordinator.state is State.INITIALIZING
        assert coordinator.handle(SyncerRuns(name)) == []
    assert coordinator.state is State.RUNNING


def test_all_done_with_the_target_finalizes_it() -> None:
    coordinator = at(State.RUNNING)

    assert coordinator.handle(SyncerDone("accounts", FIRST)) == []
    assert coordinator.handle(SyncerDone("blocks", FIRST)) == []
    assert coordinator.handle(SyncerDone("history", FIRST)) == [Finalize(FIRST)]
    assert coordinator.state is State.FINALIZING


def test_a_syncer_may_be_done_before_all_of_them_run() -> None:
    coordinator = at(State.INITIALIZING)
    for name in SYNCERS:
        coordinator.handle(SyncerDone(name, FIRST))
    coordinator.handle(SyncerRuns("accounts"))
    coordinator.handle(SyncerRuns("blocks"))

    assert coordinator.handle(SyncerRuns("history")) == [Finalize(FIRST)]


def test_a_pivot_reaches_the_syncers_before_the_commit_target_moves() -> None:
    coordinator = at(State.RUNNING)

    assert coordinator.handle(BlockAccepted(target(101))) == [UpdateTarget(target(101))]
    assert coordinator.target == FIRST
    assert coordinator.handle(TargetUpdated(target(101))) == []
    assert (coordinator.target, coordinator.pivots) == (target(101), 1)


def test_who_was_done_must_be_done_with_the_new_target() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(SyncerDone("accounts", FIRST))
    coordinator.handle(SyncerDone("blocks", FIRST))
    coordinator.handle(BlockAccepted(target(101)))
    coordinator.handle(TargetUpdated(target(101)))

    # Late words about the old target count for nothing.
    assert coordinator.handle(SyncerDone("history", FIRST)) == []
    for name in SYNCERS[:2]:
        assert coordinator.handle(SyncerDone(name, target(101))) == []
    assert coordinator.handle(SyncerDone("history", target(101))) == [Finalize(target(101))]


def test_done_with_a_target_that_is_still_being_handed_out_counts() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))
    for name in SYNCERS:
        assert coordinator.handle(SyncerDone(name, target(101))) == []

    assert coordinator.handle(TargetUpdated(target(101))) == [Finalize(target(101))]


def test_updates_never_overlap_and_the_highest_wins() -> None:
    coordinator = at(State.RUNNING)
    effects = [
        effect
        for number in range(101, 109)
        for effect in coordinator.handle(BlockAccepted(target(number)))
    ]
    assert effects == [UpdateTarget(target(101))]

    assert coordinator.handle(TargetUpdated(target(101))) == [UpdateTarget(target(108))]
    assert coordinator.handle(TargetUpdated(target(108))) == []
    assert (coordinator.target, coordinator.pivots) == (target(108), 2)


def test_nothing_is_finalized_while_a_new_target_waits() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))
    coordinator.handle(BlockAccepted(target(102)))
    for name in SYNCERS:
        coordinator.handle(SyncerDone(name, target(101)))

    assert coordinator.handle(TargetUpdated(target(101))) == [UpdateTarget(target(102))]
    assert coordinator.state is State.RUNNING


def test_an_update_that_fails_aborts_and_finalizes_nothing() -> None:
    coordinator = at(State.RUNNING)
    coordinator.handle(BlockAccepted(target(101)))

    assert coordinator.handle(Failed("no space")) == [CancelAll(), Done("no space")]
    assert (coordinator.state, coordinator.target) == (State.ABORTED, FIRST)
    assert coordinator.handle(TargetUpdated(target(101))) == []


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

    assert coordinator.handle(Failed("cause")) == [CancelAll(), Done("cause")]
    assert coordinator.state is State.ABORTED


@pytest.mark.parametrize("state", [State.COMPLETED, State.ABORTED])
def test_what_is_over_stays_as_it_is_and_is_told_once(state: State) -> None:
    coordinator = at(state)
    events: list[CoordinatorInput] = [
        Start(FIRST),
        SyncerRuns("accounts"),
        BlockAccepted(target(200)),
        TargetUpdated(FIRST),
        SyncerDone("accounts", FIRST),
        Finalized(),
        BatchExecuted(0),
        SealTried(is_sealed=True),
        Failed("late"),
    ]

    assert [coordinator.handle(event) for event in events] == [[]] * len(events)
    assert (coordinator.state, coordinator.is_over) == (state, True)


@pytest.mark.parametrize(
    ("state", "is_deferring", "may_pivot"),
    [
        (State.IDLE, False, False),
        (State.INITIALIZING, True, False),
        (State.RUNNING, True, True),
        (State.FINALIZING, True, False),
        (State.EXECUTING_BATCH, True, False),
        (State.COMPLETED, False, False),
        (State.ABORTED, False, False),
    ],
)
def test_what_each_state_says_of_blocks_and_targets(
    state: State, is_deferring: bool, may_pivot: bool
) -> None:
    coordinator = at(state)
    before = coordinator.target

    assert (coordinator.is_deferring, coordinator.may_pivot) == (is_deferring, may_pivot)
    effects = coordinator.handle(BlockAccepted(target(1000)))
    assert effects == ([UpdateTarget(target(1000))] if may_pivot else [])
    assert coordinator.target == before


def test_pivots_at_150_and_180_over_blocks_100_to_200() -> None:
    coordinator = at(State.RUNNING, interval=30)
    chosen: list[int] = []
    for number in range(101, 201):
        for effect in coordinator.handle(BlockAccepted(target(number))):
            assert isinstance(effect, UpdateTarget)
            chosen.append(effect.target.number)
            coordinator.handle(TargetUpdated(effect.target))

    assert chosen == [120, 150, 180]
    for name in SYNCERS[:2]:
        coordinator.handle(SyncerDone(name, target(180)))
    assert coordinator.handle(SyncerDone("history", target(180))) == [Finalize(target(180))]


class World:
    """What surrounds a coordinator, in any order: syncers, a chain that moves, a queue, a disk."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        self.coordinator = Coordinator(SYNCERS, PivotPolicy(self.draw.randint(1, 6)))
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
                case StartSyncers() | UpdateTarget():
                    self.hand_out(effect)
                case Finalize(last):
                    assert last == self.given["accounts"] == target(self.committed)
                    assert self.finalized is None
                    self.finalized = last
                    self.answers.append(Finalized())
                case ExecuteBatch() | Seal():
                    self.replay(effect)
                case Done(cause):
                    self.outcomes.append(cause)
                case CancelAll():
                    raise AssertionError("nothing fails here")

    def hand_out(self, effect: StartSyncers | UpdateTarget) -> None:
        """Give a target to the syncers. Each is done with it some time."""
        new = effect.target
        self.given = dict.fromkeys(SYNCERS, new)
        self.answers += [SyncerDone(name, new) for name in SYNCERS]
        if isinstance(effect, StartSyncers):
            self.answers += [SyncerRuns(name) for name in SYNCERS]
            return
        assert new.number > self.committed
        self.committed = new.number
        while self.queue and self.queue[0] <= new.number:
            self.queue.popleft()
        self.answers.append(TargetUpdated(new))

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
