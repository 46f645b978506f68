"""Whole nodes in trouble that is drawn from a seed. Run as a program, it prints its transcript."""

import hashlib
import sys
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import structlog
import trio
from trio.testing import MockClock

from node.net.hub import LinkConditions
from tests.build.keys import SMALL_POLICY
from tests.sim.nodes import Nodes

MIX = {"history": 1, "full": 4, "light": 1, "pico": 1}
"""The first four validate; the last full node only follows."""

POLICY = replace(SMALL_POLICY, slots=16, validity_window_batches=60)
"""Four slots for each validator; the quorum is 11 slots, three validators. What the only history
node misses has to be kept by others until it is back, so the window is longer than the trouble."""

LATE = ("full-4", "light-1")
"""Join some time after the start."""

SETTLE_S = 200.0
"""Lost links are dialled within 10 s, an outdated peer is looked at again after 60 s, and a macro
block needs some rounds of growing length when validators come back one by one."""


class NodeChaos:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"node chaos {seed}")

    async def run(self) -> None:
        """Make trouble, let it end, and check that all nodes go on with one chain."""
        async with trio.open_nursery() as nursery:
            low = self.random.uniform(0.001, 0.1)
            conditions = LinkConditions(
                latency_s=(low, low + self.random.uniform(0, 0.3)),
                loss=self.random.choice((0, 0, 0.02, 0.05)),
            )
            self.nodes = Nodes(
                nursery,
                seed=self.seed,
                mix=MIX,
                validators=4,
                policy=POLICY,
                conditions=conditions,
            )
            early = [node.spec.name for node in self.nodes.nodes if node.spec.name not in LATE]
            await self.nodes.start(early)
            await trio.sleep(self.random.uniform(0, 6))
            await self._trouble()
            self.nodes.hub.heal()
            await self.nodes.start(self._names(running=False))
            goal = max(self.nodes.final_heights()) + 2 * POLICY.batch_length
            await self.nodes.until_final(goal, within_s=SETTLE_S)
            await self.nodes.until(self._are_close, within_s=SETTLE_S)
            self.nodes.check()
            nursery.cancel_scope.cancel()

    async def _trouble(self) -> None:
        kinds = (self._partition, self._kill_one, self._kill_all, self._cut, self._start_one)
        for _ in range(self.random.randint(2, 6)):
            await self.random.choice(kinds)()
            self.nodes.check()
            await trio.sleep(self.random.uniform(0, 8))

    async def _partition(self) -> None:
        peers = [node.peer_id for node in self.nodes.nodes]
        self.nodes.hub.partition(self.random.sample(peers, self.random.randint(1, len(peers) - 1)))
        await trio.sleep(self.random.uniform(1, 40))
        self.nodes.hub.heal()

    async def _kill_one(self) -> None:
        if running := self._names(running=True):
            self.nodes.kill([self.random.choice(running)])

    async def _start_one(self) -> None:
        if stopped := self._names(running=False):
            await self.nodes.start([self.random.choice(stopped)])

    async def _kill_all(self) -> None:
        names = self._names(running=True)
        self.nodes.kill(names)
        await trio.sleep(self.random.uniform(0, 30))
        await self.nodes.start(names)

    async def _cut(self) -> None:
        first, second = self.random.sample(self.nodes.nodes, 2)
        self.nodes.hub.disconnect(first.peer_id, second.peer_id)

    def _are_close(self) -> bool:
        """Tell whether nobody lags. A block takes its time, and some messages are always lost."""
        heights = self.nodes.heights()
        return max(heights) - min(heights) <= 2

    def _names(self, *, running: bool) -> list[str]:
        return [node.spec.name for node in self.nodes.nodes if node.is_running is running]

    def transcript(self) -> str:
        """Return who had which head when, and what was sent when, as text."""
        heads = [f"{at!r} {name} {block.hex()}" for at, name, block in self.nodes.heads_seen]
        # What is sent in one moment has no order.
        sent = sorted(repr(transmission) for transmission in self.nodes.transcript)
        return "\n".join([*heads, hashlib.sha256("\n".join(sent).encode()).hexdigest()])


def run_chaos(seed: int) -> NodeChaos:
    """Run one seed in virtual time."""
    chaos = NodeChaos(seed)
    trio.run(chaos.run, clock=MockClock(autojump_threshold=0))
    return chaos


def main(arguments: Sequence[str]) -> None:
    """Print the transcript of a seed."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    sys.stdout.write(run_chaos(int(arguments[0])).transcript() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
