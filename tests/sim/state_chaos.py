"""Fetching accounts from odd peers while the target moves and the process ends: all from a seed."""

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from node.sync.state.state_events import Restarted
from node.sync.state.state_limits import StateLimits
from protocols.types import PeerId
from tests.build.state_source import Server, Source, random_state
from tests.build.state_world import LIMITS, World

BLOCKS = (0, 5, 30)
SIZES = (0, 1, 30, 300, 600)
"""Accounts."""

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

    def __init__(
        self, seed: int, *, sizes: Sequence[int] = SIZES, limits: StateLimits = LIMITS
    ) -> None:
        self.draw = Random(seed)
        accounts = self.draw.choice(sizes)
        self.source = Source(random_state(self.draw, accounts), self.draw)
        self.world = World(self.source, seed, limits=limits)
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


def run_chaos(seed: int) -> Chaos:
    """Run one seed, and check that it ends in the last state with nobody blamed who is honest."""
    return checked(Chaos(seed))


def run_with_branches(seed: int) -> Chaos:
    """Run one seed with ranges that hold whole subtrees, and look at branches at each commit."""
    chaos = Chaos(seed, sizes=(600, 2500), limits=replace(LIMITS, range_leaves=500))
    chaos.world.checks_branches = True
    return checked(chaos)


def checked(chaos: Chaos) -> Chaos:
    """Let it run and end well."""
    chaos.run()
    faultless = {name for name, server in chaos.world.servers.items() if not server.lies}
    honest = {PeerId("honest"), *faultless}
    assert not honest & {peer for peer, _ in chaos.world.faults}, chaos.world.faults
    assert not any(isinstance(effect, Restarted) for effect in chaos.world.effects)
    return chaos
