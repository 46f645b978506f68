"""State syncs in the model world, each from its seed: whatever happens, the last state is reached.

After every commit the world checks that what is covered is the state of the stored target.
"""

import os
from random import Random

import pytest

from protocols.types import PeerId
from tests.build.state_source import Server, Source, random_state
from tests.build.state_world import World
from tests.sim.state_chaos import run_chaos, run_with_branches

SEEDS = int(os.environ.get("HEADWAY_TEST_SEEDS", "200"))
GROUPS = 10
"""Tests that share the seeds: one failure names the seed, and workers share the time."""
BRANCH_SEEDS = 40
"""Few: all branches are built anew after every commit."""
BRANCH_GROUPS = 4


@pytest.mark.parametrize("group", range(GROUPS))
def test_any_run_ends_in_the_last_state(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        try:
            run_chaos(seed)
        except AssertionError as error:
            raise AssertionError(f"./make.py races --suite accounts --replay {seed}") from error


@pytest.mark.parametrize("group", range(BRANCH_GROUPS))
def test_stored_branches_are_always_those_of_the_accounts(group: int) -> None:
    for seed in range(group, BRANCH_SEEDS, BRANCH_GROUPS):
        run_with_branches(seed)


@pytest.mark.parametrize("seed", range(12))
def test_a_process_that_ends_at_every_commit_finishes_all_the_same(seed: int) -> None:
    draw = Random(seed)
    source = Source(random_state(draw, 400), draw)
    world = World(source, seed)
    world.kill_at = set(range(1, 400, 2))
    for _ in range(draw.randint(0, 5)):
        source.grow_randomly(10)
    world.start(Server(PeerId("honest"), source, draw))
    for _ in range(draw.randint(0, 3)):
        for _ in range(100):
            world.step()
        source.grow_randomly(10)
        world.choose()
    world.run()
    assert world.effects == []


@pytest.mark.parametrize("blocks_per_s", [1, 10, 100])
def test_it_catches_a_source_that_never_rests(blocks_per_s: int) -> None:
    """The target moves at most every half second: a question and its work take a fifth."""
    draw = Random(blocks_per_s)
    source = Source(random_state(draw, 500), draw)
    world = World(source, blocks_per_s)
    world.checks_content = False

    def grow() -> None:
        source.grow_randomly(8)
        if source.head % -(-blocks_per_s // 2) == 0:
            world.choose()
        world.later(1 / blocks_per_s, grow)

    world.later(0.0, grow)
    world.start(*(Server(PeerId(name), source, draw, latency_s=0.05) for name in "ab"))
    while len(world.reached) < 3:
        assert world.step()
        assert world.now < 10
    progress = world.machine.progress
    assert progress.is_whole
    assert progress.stored == progress.newest
    world.check_whole(world.reached[-1].number)
    assert world.effects == []


@pytest.mark.parametrize("job", [5, 40])
def test_a_process_that_ends_fetches_almost_nothing_twice(job: int) -> None:
    draw = Random(job)
    source = Source(random_state(draw, 3000), draw)
    world = World(source, job)
    world.checks_content = False
    world.kill_at = {job}
    world.start(Server(PeerId("honest"), source, draw))
    world.run()
    assert world.jobs > job
    assert 0 <= world.refetched() < 0.05 * 3000
