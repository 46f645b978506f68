"""What the log and the status of a node say while it fetches its state."""

from itertools import pairwise
from typing import Any

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from node.sync.state.strategy import SyncStrategy
from tests.sim.test_state_joining import LyingNetwork, busy_network, is_live


def of_kind(lines: list[Any], event: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == event]


async def test_a_sync_tells_of_all_that_happens_in_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await busy_network(nursery, accounts_=1500, range_leaves=24)
    late, liar = nodes.nodes[-1], nodes.nodes[-2]
    liar.kill()
    liar.network_type = LyingNetwork
    with capture_logs() as lines:
        await nodes.start([liar.spec.name, late.spec.name])
        await nodes.until(lambda: is_live(late), within_s=200)

    (begun,) = of_kind(lines, "state_sync_begun")
    assert (begun["strategy"], begun["queued"]) == ("dynamic", 0)
    states = [line["state"] for line in of_kind(lines, "state_sync")]
    assert states == ["initializing", "running", "finalizing", "executing_batch", "completed"]
    pivots = of_kind(lines, "pivot_moved")
    assert pivots
    assert all(line["before"] < line["target"] for line in pivots)
    (synced,) = of_kind(lines, "state_synced")
    assert synced["pivots"] == len(pivots)
    percents = [line["percent"] for line in of_kind(lines, "coverage_reached")]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    assert {line["part"] for line in of_kind(lines, "part_reached")} == {
        "accounts",
        "blocks",
        "history",
    }
    lies = of_kind(lines, "state_refuted")
    assert {(line["peer"], line["fault"]) for line in lies} == {(liar.peer_id, "invalid_proof")}
    executed = sum(line["count"] for line in of_kind(lines, "batch_executed"))
    finalizing = of_kind(lines, "state_sync")[2]
    assert executed >= finalizing["queued"]
    nursery.cancel_scope.cancel()


async def test_an_attempt_that_fails_tells_why(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It is cut off half way, and macro blocks are adopted when it comes back."""
    nodes = await busy_network(nursery, accounts_=2000, range_leaves=24)
    late = nodes.nodes[-1]
    with capture_logs() as lines:
        await nodes.start([late.spec.name])
        await nodes.until(lambda: bool(of_kind(lines, "coverage_reached")), within_s=60)
        nodes.hub.partition([late.peer_id])
        await trio.sleep(60)
        nodes.hub.heal()
        await nodes.until(lambda: is_live(late), within_s=200)

    aborted = [line for line in of_kind(lines, "state_sync") if line["state"] == "aborted"]
    failed = of_kind(lines, "state_sync_failed") + of_kind(lines, "state_sync_superseded")
    assert aborted
    assert [line["reason"] for line in failed] == [line["reason"] for line in aborted]
    assert len(of_kind(lines, "state_sync_begun")) == len(failed) + 1
    nursery.cancel_scope.cancel()


async def test_the_status_says_how_far_it_is(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await busy_network(nursery, accounts_=1500, range_leaves=24)
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        status = late.node.status()
        if status["state_sync"] is not None:
            seen.append(status)
        return is_live(late)

    await nodes.until(look, within_s=200)
    running = [each for each in seen if each["state_sync"]["state"] == "running"]
    assert all(each["phase"] == "state_sync" for each in running)
    coverage = [each["state_sync"]["coverage"] for each in running]
    totals = [each["state_sync"]["total"] or 0 for each in running]
    # A newer target may have more accounts than the one before it, and then there is less of it.
    for before, after in pairwise(zip(totals, coverage, strict=True)):
        assert after[1] >= before[1] or after[0] > before[0]
    assert any(0.2 < part < 0.8 for part in coverage)
    for status in running:
        state = status["state_sync"]
        assert state["total"] is None or state["accounts"] <= state["total"] + 50
    rates = [each["rate"] for each in running if each["rate"] is not None]
    assert max(rates) > 10
    ranges = [each["eta_s"] for each in running if each["eta_s"] is not None]
    assert ranges
    assert all(0 <= low <= high for low, high in ranges)
    pivots = [each["state_sync"]["pivots"] for each in running]
    queued = [each["state_sync"]["queued"] for each in running]
    behind = [each["state_sync"]["blocks_behind"] for each in running]
    assert max(pivots) > 0
    assert max(queued) > 0
    assert max(behind) <= 12
    assert late.node.status()["state_sync"] is None
    nursery.cancel_scope.cancel()


async def test_a_static_sync_says_how_far_it_falls_behind(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = await busy_network(nursery, accounts_=400, range_leaves=24)
    nodes.strategy = SyncStrategy.STATIC
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])
    seen: list[dict[str, Any]] = []

    def look() -> bool:
        state = late.node.status()["state_sync"]
        if state is not None:
            seen.append(state)
            assert abs(max(nodes.heights()) - late.height - state["blocks_due"]) <= 1
        return bool(seen) and late.node.chain.has_state

    await nodes.until(look, within_s=60)
    assert {(state["pivots"], state["queued"]) for state in seen} == {(0, 0)}
    assert max(state["blocks_due"] for state in seen) >= 2
    nursery.cancel_scope.cancel()
