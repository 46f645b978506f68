"""The task that gets a node its state, whenever it has none."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Final

import structlog
import trio

from node.chain.retention import STATE_BATCHES
from node.clock import WallClock
from node.policy import Policy
from node.services.state_session import StateSession
from node.services.state_tasks import SessionTools
from node.sync.state.coordinator import State
from node.sync.state.pivot_policy import PivotPolicy
from protocols.types import Height

log = structlog.get_logger("state_sync")

PAUSE_MIN_S: Final = 1.0
"""After an attempt that failed. Each time in a row it is twice as long, up to PAUSE_MAX_S."""

PAUSE_MAX_S: Final = 30.0
"""Longer than a macro block takes: by then there is another target."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSyncStatus:
    """How far a state sync is, for status lines and commands."""

    state: State
    target: Height
    coverage: float
    """Part of the accounts that is there, 0..1."""
    accounts: int
    """That are there."""
    total: int | None
    """Of the target's state, as far as known."""
    pivots: int
    """How often the target has moved."""
    queued: int
    """Operations that wait for the state."""
    executed: int
    """Operations that waited and are done."""
    blocks_behind: int
    """Blocks between the state and the head."""
    blocks_due: int
    """That were due since the head was made, by our clock, while the chain is not followed."""
    restarts: int
    """Times that what was stored had to be compared, or was of no use."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateSynced:
    """How the last state sync ended. Kept, because a fast one ends between two looks at it."""

    completed_at: int
    """Milliseconds since the Unix epoch."""
    seconds: float
    """Since its first attempt began."""
    height: Height
    """Of the head, which the node has executed from then on."""
    blocks_behind: int
    """That were due since the head was made, by our clock: no peer is asked."""
    target: Height
    """Whose accounts were fetched."""
    accounts: int
    """Of its state; 0 if an earlier process had fetched them all."""
    leaves: int
    """Accounts that were proven to us: with those that came more than once."""
    pivots: int
    restarts: int
    attempts: int


class _Effort:
    """What a sync has cost, over all its attempts."""

    def __init__(self, now: float) -> None:
        self.began = now
        self.leaves = 0
        self.pivots = 0
        self.restarts = 0
        self.attempts = 0

    def add(self, session: StateSession) -> None:
        """Count one attempt that is over."""
        self.leaves += session.accounts.leaves
        self.pivots += session.pivots
        self.restarts += session.accounts.restarts
        self.attempts += 1


class StateSyncService:
    """Gets the state of a node that keeps one."""

    def __init__(
        self,
        tools: SessionTools,
        *,
        pivot_interval: int | None,
        until_needed: Callable[[], Awaitable[None]],
        clock: WallClock,
    ) -> None:
        """Prepare; nothing happens before `run`.

        Args:
            tools: Of the node.
            pivot_interval: Blocks between two targets; None is the default.
            until_needed: Returns when there is no state and the newest macro block is reached:
                before that any target would be old at once.
            clock: Wall time, for the record of what has ended.
        """
        self._tools = tools
        self._chain = tools.chain
        self._pivot_interval = pivot_interval
        self._until_needed = until_needed
        self._clock = clock
        self._events = tools.writer.subscribe()
        self._session: StateSession | None = None
        self._effort: _Effort | None = None
        self._synced: StateSynced | None = None
        self._failure: str | None = None

    @property
    def failure(self) -> str | None:
        """Why the last attempt ended; None while all is well."""
        return self._failure

    @property
    def synced(self) -> StateSynced | None:
        """How the last state sync of this process ended; None if there was none."""
        return self._synced

    def status(self) -> StateSyncStatus | None:
        """Return how far it is; None while nothing is under way."""
        session = self._session
        if session is None:
            return None
        progress = session.accounts.progress
        return StateSyncStatus(
            state=session.state,
            target=session.target.number,
            coverage=1.0 if session.is_complete else progress.fraction,
            accounts=progress.accounts,
            total=progress.total,
            pivots=session.pivots,
            queued=self._chain.deferred_operations(),
            executed=session.executed,
            blocks_behind=max(self._chain.head.number - session.state_number, 0),
            blocks_due=0 if self._tools.strategy.follows_chain else self._blocks_due(),
            restarts=session.accounts.restarts,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sync whenever there is no state, until cancelled.

        Raises:
            StorageError: The disk refused.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump_chain)
            task_status.started()
            pause_s = PAUSE_MIN_S
            while True:
                await self._until_needed()
                cause, is_superseded = await self._attempt()
                self._failure = None if is_superseded else cause
                if cause is None:
                    pause_s = PAUSE_MIN_S
                    continue
                if is_superseded:
                    log.info("state_sync_superseded", reason=cause)
                    continue
                log.warning("state_sync_failed", reason=cause, next_in_s=pause_s)
                await trio.sleep(pause_s)
                pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _attempt(self) -> tuple[str | None, bool]:
        """Return why it failed, and whether only since the next one has another target."""
        policy = PivotPolicy(self._pivot_interval, retained=retained_blocks(self._chain.policy))
        self._session = session = StateSession(self._tools, policy)
        effort = self._effort = self._effort or _Effort(trio.current_time())
        try:
            cause = await session.run()
        finally:
            self._session = None
            session.close()
        effort.add(session)
        if cause is None:
            self._effort = None
            self._synced = synced = self._ended(session, effort)
            log.info("state_synced", **asdict(synced))
        return cause, session.is_superseded

    def _ended(self, session: StateSession, effort: _Effort) -> StateSynced:
        return StateSynced(
            completed_at=self._clock.now_ms(),
            seconds=round(trio.current_time() - effort.began, 3),
            height=self._chain.head.number,
            blocks_behind=self._blocks_due(),
            target=session.target.number,
            accounts=session.accounts.progress.accounts,
            leaves=effort.leaves,
            pivots=effort.pivots,
            restarts=effort.restarts,
            attempts=effort.attempts,
        )

    def _blocks_due(self) -> int:
        """Return how many blocks were due since the head was made, by our clock."""
        age_ms = max(self._clock.now_ms() - self._chain.head.timestamp, 0)
        return age_ms // self._chain.policy.block_separation_ms

    async def _pump_chain(self) -> None:
        async for event in self._events:
            if self._session is not None:
                with suppress(trio.BrokenResourceError):
                    await self._session.chain_changed(event)


def retained_blocks(policy: Policy) -> int:
    """Return how many blocks below their macro head peers keep what a target needs of them.

    Its state for some batches, and as many blocks as a validity window has.
    """
    batches = min(STATE_BATCHES, policy.validity_window_batches)
    return batches * policy.batch_length
