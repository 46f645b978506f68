"""Order, together, and the first error ends the rest."""

import pytest

from node.policy import Policy
from node.sync.state.block_syncer import BlockSyncer
from node.sync.state.history_syncer import HistorySyncer
from node.sync.state.part_events import BlockEffect, HistoryEffect
from node.sync.state.registry import (
    CancelSyncer,
    MoveSyncer,
    StartSyncer,
    Syncer,
    SyncerRegistry,
)
from tests.node.sync.state.targets import target


def registry() -> SyncerRegistry:
    made = SyncerRegistry()
    for name in ("state", "blocks", "history"):
        made.register(name)
    return made


def test_all_are_started_in_order() -> None:
    made = registry()
    assert made.names == ("state", "blocks", "history")
    assert made.start(target(5)) == [StartSyncer(name, target(5)) for name in made.names]
    assert not made.have_target
    for name in made.names:
        made.took(name, target(5))
    assert made.have_target


def test_each_gets_a_new_target_and_late_news_of_an_old_one_counts_for_nothing() -> None:
    made = registry()
    made.start(target(5))
    assert made.update(target(9)) == [MoveSyncer(name, target(9)) for name in made.names]
    for name in made.names:
        made.took(name, target(5))
    assert not made.have_target
    made.took("state", target(9))
    made.took("blocks", target(9))
    assert not made.have_target
    made.took("history", target(9))
    assert made.have_target


def test_the_first_error_ends_the_others_and_is_the_cause() -> None:
    made = registry()
    made.start(target(5))
    assert made.failed("blocks", "no peers") == [CancelSyncer("history"), CancelSyncer("state")]
    assert made.cause == "blocks: no peers"
    assert made.failed("state", "cancelled") == []
    assert made.cancel("stopped") == []
    assert made.update(target(9)) == []
    assert made.cause == "blocks: no peers"
    assert not made.have_target


def test_cancelling_ends_all() -> None:
    made = registry()
    made.start(target(5))
    assert made.cancel("stopped") == [CancelSyncer(name) for name in ("history", "blocks", "state")]
    assert made.failed("state", "late") == []


def test_syncers_are_registered_once_and_before_the_start() -> None:
    made = registry()
    with pytest.raises(AssertionError):
        made.register("state")
    made.start(target(5))
    with pytest.raises(AssertionError):
        made.register("more")


def test_the_machines_are_syncers() -> None:
    blocks: Syncer[BlockEffect] = BlockSyncer(Policy())
    history: Syncer[HistoryEffect] = HistorySyncer()
    assert (blocks.name, history.name) == ("blocks", "history")
    assert blocks.reached is history.reached is None
