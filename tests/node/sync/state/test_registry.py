"""Order, together, and the first error ends the rest."""

import pytest

from node.policy import Policy
from node.sync.state.block_syncer import BlockSyncer
from node.sync.state.coverage import Coverage
from node.sync.state.history_syncer import HistorySyncer
from node.sync.state.part_events import BlockEffect, BlockInput, HistoryEffect, HistoryInput
from node.sync.state.registry import (
    CancelSyncer,
    FinalizeSyncer,
    MoveSyncer,
    StartSyncer,
    Syncer,
    SyncerRegistry,
)
from node.sync.state.state_events import StateEffect, StateInput
from node.sync.state.state_store import NOTHING
from node.sync.state.state_syncer import StateSyncer
from tests.node.sync.state.targets import target

NAMES = ("accounts", "blocks", "history")


def registry() -> SyncerRegistry:
    made = SyncerRegistry()
    for name in NAMES:
        made.register(name)
    return made


def stands(made: SyncerRegistry) -> tuple[bool, bool]:
    """Return whether all have the newest target, and whether all are done with it."""
    return made.have_target, made.are_done


def test_all_are_started_in_order() -> None:
    made = registry()
    assert made.names == NAMES
    assert made.start(target(5)) == [StartSyncer(name, target(5)) for name in NAMES]
    for name in NAMES:
        assert stands(made) == (False, False)
        made.took(name, target(5))
    assert stands(made) == (True, False)


def test_each_gets_a_new_target_and_late_news_of_an_old_one_counts_for_nothing() -> None:
    made = registry()
    made.start(target(5))
    assert made.update(target(9)) == [MoveSyncer(name, target(9)) for name in NAMES]
    for name in NAMES:
        made.took(name, target(5))
        made.done(name, target(5))
    for name in NAMES:
        assert stands(made) == (False, False)
        made.took(name, target(9))
    assert stands(made) == (True, False)


def test_they_are_done_when_all_are_done_with_the_newest_target() -> None:
    made = registry()
    made.start(target(5))
    for name in NAMES:
        made.took(name, target(5))
        made.done(name, target(5))
    assert stands(made) == (True, True)
    made.update(target(9))
    for name in NAMES:
        assert stands(made) == (False, False)
        made.done(name, target(9))
        made.took(name, target(9))
    assert stands(made) == (True, True)
    assert made.finalize() == [FinalizeSyncer(name) for name in NAMES]
    assert made.failed("blocks", "late") == []
    assert made.cancel("stopped") == []


def test_nobody_is_finalized_before_all_are_done() -> None:
    made = registry()
    made.start(target(5))
    made.done("accounts", target(5))
    with pytest.raises(AssertionError):
        made.finalize()


def test_the_first_error_ends_the_others_and_is_the_cause() -> None:
    made = registry()
    made.start(target(5))
    cancelled = [CancelSyncer("history"), CancelSyncer("accounts")]
    assert made.failed("blocks", "no peers") == cancelled
    assert made.cause == "blocks: no peers"
    assert made.failed("accounts", "cancelled") == []
    assert made.cancel("stopped") == []
    assert made.update(target(9)) == []
    assert made.cause == "blocks: no peers"
    assert stands(made) == (False, False)


def test_cancelling_ends_all() -> None:
    made = registry()
    made.start(target(5))
    assert made.cancel("stopped") == [CancelSyncer(name) for name in NAMES[::-1]]
    assert made.failed("accounts", "late") == []


def test_syncers_are_registered_once_and_before_the_start() -> None:
    made = registry()
    with pytest.raises(AssertionError):
        made.register("accounts")
    made.start(target(5))
    with pytest.raises(AssertionError):
        made.register("more")


def test_the_machines_are_syncers() -> None:
    accounts: Syncer[StateInput, StateEffect] = StateSyncer(NOTHING, Coverage())
    blocks: Syncer[BlockInput, BlockEffect] = BlockSyncer(Policy())
    history: Syncer[HistoryInput, HistoryEffect] = HistorySyncer()
    assert (accounts.name, blocks.name, history.name) == NAMES
    # Nothing was wanted yet, so nothing is cancelled.
    assert [*accounts.finalize(), *blocks.finalize(), *history.finalize()] == []
