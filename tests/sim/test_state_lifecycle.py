"""How a state sync begins and ends: cut off in the middle, and begun while blocks came."""

from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from node.chain.state_mode import sync_target
from node.services.state_sync import StateSyncService
from tests.sim.state_race import FIRST, LAST_STEPS, LIMITS, LOOK_S, Race, scheduled

SINGLY = replace(LIMITS, range_leaves=2)
"""So small that a sync takes more than fifty answers."""

BOUND_S = 1.0
"""For a sync to return once it is cancelled: no answer takes less on a slow line."""

SETTLE_S = 12.0
"""Longer than any answer that is still on its way, and than any request waits."""


async def until_answered(race: Race, count: int) -> None:
    while race.answers < count:  # noqa: ASYNC110 - virtual time, and no event for it
        await trio.sleep(0.01)


def open_requests(race: Race) -> int:
    return sum(len(link.pending) for link in race.network._links.values())


async def run_for_a_while(race: Race, service: StateSyncService, answers: int) -> float:
    """Let a sync get so many answers, cancel it, and return how long it took to return."""
    async with trio.open_nursery() as sync:
        sync.start_soon(service.run)
        await until_answered(race, race.answers + answers)
        cancelled_at = trio.current_time()
        sync.cancel_scope.cancel()
    return trio.current_time() - cancelled_at


@pytest.mark.parametrize("answers", [10, 50])
@pytest.mark.parametrize("seed", [2, 3])
async def test_cancelled_at_an_answer_it_returns_at_once_and_leaves_nothing(
    seed: int, answers: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Tasks and requests are back where they were, and the next attempt has all its places."""
    race = Race(seed, limits=SINGLY)
    race.held, race.kills = len(race.above), -1
    with scheduled(seed):
        await race.prepare(nursery)
        chain = await race.begin(nursery)
        await trio.sleep(SETTLE_S)
        tasks = trio.lowlevel.current_statistics().tasks_living
        assert await run_for_a_while(race, race.service, answers) < BOUND_S
        assert open_requests(race) == 0
        await trio.sleep(SETTLE_S)
        assert trio.lowlevel.current_statistics().tasks_living == tasks

        race.remake_service()
        nursery.start_soon(race.service.run)
        with trio.fail_after(600):
            while not chain.has_state:  # noqa: ASYNC110 - virtual time, and no event for it
                await trio.sleep(LOOK_S)
    nursery.cancel_scope.cancel()


async def test_what_became_final_while_no_session_was_there_is_its_target(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A pivot that comes while a session is being built anew is not lost."""
    race = Race(4, limits=SINGLY)
    race.gap_s, race.held, race.interval, race.kills = 0.0, len(race.above), 12, -1
    await race.prepare(nursery)
    chain = await race.begin(nursery)
    await run_for_a_while(race, race.service, 10)
    with race.store.read() as reader:
        assert sync_target(reader) == race.grown.builder.block_at(FIRST).hash

    race.store.note_final_commit(LAST_STEPS)
    while race.pushed < len(race.above):  # noqa: ASYNC110 - virtual time, and no event for it
        await trio.sleep(0.1)
    race.remake_service()
    await run_for_a_while(race, race.service, 3)
    with race.store.read() as reader:
        assert sync_target(reader) == chain.macro_head.hash
    assert chain.macro_head.number > FIRST
    nursery.cancel_scope.cancel()
