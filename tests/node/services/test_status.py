"""News of a node, in virtual time."""

from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any

import pytest
import structlog
import trio
from structlog.testing import capture_logs
from structlog.types import EventDict
from trio.testing import MockClock

from node.chain.results import ChainEvent, Stored
from node.services.status import LOOK_INTERVAL_S, StatusBoard
from protocols.types import Hash32

NEWS = Stored(Hash32(bytes(32)))


@dataclass
class Told:
    """A board, and the node that it tells of."""

    interval_s: float = 10.0
    facts: dict[str, Any] = field(
        default_factory=lambda: {
            "phase": "searching",
            "height": 0,
            "finalized": 0,
            "peers": 0,
            "consensus": False,
            "behind": 0,
            "target": None,
            "min_peers": 0,
            "peer_lists": {"live": 0},
            "other": "x",
        }
    )
    looks: int = 0

    def __post_init__(self) -> None:
        self.sender, receiver = trio.open_memory_channel[ChainEvent](16)
        self.board = StatusBoard(self.read, receiver, interval_s=self.interval_s)

    def read(self) -> dict[str, Any]:
        self.looks += 1
        return dict(self.facts)


def status_lines(lines: list[MutableMapping[str, Any]]) -> list[MutableMapping[str, Any]]:
    return [line for line in lines if line["event"] == "status"]


async def test_a_state_sync_is_measured_in_accounts(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    state: dict[str, Any] = {"target": 60, "accounts": 0, "total": 1000, "pivots": 0, "queued": 4}
    state |= {"state": "running", "blocks_behind": 1, "executed": 0}
    told.facts |= {"phase": "state_sync", "height": 61, "state_sync": state}
    with capture_logs() as lines:
        await nursery.start(told.board.run)
        for _ in range(10):
            await trio.sleep(LOOK_INTERVAL_S)
            told.facts["state_sync"] = state = {**state, "accounts": state["accounts"] + 50}

    assert told.board.progress["rate"] == pytest.approx(100, rel=0.2)
    assert told.board.progress["eta_s"] is not None
    first = status_lines(lines)[0]
    assert first["queued"] == 4
    assert first["target"] == 60
    assert first["state"] == "running"


async def test_a_state_that_is_being_finalized_has_no_rate(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    state: dict[str, Any] = {"target": 60, "accounts": 0, "total": 1000, "pivots": 0, "queued": 4}
    state |= {"state": "running", "blocks_behind": 1, "executed": 0}
    told.facts |= {"phase": "state_sync", "state_sync": state}
    await nursery.start(told.board.run)
    for _ in range(5):
        await trio.sleep(LOOK_INTERVAL_S)
        told.facts["state_sync"] = state = {**state, "accounts": state["accounts"] + 250}
    assert told.board.progress["rate"] is not None
    told.facts["state_sync"] = {**state, "state": "finalizing"}
    await trio.sleep(2 * LOOK_INTERVAL_S)
    assert told.board.progress == {"rate": None, "eta_s": None}
    nursery.cancel_scope.cancel()


async def test_what_waited_for_the_state_is_measured_in_operations(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    state: dict[str, Any] = {"target": 60, "accounts": 1000, "total": 1000, "pivots": 0}
    state |= {"state": "executing_batch", "blocks_behind": 9, "executed": 0, "queued": 640}
    told.facts |= {"phase": "state_sync", "height": 61, "state_sync": state}
    await nursery.start(told.board.run)
    # Between two looks, so that each of them sees one step.
    await trio.sleep(LOOK_INTERVAL_S / 2)
    for _ in range(8):
        await trio.sleep(LOOK_INTERVAL_S)
        told.facts["state_sync"] = state = {
            **state,
            "executed": state["executed"] + 32,
            "queued": state["queued"] - 32,
        }

    assert told.board.progress["rate"] == pytest.approx(64, rel=0.2)
    low, high = told.board.progress["eta_s"]
    assert 5 <= low <= high <= 8
    nursery.cancel_scope.cancel()


async def test_news_of_the_chain_are_told_at_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    await nursery.start(told.board.run)
    assert told.board.sequence == 1
    await trio.sleep(0.1)

    told.facts["height"] = 1
    told.sender.send_nowait(NEWS)
    await told.board.wait_after(1, 60)

    assert (trio.current_time(), told.board.sequence) == (0.1, 2)
    nursery.cancel_scope.cancel()


async def test_other_news_are_found_within_half_a_second(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    await nursery.start(told.board.run)
    await trio.sleep(0.1)
    told.facts["peers"] = 3
    await told.board.wait_after(1, 60)
    assert (trio.current_time(), told.board.sequence) == (LOOK_INTERVAL_S, 2)
    nursery.cancel_scope.cancel()


async def test_without_news_the_time_runs_out(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    await nursery.start(told.board.run)
    # Something happened that changes nothing.
    told.sender.send_nowait(NEWS)
    await told.board.wait_after(1, 7)
    assert (trio.current_time(), told.board.sequence) == (7, 1)
    nursery.cancel_scope.cancel()


async def test_who_is_behind_is_answered_at_once(autojump_clock: MockClock) -> None:
    told = Told()
    for sequence in (0, 2, 99):
        await told.board.wait_after(sequence, 60)
    assert trio.current_time() == 0


async def test_all_who_wait_are_told_and_a_burst_is_one_piece_of_news(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    await nursery.start(told.board.run)
    answered: list[int] = []

    async def ask() -> None:
        await told.board.wait_after(1, 60)
        answered.append(told.board.sequence)

    for _ in range(3):
        nursery.start_soon(ask)
    await trio.sleep(0.1)
    looks = told.looks
    for height in range(1, 11):
        told.facts["height"] = height
        told.sender.send_nowait(NEWS)
    await trio.sleep(0.1)

    assert (answered, told.looks - looks) == ([2, 2, 2], 1)
    nursery.cancel_scope.cancel()


async def test_news_after_news(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Who has been told waits for the next, not for the same again."""
    told = Told()
    await nursery.start(told.board.run)
    told.facts["height"] = 1
    await told.board.wait_after(1, 60)
    start = trio.current_time()
    with trio.fail_after(60):
        await told.board.wait_after(2, 7)
    assert (trio.current_time() - start, told.board.sequence) == (7, 2)
    nursery.cancel_scope.cancel()


async def test_one_who_gives_up_leaves_no_trace(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    await nursery.start(told.board.run)
    with trio.move_on_after(0.2) as scope:
        await told.board.wait_after(1, 60)
    assert scope.cancelled_caught
    told.facts["height"] = 1
    await told.board.wait_after(1, 60)
    assert told.board.sequence == 2
    nursery.cancel_scope.cancel()


async def test_the_status_line(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Once at the start, every ten seconds, and whenever the phase changes."""
    told = Told()
    lines: list[tuple[float, str, int]] = []

    def note(_logger: object, _name: str, event: EventDict) -> EventDict:
        if event["event"] == "status":
            lines.append((trio.current_time(), event["phase"], event["height"]))
        assert "other" not in event
        return event

    structlog.configure(processors=[note], logger_factory=structlog.ReturnLoggerFactory())
    try:
        await nursery.start(told.board.run)
        await trio.sleep(3.2)
        told.facts |= {"phase": "live", "height": 4}
        told.sender.send_nowait(NEWS)
        await trio.sleep(0.1)
        told.facts["height"] = 5
        await trio.sleep_until(14)
    finally:
        structlog.reset_defaults()
    nursery.cancel_scope.cancel()

    first, changed, later = lines
    assert first == (LOOK_INTERVAL_S, "searching", 0)
    assert changed == (3.2, "live", 4)
    assert later[1:] == ("live", 5)
    assert changed[0] + 10 <= later[0] <= changed[0] + 10 + LOOK_INTERVAL_S


async def test_another_phase_is_an_event(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    told = Told()
    with capture_logs() as lines:
        await nursery.start(told.board.run)
        for phase, height in (("macro_sync", 1), ("macro_sync", 2), ("live", 3)):
            told.facts |= {"phase": phase, "height": height}
            await trio.sleep(1)
    changes = [line for line in lines if line["event"] == "phase_changed"]
    assert [(line["before"], line["phase"], line["height"]) for line in changes] == [
        ("searching", "macro_sync", 1),
        ("macro_sync", "live", 3),
    ]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("interval_s", [0.1, 2.0])
async def test_the_interval_is_a_setting(
    autojump_clock: MockClock, nursery: trio.Nursery, interval_s: float
) -> None:
    with capture_logs() as lines:
        await nursery.start(Told(interval_s).board.run)
        await trio.sleep(10.2)
    nursery.cancel_scope.cancel()
    assert len(lines) == 10 / max(interval_s, LOOK_INTERVAL_S)


async def test_on_the_way_it_tells_the_rate_and_the_time_left(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    told = Told()
    told.facts |= {"phase": "macro_sync", "target": 1000}
    assert told.board.progress == {"rate": None, "eta_s": None}
    with capture_logs() as lines:
        await nursery.start(told.board.run)
        for height in range(0, 200, 10):
            told.facts["height"] = height
            await trio.sleep(1)
        told.facts |= {"phase": "live", "target": None, "height": 1000}
        await trio.sleep(1)

    steady = status_lines(lines)[1]
    assert (steady["target"], steady["rate"]) == (1000, pytest.approx(10, rel=0.1))
    low, high = steady["eta_s"]
    assert 80 <= low <= high <= 100
    # There, nothing of it is left.
    assert told.board.progress == {"rate": None, "eta_s": None}
    assert not {"target", "rate", "eta_s"} & set(lines[-1])
    nursery.cancel_scope.cancel()


async def test_too_few_peers_are_told(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    told = Told(interval_s=1)
    told.facts |= {"min_peers": 3, "peer_lists": {"live": 1}}
    with capture_logs() as lines:
        await nursery.start(told.board.run)
        await trio.sleep(1.2)
        told.facts["peer_lists"] = {"live": 3}
        await trio.sleep(2)

    assert lines[0]["min_peers"] == 3
    assert "min_peers" not in lines[-1]
    nursery.cancel_scope.cancel()
