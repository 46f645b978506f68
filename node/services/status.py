"""Telling the outside what the node is doing: for questions that wait for news, and in the log."""

from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from node.chain.results import ChainEvent
from node.services.lanes import take_waiting
from node.services.progress import ProgressMeter
from node.sync.state.coordinator import State

log = structlog.get_logger("status")

LOOK_INTERVAL_S: Final = 0.5
"""Between two looks at what no chain event tells: peers, phase, consensus."""

Facts = dict[str, Any]
"""Plain JSON values, all of which count as news when they change."""


class StatusBoard:
    """Numbers the states of the node, so that a question can wait for the next one.

    News are looked for when the chain changes and twice a second.
    """

    def __init__(
        self,
        read: Callable[[], Facts],
        events: trio.MemoryReceiveChannel[ChainEvent],
        *,
        interval_s: float,
    ) -> None:
        """Prepare.

        Args:
            read: Returns the present facts; cheap.
            events: The chain's, for this board alone.
            interval_s: Between two status lines, unless the phase changes.
        """
        self._read = read
        self._events = events
        self._interval_s = interval_s
        self._progress: Facts = {"rate": None, "eta_s": None}
        self._facts = read() | self._progress
        self._sequence = 1
        self._news = trio.Event()
        self._next_line = 0.0
        self._meter = ProgressMeter()

    @property
    def sequence(self) -> int:
        """Number of the present state, from 1 upwards."""
        return self._sequence

    @property
    def progress(self) -> Facts:
        """How fast the node comes nearer to its target, as of the last look.

        In blocks per second; while the state is being fetched in accounts, and in operations while
        those are executed that waited for it.
        """
        return self._progress

    async def wait_after(self, sequence: int, timeout_s: float) -> None:
        """Wait until the state has another number than this, or the time is up. Cancel-safe."""
        with trio.move_on_after(timeout_s):
            while self._sequence == sequence:
                await self._news.wait()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Look for news until cancelled."""
        task_status.started()
        while True:
            with trio.move_on_after(LOOK_INTERVAL_S):
                await self._events.receive()
            # One look sees what all of a burst has led to.
            take_waiting(self._events)
            self._look()

    def _look(self) -> None:
        before, self._facts = self._facts, self._read()
        if before["phase"] != self._facts["phase"]:
            phases = {"before": before["phase"], "phase": self._facts["phase"]}
            log.debug("phase_changed", **phases, height=self._facts["height"])
        now = trio.current_time()
        self._progress = self._measure(now)
        self._facts |= self._progress
        if before != self._facts:
            self._sequence += 1
            self._news.set()
            self._news = trio.Event()
        if now >= self._next_line or before["phase"] != self._facts["phase"]:
            line = {name: self._facts[name] for name in _LINE}
            known = {name: self._facts[name] for name in _SYNC_LINE}
            if state := self._facts.get("state_sync"):
                known |= {name: state[name] for name in _STATE_LINE}
            if self._facts["peer_lists"]["live"] < self._facts["min_peers"]:
                # Else nobody can see why there is no consensus.
                known["min_peers"] = self._facts["min_peers"]
            line |= {name: value for name, value in known.items() if value is not None}
            log.info("status", **line)
            self._next_line = now + self._interval_s

    def _measure(self, now: float) -> Facts:
        facts, state = self._facts, self._facts.get("state_sync")
        phase, height, target = facts["phase"], facts["height"], facts["target"]
        if state is not None:
            phase, height, target = _way_to_state(state)
        progress = self._meter.look(now, phase=phase, height=height, target=target)
        eta = None if progress.eta_s is None else list(progress.eta_s)
        return {"rate": progress.rate, "eta_s": eta}


def _way_to_state(state: Facts) -> tuple[str, int, int | None]:
    """Return what a state sync is doing, how far it is, and how far it has to go."""
    stage = state["state"]
    if stage == State.EXECUTING_BATCH.value:
        return stage, state["executed"], state["executed"] + state["queued"]
    if stage == State.FINALIZING.value:
        # One step, and it does not say how far it is.
        return stage, 0, None
    return "state_sync", state["accounts"], state["total"]


_LINE: Final = ("phase", "height", "finalized", "peers", "consensus", "behind")
"""What a person wants to see every ten seconds."""

_SYNC_LINE: Final = ("target", "rate", "eta_s")
"""The same while the node is on its way."""

_STATE_LINE: Final = ("state", "target", "accounts", "total", "pivots", "queued", "blocks_behind")
"""The same while it fetches the state, whose rate is in accounts."""
