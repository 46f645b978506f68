"""State syncs in the model world, each from its seed: whatever happens, the last state is reached.

After every commit the world checks that what is covered is the state of the stored target.
"""

from random import Random
from typing import Any

import pytest

from node.sync.state.state_events import Restarted
from protocols.types import PeerId
from tests.build.state_source import Server, Source, random_state
from tests.build.state_world import World

SEEDS = 200
GROUPS = 10
"""Tests that share the seeds: one failure names the seed, and workers share the time."""

BLOCKS = (0, 5, 30)


ODDITIES: tuple[dict[str, Any], ...] = (
    {},
    {"lies": 0.1},
    {"lies": 1.0},
    {"silence": 0.2},
    {"silence": 1.0},
    {"latency_s": 5.0},
    {"retains": 0},
    {"retains": 3},
    {"lag": 1},
    {"lag": 5},
    {"is_busy": True},
    {"keeps_changes": False},
    {"is_stingy": True},
    {"is_stingy": True, "latency_s": 9.0},
)


class Chaos:
    """A world in which nearly everything is drawn from the seed, and one peer is honest."""

    def __init__(self, seed: int) -> None:
        self.draw = Random(seed)
        accounts = self.draw.choice([0, 1, 30, 300, 600])
        self.source = Source(random_state(self.draw, accounts), self.draw)
        self.world = World(self.source, seed)
        self.blocks = self.draw.choice(BLOCKS)
        self.pace_s = self.draw.choice([0.05, 0.3, 2.0])
        self.world.kill_at = {self.draw.randrange(1, 60) for _ in range(self.draw.choice([0, 3]))}

    def run(self) -> None:
        world = self.world
        servers = [self._server(f"odd {index}") for index in range(self.draw.randint(0, 4))]
        world.later(self.draw.uniform(0, self.pace_s), self._grow)
        if servers and self.draw.random() < 0.3:
            world.later(self.draw.uniform(0, 1), lambda: world.leave(servers[0].name))
        world.start(*servers, self._honest())
        while self.source.head < self.blocks:
            assert world.step()
        world.run()

    def _grow(self) -> None:
        if self.source.head >= self.blocks:
            return
        self.source.grow_randomly(self.draw.randint(0, 20))
        if self.draw.random() < 0.5 or self.source.head == self.blocks:
            self.world.choose()
        self.world.later(self.draw.uniform(0, self.pace_s), self._grow)

    def _honest(self) -> Server:
        return Server(
            PeerId("honest"),
            self.source,
            Random(self.draw.random()),
            latency_s=self.draw.choice([0.01, 0.2, 1.0]),
            retains=self.draw.choice([2, 1000]),
        )

    def _server(self, name: str) -> Server:
        server = Server(PeerId(name), self.source, Random(self.draw.random()))
        for field, value in self.draw.choice(ODDITIES).items():
            setattr(server, field, value)
        return server


@pytest.mark.parametrize("group", range(GROUPS))
def test_any_run_ends_in_the_last_state(group: int) -> None:
    for seed in range(group, SEEDS, GROUPS):
        chaos = Chaos(seed)
        try:
            chaos.run()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}") from error
        honest = {PeerId("honest"), *_faultless(chaos)}
        assert not honest & {peer for peer, _ in chaos.world.faults}, f"seed {seed}"
        assert not any(isinstance(effect, Restarted) for effect in chaos.world.effects), seed


def _faultless(chaos: Chaos) -> set[PeerId]:
    return {name for name, server in chaos.world.servers.items() if not server.lies}


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
    assert progress.blocks_behind == 0
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
