"""Whole nodes that fetch their state: late, killed half way, from liars. They end as the others."""

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node import profiles
from node.chain.retention import Retention
from node.net.hub import LinkConditions
from node.profiles import PROFILES, MacroSyncKind, Profile
from node.storage.store import Table
from tests.sim.nodes import Nodes, SimNode

MIX = {"history": 1, "full": 5}


@pytest.fixture(autouse=True)
def _full_nodes_fetch_states(monkeypatch: pytest.MonkeyPatch) -> None:
    full = replace(
        PROFILES[Profile.FULL], macro_sync=MacroSyncKind.STATE, retention=Retention.WINDOW
    )
    monkeypatch.setattr(profiles, "PROFILES", MappingProxyType({**PROFILES, Profile.FULL: full}))


def accounts(node: SimNode) -> dict[bytes, bytes]:
    """Return all accounts of a node."""
    with node.store.read() as reader:
        return dict(reader.scan(Table.ACCOUNTS))


def is_live(node: SimNode) -> bool:
    """Tell whether a node has its state and agrees with the others."""
    status: dict[str, Any] = node.node.status()
    return status["phase"] == "live" and status["consensus"] is True


async def with_late_node(nursery: trio.Nursery, until_s: float, **options: Any) -> Nodes:
    """Start all nodes of a network but the last, and let it run."""
    nodes = Nodes(nursery, mix=MIX, validators=4, **options)
    await nodes.start([node.spec.name for node in nodes.nodes[:-1]])
    await trio.sleep_until(until_s)
    return nodes


async def check_equal(nodes: Nodes) -> None:
    """Check that all have one head and one state, and that nobody was blamed."""
    await nodes.until_agreed(within_s=20)
    states = [accounts(node) for node in nodes.nodes]
    assert all(node.node.chain.has_state for node in nodes.nodes)
    assert all(state == states[0] for state in states)
    nodes.check()


async def test_a_late_full_node_fetches_the_state(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await with_late_node(nursery, 60.5)
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])

    phases: list[str] = []

    def has_come() -> bool:
        phase = late.node.status()["phase"]
        if phase not in phases:
            phases.append(phase)
        return is_live(late)

    await nodes.until(has_come, within_s=30)
    await check_equal(nodes)
    assert phases == ["searching", "macro_sync", "state_sync", "live"]
    # It keeps a validity window, as the others do, and no more.
    assert late.node.chain.is_pruned(30)
    assert all(node.faults == [] for node in nodes.nodes)
    nursery.cancel_scope.cancel()


async def test_a_node_that_is_a_little_late_follows_and_keeps_its_state(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await with_late_node(nursery, 6.5)
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])

    while not is_live(late):
        assert late.node.chain.has_state
        await trio.sleep(0.05)
    await check_equal(nodes)
    nursery.cancel_scope.cancel()


async def test_a_full_node_that_was_away_for_long_fetches_the_state_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await with_late_node(nursery, 3.5)
    away = nodes.nodes[-1]
    await nodes.start([away.spec.name])
    await nodes.until(lambda: is_live(away), within_s=20)
    away.kill()
    await trio.sleep_until(70.5)

    await nodes.start([away.spec.name])
    assert away.node.chain.has_state
    await nodes.until(lambda: not away.node.chain.has_state, within_s=10)
    await nodes.until(lambda: is_live(away), within_s=30)
    await check_equal(nodes)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("seed", range(4))
async def test_a_node_that_is_killed_again_and_again_goes_on_where_it_was(
    seed: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    slow = LinkConditions(latency_s=(0.2, 0.4))
    nodes = await with_late_node(nursery, 60.5, seed=seed, conditions=slow)
    late = nodes.nodes[-1]
    for life in range(6):
        await nodes.start([late.spec.name])
        with trio.move_on_after(1.0 + 0.35 * life + 0.1 * seed):
            await nodes.until(lambda: is_live(late), within_s=60)
        late.kill()
        await trio.sleep(0.2)
    await nodes.start([late.spec.name])
    await nodes.until(lambda: is_live(late), within_s=60)
    await check_equal(nodes)
    nursery.cancel_scope.cancel()
