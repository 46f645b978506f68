"""The two tables of the coordinator, cell by cell: what each event does in each state.

An event that has no row for a state changes nothing and leads to nothing.
"""

from typing import Final

import pytest

from node.chain.block_operations import OperationKind
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.storage.memory import MemoryStore
from node.sync.state.coordinator import (
    BatchExecuted,
    BlockAccepted,
    CommitTarget,
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
from node.sync.state.registry import CancelSyncer, FinalizeSyncer, MoveSyncer
from tests.build.chain import ChainBuilder, push_one
from tests.build.state_sync import (
    GENESIS,
    adopt,
    builder_of,
    complete,
    full_chain,
    operations,
    replay,
    syncing_chain,
)
from tests.node.sync.state.targets import target
from tests.node.sync.state.test_coordinator import FIRST, SYNCERS, at

NEXT: Final = target(101)

EVENTS: Final[dict[str, CoordinatorInput]] = {
    "start": Start(NEXT),
    "a syncer runs": SyncerTook(SYNCERS[0], FIRST),
    "a syncer is done": SyncerDone(SYNCERS[0], FIRST),
    "a syncer fails": SyncerFailed(SYNCERS[0], "no peers"),
    "a block is accepted": BlockAccepted(NEXT),
    "the target is lost": TargetLost(NEXT),
    "a target is committed": TargetCommitted(FIRST),
    "finalized": Finalized(),
    "some were executed": BatchExecuted(3),
    "the queue was empty": BatchExecuted(0),
    "sealed": SealTried(is_sealed=True),
    "not sealed": SealTried(is_sealed=False),
    "failed": Failed("cancelled"),
}

CELLS: Final[dict[tuple[State, str], tuple[State, tuple[type, ...]]]] = {
    (State.IDLE, "start"): (State.INITIALIZING, (CommitTarget,)),
    (State.IDLE, "failed"): (State.ABORTED, (Done,)),
    (State.INITIALIZING, "a syncer runs"): (State.INITIALIZING, ()),
    (State.INITIALIZING, "a syncer is done"): (State.INITIALIZING, ()),
    (State.INITIALIZING, "a syncer fails"): (State.ABORTED, (CancelSyncer, CancelSyncer, Done)),
    (State.INITIALIZING, "failed"): (State.ABORTED, (*[CancelSyncer] * 3, Done)),
    (State.RUNNING, "a block is accepted"): (State.RUNNING, (MoveSyncer,) * 3),
    (State.RUNNING, "the target is lost"): (State.RUNNING, (MoveSyncer,) * 3),
    (State.RUNNING, "a syncer is done"): (State.RUNNING, ()),
    (State.RUNNING, "a syncer fails"): (State.ABORTED, (CancelSyncer, CancelSyncer, Done)),
    (State.RUNNING, "failed"): (State.ABORTED, (*[CancelSyncer] * 3, Done)),
    (State.FINALIZING, "finalized"): (State.EXECUTING_BATCH, (ExecuteBatch,)),
    (State.FINALIZING, "failed"): (State.ABORTED, (Done,)),
    (State.EXECUTING_BATCH, "some were executed"): (State.EXECUTING_BATCH, (ExecuteBatch,)),
    (State.EXECUTING_BATCH, "the queue was empty"): (State.EXECUTING_BATCH, (Seal,)),
    (State.EXECUTING_BATCH, "not sealed"): (State.EXECUTING_BATCH, (ExecuteBatch,)),
    (State.EXECUTING_BATCH, "sealed"): (State.COMPLETED, (Done,)),
    (State.EXECUTING_BATCH, "failed"): (State.ABORTED, (Done,)),
}
"""State and effects after an event; where nothing is said, nothing happens."""


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", list(State))
def test_each_event_in_each_state(state: State, event: str) -> None:
    coordinator = at(state)
    effects = coordinator.handle(EVENTS[event])
    expected = CELLS.get((state, event), (state, ()))
    assert (coordinator.state, tuple(type(effect) for effect in effects)) == expected


def test_the_last_syncer_that_runs_and_the_last_that_is_done() -> None:
    """The two rows that several events lead to."""
    coordinator = at(State.INITIALIZING)
    events: list[CoordinatorInput] = [SyncerTook(each, FIRST) for each in SYNCERS]
    events += [SyncerDone(each, FIRST) for each in SYNCERS]
    states, kinds = [], list[type]()
    for event in events:
        kinds = [type(effect) for effect in coordinator.handle(event)]
        states.append(coordinator.state)
    running = [State.RUNNING] * 3
    assert states == [State.INITIALIZING, State.INITIALIZING, *running, State.FINALIZING]
    assert kinds == [*[FinalizeSyncer] * 3, Finalize]


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("state", [State.COMPLETED, State.ABORTED])
def test_done_is_reported_once(state: State, event: str) -> None:
    assert (state, event) not in CELLS
    coordinator = at(state)
    coordinator.handle(EVENTS[event])
    assert not any(isinstance(each, Done) for each in coordinator.handle(Failed("again")))


# The second table: what becomes of a block that comes, and of a target.


def chain_at(state: State, builder: ChainBuilder) -> tuple[Chain, MemoryStore]:
    """Return a chain as it is while a coordinator is in a state; it lacks the last block."""
    store = MemoryStore()
    if state is State.IDLE:
        chain = full_chain(GENESIS, store)
        chain.push(builder.blocks[:-1])
        return chain, store
    chain = syncing_chain(GENESIS, store)
    adopt(chain, builder, 4)
    if state is not State.INITIALIZING:
        chain.move_target(4)
    chain.push(builder.blocks[4:-1])
    if state in {State.EXECUTING_BATCH, State.COMPLETED}:
        assert complete(chain, store, builder, 4) is None
    if state is State.COMPLETED:
        replay(chain)
        assert chain.seal().is_sealed
    return chain, store


@pytest.mark.parametrize(
    ("state", "is_deferred"),
    [
        (State.IDLE, False),
        (State.INITIALIZING, True),
        (State.RUNNING, True),
        (State.FINALIZING, True),
        (State.EXECUTING_BATCH, True),
        (State.COMPLETED, False),
    ],
)
def test_what_becomes_of_a_block_in_each_state(state: State, is_deferred: bool) -> None:
    """A sync that is aborted leaves the chain as it was: the next one goes on with it."""
    builder = builder_of(8)
    chain, store = chain_at(state, builder)
    before = len(operations(store))
    assert isinstance(push_one(chain, builder.blocks[-1]), Pushed)
    added = operations(store)[before:]
    assert bool(added) is is_deferred
    if is_deferred:
        accepts = [(OperationKind.ACCEPT, height) for height in range(5, 9)]
        assert added == [(OperationKind.VERIFY, 8), *accepts]


@pytest.mark.parametrize(
    ("state", "may_move"),
    [
        (State.IDLE, False),
        (State.INITIALIZING, True),
        (State.RUNNING, True),
        (State.EXECUTING_BATCH, False),
        (State.COMPLETED, False),
    ],
)
def test_what_becomes_of_a_target_in_each_state(state: State, may_move: bool) -> None:
    """The first one is committed while it initializes. None after the state is complete."""
    chain, store = chain_at(state, builder_of(8))
    if may_move:
        chain.move_target(4)
        return
    before = operations(store)
    with pytest.raises(AssertionError):
        chain.move_target(4)
    assert operations(store) == before
