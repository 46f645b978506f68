"""State syncs whose target is lost, or left behind: they go on with what they have."""

from dataclasses import replace
from itertools import count
from typing import Any

import trio
from trio.testing import MockClock

from node.chain.retention import STATE_BATCHES
from node.net.hub import LinkConditions
from node.net.network import Handler
from node.storage.store import Table
from node.sync.state.state_limits import DEFAULT_LIMITS
from node.sync.state.strategy import SyncStrategy
from protocols.ids import RequestProtocol
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.sim.nodes import POLICY, Nodes, SimNode, WatchedNetwork

MIX = {"full": 5}
"""Nobody keeps more than a window."""

ACCOUNTS = 700
HEADWAY_S = 40.5
"""When the last node starts: by then a network is older than what it keeps."""


def accounts(node: SimNode) -> dict[bytes, bytes]:
    with node.store.read() as reader:
        return dict(reader.scan(Table.ACCOUNTS))


def is_live(node: SimNode) -> bool:
    status: dict[str, Any] = node.node.status()
    return status["phase"] == "live" and status["consensus"] is True


async def spend(nodes: Nodes) -> None:
    """Send a transaction every half second."""
    for nonce in count(1):
        start = max(nodes.nodes[0].height - 1, 0)
        sent = transaction(nonce=nonce, sender=nonce % 3, recipient=nonce, validity_start=start)
        await nodes.nodes[0].node.submit(sent)
        await trio.sleep(0.5)


async def network(
    nursery: trio.Nursery, *, window: int = 20, servers: type[WatchedNetwork] = WatchedNetwork
) -> tuple[Nodes, SimNode]:
    """Start a busy network of many accounts; return it and its last node, which has not begun."""
    nodes = Nodes(
        nursery,
        mix=MIX,
        validators=4,
        policy=replace(POLICY, validity_window_batches=window),
        conditions=LinkConditions(latency_s=(0.2, 0.4)),
        accounts=ACCOUNTS,
    )
    nodes.state_limits = replace(DEFAULT_LIMITS, range_leaves=24, ranges_per_peer=1)
    for node in nodes.nodes[:-1]:
        node.network_type = servers
    await nodes.start([node.spec.name for node in nodes.nodes[:-1]])
    nursery.start_soon(spend, nodes)
    await trio.sleep_until(HEADWAY_S)
    return nodes, nodes.nodes[-1]


async def sync(nodes: Nodes, late: SimNode, *, within_s: float) -> dict[str, Any]:
    """Wait until a node has the state of the others; return the record of its sync."""
    await nodes.until(lambda: is_live(late), within_s=within_s)
    await nodes.until_agreed(within_s=20)
    assert accounts(late) == accounts(nodes.nodes[0])
    record: dict[str, Any] = late.node.status()["state_synced"]
    return record


async def half_way(nodes: Nodes, late: SimNode) -> int:
    """Wait until a good part is fetched; return how many accounts that are."""

    def fetched() -> int:
        state = late.node.status()["state_sync"]
        return 0 if state is None else int(state["accounts"])

    await nodes.until(lambda: fetched() > ACCOUNTS // 2, within_s=60)
    return fetched()


async def cut_off(nodes: Nodes, late: SimNode, *, for_s: float) -> int:
    """Cut a node off until it must adopt macro blocks; return what it had fetched before."""
    had = await half_way(nodes, late)
    head = late.final_height
    nodes.hub.partition([late.peer_id])
    await trio.sleep(for_s)
    assert late.final_height == head
    nodes.hub.heal()
    return had


async def test_a_node_that_is_cut_off_for_a_moment_goes_on_with_the_changes_since(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await network(nursery)
    nodes.pivot_interval = POLICY.batch_length
    await nodes.start([late.spec.name])
    await cut_off(nodes, late, for_s=10)
    record = await sync(nodes, late, within_s=100)
    assert record["attempts"] > 1
    assert record["restarts"] == 0
    # What was on its way when it was cut off comes again.
    assert record["leaves"] <= 1.15 * record["accounts"]
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_a_node_that_is_cut_off_for_long_fetches_only_what_differs(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await network(nursery)
    await nodes.start([late.spec.name])
    await cut_off(nodes, late, for_s=60)
    record = await sync(nodes, late, within_s=100)
    assert record["restarts"] == 1
    # A page that differs is fetched whole, and 120 accounts have changed.
    assert record["leaves"] <= 2 * record["accounts"]
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_a_node_that_was_away_for_long_starts_with_the_state_that_it_had(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await network(nursery)
    await nodes.start([late.spec.name])
    await sync(nodes, late, within_s=100)
    late.kill()
    await trio.sleep(60)
    await nodes.start([late.spec.name])
    assert late.node.chain.has_state
    await nodes.until(lambda: not late.node.chain.has_state, within_s=20)
    record = await sync(nodes, late, within_s=100)
    assert record["restarts"] == 1
    assert 0 < record["leaves"] < record["accounts"]
    nodes.check()
    nursery.cancel_scope.cancel()


class SlowWindow(WatchedNetwork):
    """Takes as long for a batch of blocks as the chain for another one."""

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        async def slow(peer: PeerId, payload: bytes) -> bytes:
            is_asked = protocol is RequestProtocol.MISSING_BLOCKS
            # Whoever follows the head says what it has.
            if is_asked and not MissingBlocksRequest.decode(payload).locators:
                await trio.sleep(POLICY.batch_length * POLICY.block_separation_ms / 1000)
            return await handler(peer, payload)

        super().serve(protocol, slow)


async def test_a_window_that_is_pruned_while_it_is_fetched_moves_the_target(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await network(nursery, window=2, servers=SlowWindow)
    nodes.pivot_interval = 10_000
    await nodes.start([late.spec.name])
    record = await sync(nodes, late, within_s=100)
    assert record["pivots"] >= 1
    assert (record["attempts"], record["restarts"]) == (1, 0)
    nodes.check()
    nursery.cancel_scope.cancel()


class SlowRanges(WatchedNetwork):
    """Takes so long for accounts that states are forgotten before all of one are fetched."""

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        async def slow(peer: PeerId, payload: bytes) -> bytes:
            if protocol is RequestProtocol.STATE_RANGE:
                await trio.sleep(3)
            return await handler(peer, payload)

        super().serve(protocol, slow)


async def test_a_static_sync_that_outlasts_what_its_peers_keep_ends_with_newer_targets(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await network(nursery, servers=SlowRanges)
    nodes.strategy = SyncStrategy.STATIC
    await nodes.start([late.spec.name])
    await nodes.until(lambda: not late.node.chain.has_state, within_s=20)
    await nodes.until(lambda: late.node.chain.has_state, within_s=400)
    record = late.node.status()["state_synced"]
    kept_blocks = (STATE_BATCHES + 1) * POLICY.batch_length
    assert record["seconds"] > kept_blocks * POLICY.block_separation_ms / 1000
    assert record["attempts"] > 1
    assert record["leaves"] <= 2 * record["accounts"]
    await sync(nodes, late, within_s=200)
    nodes.check()
    nursery.cancel_scope.cancel()
