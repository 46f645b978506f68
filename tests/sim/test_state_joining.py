"""Whole nodes that fetch their state: late, killed half way, from liars. They end as the others."""

from dataclasses import replace
from itertools import count
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.errors import Fault
from node.net.hub import LinkConditions
from node.net.network import Handler
from node.net.simulated import simulated_address
from node.storage.memory import MemoryStore
from node.storage.store import Table
from node.sync.state.state_limits import DEFAULT_LIMITS
from node.sync.state.strategy import SyncStrategy
from protocols.ids import RequestProtocol
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.sim.nodes import Nodes, SimNode, WatchedNetwork

MIX = {"history": 1, "full": 5}


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
    record = late.node.status()["state_synced"]
    assert 0 <= record["seconds"] < 30
    assert record["height"] >= record["target"] > 0
    assert record["leaves"] >= record["accounts"] == len(accounts(late))
    assert (record["blocks_behind"], record["attempts"], record["restarts"]) == (0, 1, 0)
    assert all(node.node.status()["state_synced"] is None for node in nodes.nodes[:-1])
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


async def test_a_full_node_that_was_away_for_long_fetches_only_what_has_changed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await with_late_node(nursery, 3.5, accounts=2000)
    away = nodes.nodes[-1]
    await nodes.start([away.spec.name])
    await nodes.until(lambda: is_live(away) and away.final_height >= 8, within_s=20)
    away.kill()
    await trio.sleep_until(70.5)

    await nodes.start([away.spec.name])
    assert away.node.chain.has_state
    await nodes.until(lambda: not away.node.chain.has_state, within_s=10)
    await nodes.until(lambda: is_live(away), within_s=30)
    await check_equal(nodes)
    # Rewards, and what lies beside them in a range.
    record = away.node.status()["state_synced"]
    assert 0 < record["leaves"] < record["accounts"] / 4
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


class LyingNetwork(WatchedNetwork):
    """Changes one byte in each range of accounts that it serves."""

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        async def lie(peer: PeerId, payload: bytes) -> bytes:
            response = await handler(peer, payload)
            if protocol is not RequestProtocol.STATE_RANGE or len(response) < 100:
                return response
            middle = len(response) // 2
            return response[:middle] + bytes((response[middle] ^ 1,)) + response[middle + 1 :]

        super().serve(protocol, lie)


async def spend(nodes: Nodes) -> None:
    """Send a transaction every half second."""
    for nonce in count(1):
        validity_start = max(nodes.nodes[0].height - 1, 0)
        sent = transaction(
            nonce=nonce, sender=nonce % 3, recipient=nonce, validity_start=validity_start
        )
        await nodes.nodes[0].node.submit(sent)
        await trio.sleep(0.5)


async def busy_network(nursery: trio.Nursery, *, accounts_: int, range_leaves: int) -> Nodes:
    """Return a network of many accounts that change, without its last node."""
    nodes = await with_late_node(
        nursery, 0.5, accounts=accounts_, conditions=LinkConditions(latency_s=(0.2, 0.4))
    )
    nodes.state_limits = replace(DEFAULT_LIMITS, range_leaves=range_leaves, ranges_per_peer=1)
    nodes.pivot_interval = 4
    nursery.start_soon(spend, nodes)
    await trio.sleep_until(40.5)
    return nodes


async def test_the_target_moves_ten_times_while_one_peer_lies_and_one_leaves(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await busy_network(nursery, accounts_=9000, range_leaves=24)
    late, liar, leaver = nodes.nodes[-1], nodes.nodes[-2], nodes.nodes[1]
    late.seeds = tuple(simulated_address(node.peer_id) for node in nodes.nodes[:-1])
    liar.kill()
    liar.network_type = LyingNetwork
    await nodes.start([liar.spec.name, late.spec.name])
    seen: dict[str, Any] = {}

    def has_come() -> bool:
        seen.update(late.node.status()["state_sync"] or {})
        return is_live(late)

    await nodes.until(lambda: not has_come() and seen.get("pivots", 0) >= 2, within_s=60)
    leaver.kill()
    await nodes.until(has_come, within_s=200)

    assert seen["pivots"] >= 10
    assert seen["restarts"] == 0
    assert {(peer, fault) for peer, fault in late.faults if fault is not Fault.TOO_SLOW} == {
        (liar.peer_id, Fault.INVALID_PROOF)
    }
    await nodes.until_agreed(within_s=20)
    assert accounts(late) == accounts(nodes.nodes[0])
    nursery.cancel_scope.cancel()


async def test_a_static_sync_queues_nothing_and_follows_afterwards(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    # It must not take longer than peers keep blocks: then it would begin again, and again.
    nodes = await busy_network(nursery, accounts_=400, range_leaves=96)
    nodes.strategy = SyncStrategy.STATIC
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])
    await nodes.until(lambda: late.node.status()["phase"] == "state_sync", within_s=20)

    while (status := late.node.status())["phase"] == "state_sync":
        assert late.height == late.final_height
        assert (status["state_sync"] or {"queued": 0})["queued"] == 0
        await trio.sleep(0.05)
    assert late.node.chain.has_state
    behind = max(nodes.heights()) - late.height
    assert behind >= 2
    record = late.node.status()["state_synced"]
    assert record["height"] == record["target"]
    # By the clock: one more may be due than has been made.
    assert record["blocks_behind"] in {behind, behind + 1}
    await nodes.until(lambda: is_live(late), within_s=60)
    await nodes.until_agreed(within_s=20)
    assert accounts(late) == accounts(nodes.nodes[0])
    nursery.cancel_scope.cancel()


async def test_of_two_that_join_at_one_moment_the_dynamic_one_ends_at_the_head(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The static one ends behind by what the chain has grown meanwhile."""
    nodes = await busy_network(nursery, accounts_=300, range_leaves=24)
    static, dynamic = nodes.nodes[-2:]
    static.kill()
    static.store, static.last_height, static.last_final_height = MemoryStore(), 0, 0
    for node, strategy in ((static, SyncStrategy.STATIC), (dynamic, SyncStrategy.DYNAMIC)):
        nodes.strategy = strategy
        await nodes.start([node.spec.name])
    began = max(nodes.heights())
    behind: dict[str, int] = {}

    def have_come() -> bool:
        for node in (static, dynamic):
            record = node.node.status()["state_synced"]
            if record is not None and node.spec.name not in behind:
                behind[node.spec.name] = max(nodes.heights()) - node.height
                assert record["target"] <= began or node is dynamic
        return len(behind) == 2

    await nodes.until(have_come, within_s=120)
    assert behind[dynamic.spec.name] <= 1
    assert behind[static.spec.name] >= 2
    await nodes.until(lambda: is_live(static) and is_live(dynamic), within_s=60)
    await nodes.until_agreed(within_s=20)
    assert accounts(static) == accounts(dynamic) == accounts(nodes.nodes[0])
    nursery.cancel_scope.cancel()


async def test_a_node_that_is_cut_off_in_the_middle_begins_anew(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Macro blocks are adopted while a sync is under way: it ends, and the next one begins."""
    nodes = await busy_network(nursery, accounts_=2000, range_leaves=24)
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])

    def is_half_way() -> bool:
        state = late.node.status()["state_sync"]
        return state is not None and state["accounts"] > 200

    await nodes.until(is_half_way, within_s=60)
    nodes.hub.partition([late.peer_id])
    await trio.sleep(60)
    assert not late.node.chain.has_state
    nodes.hub.heal()
    await nodes.until(lambda: is_live(late), within_s=200)
    await nodes.until_agreed(within_s=20)
    assert accounts(late) == accounts(nodes.nodes[0])
    nursery.cancel_scope.cancel()
