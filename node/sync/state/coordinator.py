"""The coordinator of a state sync: what state it is in, where it goes, when it is over.

    IDLE --start--> INITIALIZING --all syncers run--> RUNNING --------+
                         |                             |  ^  |        |
                         |                             |  +--+        | all are done with
                         |                             |  new target  | the target
                         |                             |              v
                         |                             |          FINALIZING
                         |                             |              |
                         +----- failed, cancelled -----+------+       v
                                                       |      |   EXECUTING_BATCH --+ queue not
                                                       v      |       |       ^     | empty
                                                    ABORTED <-+-------+       +-----+
                                                                      |
                                                                      +-- sealed --> COMPLETED

Which blocks are deferred is not decided here: the chain does that in the transaction of the push,
so that no block can come between. What this machine says about it (`is_deferring`) is what the
chain does as long as the sync goes on.

A new target is handed to every syncer; only when all have it does the commit target move, and the
operations up to it leave the queue. One such update is under way at a time; of those that come
meanwhile the highest counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from node.sync.state.pivot_policy import Decision, PivotPolicy
from node.sync.state.target import SyncTarget


class State(Enum):
    """Where the sync stands."""

    IDLE = "idle"
    INITIALIZING = "initializing"
    RUNNING = "running"
    FINALIZING = "finalizing"
    EXECUTING_BATCH = "executing_batch"
    COMPLETED = "completed"
    ABORTED = "aborted"


# --- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Sync to a target, going on with what an earlier run has saved."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class SyncerRuns:
    """A syncer has begun, or has taken up its saved progress."""

    name: str


@dataclass(frozen=True, slots=True)
class BlockAccepted:
    """A block became final; whether it was deferred is settled already."""

    block: SyncTarget


@dataclass(frozen=True, slots=True)
class TargetUpdated:
    """All syncers have a new target, and the commit target has moved."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class SyncerDone:
    """A syncer has all of a target."""

    name: str
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class Finalized:
    """The target's state is the node's state."""


@dataclass(frozen=True, slots=True)
class BatchExecuted:
    """Operations of the queue were executed, in order, and left it."""

    count: int
    """0 if there was none."""


@dataclass(frozen=True, slots=True)
class SealTried:
    """The queue was checked, and closed if it was empty, in one step."""

    is_sealed: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """A part cannot go on, or the sync is cancelled."""

    cause: str
    """One line; for an operation its index, their count and its kind."""


CoordinatorInput: TypeAlias = (
    Start
    | SyncerRuns
    | BlockAccepted
    | TargetUpdated
    | SyncerDone
    | Finalized
    | BatchExecuted
    | SealTried
    | Failed
)


# --- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartSyncers:
    """Start all syncers, in the order of the registry. Each answers SyncerRuns."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class UpdateTarget:
    """Give every syncer the target, then move the commit target and prune the queue up to it.

    Answer with TargetUpdated, or Failed before anything was pruned.
    """

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class Finalize:
    """Run the finalizer. Answer with Finalized or Failed."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class ExecuteBatch:
    """Execute what is in the queue now. Answer with BatchExecuted or Failed."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Close the queue if it is empty. Answer with SealTried or Failed."""


@dataclass(frozen=True, slots=True)
class CancelAll:
    """End all syncers and what they have asked for."""


@dataclass(frozen=True, slots=True)
class Done:
    """The sync is over. Comes once."""

    cause: str | None
    """None: completed."""


CoordinatorEffect: TypeAlias = (
    StartSyncers | UpdateTarget | Finalize | ExecuteBatch | Seal | CancelAll | Done
)


class Coordinator:
    """Owns one sync. One task feeds it and carries out what it asks for."""

    def __init__(self, syncers: Sequence[str], policy: PivotPolicy) -> None:
        """Begin idle.

        Args:
            syncers: Names, in the order in which they are started.
            policy: Says which accepted blocks become targets.
        """
        self._syncers = tuple(syncers)
        self._policy = policy
        self._state = State.IDLE
        self._target: SyncTarget | None = None
        self._running: set[str] = set()
        self._done: set[str] = set()
        """Syncers that are done with the present target."""
        self._updating: SyncTarget | None = None
        self._waiting: SyncTarget | None = None
        """The target to update to next."""
        self.pivots = 0
        """How often the target has moved."""

    @property
    def state(self) -> State:
        """Where the sync stands."""
        return self._state

    @property
    def target(self) -> SyncTarget | None:
        """What the syncers are on their way to."""
        return self._target

    @property
    def is_over(self) -> bool:
        """Whether nothing will happen any more."""
        return self._state in {State.COMPLETED, State.ABORTED}

    @property
    def is_deferring(self) -> bool:
        """Whether blocks are queued: otherwise the node executes them as they come."""
        return self._state not in {State.IDLE, State.COMPLETED, State.ABORTED}

    @property
    def may_pivot(self) -> bool:
        """Whether a new target would be taken."""
        return self._state is State.RUNNING

    def handle(self, event: CoordinatorInput) -> list[CoordinatorEffect]:
        """Apply one event. What makes no sense in this state changes nothing."""
        match event:
            case Start(target):
                return self._on_start(target)
            case SyncerRuns() | SyncerDone():
                return self._on_syncer(event)
            case BlockAccepted(block):
                return self._on_accepted(block)
            case TargetUpdated(target):
                return self._on_updated(target)
            case Finalized() | BatchExecuted() | SealTried():
                return self._on_replay(event)
            case Failed(cause):
                return self._abort(cause)

    def _on_start(self, target: SyncTarget) -> list[CoordinatorEffect]:
        """IDLE -> INITIALIZING."""
        if self._state is not State.IDLE:
            return []
        self._state, self._target = State.INITIALIZING, target
        return [StartSyncers(target)]

    def _on_syncer(self, event: SyncerRuns | SyncerDone) -> list[CoordinatorEffect]:
        match event:
            case SyncerRuns(name):
                return self._on_runs(name)
            case SyncerDone(name, target):
                return self._on_done(name, target)

    def _on_runs(self, name: str) -> list[CoordinatorEffect]:
        """INITIALIZING -> RUNNING, once all run."""
        if self._state is not State.INITIALIZING or name not in self._syncers:
            return []
        self._running.add(name)
        if len(self._running) < len(self._syncers):
            return []
        self._state = State.RUNNING
        return self._go_on()

    def _on_accepted(self, block: SyncTarget) -> list[CoordinatorEffect]:
        """RUNNING -> RUNNING with another target, if the policy says so."""
        if self._state is not State.RUNNING:
            return []
        newest = self._waiting or self._updating or self._target
        assert newest is not None
        if self._policy.decide(block, newest) is Decision.SKIP:
            return []
        self._waiting = block
        return self._go_on()

    def _on_updated(self, target: SyncTarget) -> list[CoordinatorEffect]:
        if self._state is not State.RUNNING or target != self._updating:
            return []
        self._target, self._updating = target, None
        self.pivots += 1
        return self._go_on()

    def _on_done(self, name: str, target: SyncTarget) -> list[CoordinatorEffect]:
        if self._state not in {State.INITIALIZING, State.RUNNING} or name not in self._syncers:
            return []
        # What is done with a target that has moved is not done.
        if target != (self._updating or self._target):
            return []
        self._done.add(name)
        return self._go_on()

    def _go_on(self) -> list[CoordinatorEffect]:
        """RUNNING: begin the next update, or -> FINALIZING when nothing is left to do."""
        if self._state is not State.RUNNING or self._updating is not None:
            return []
        if self._waiting is not None:
            self._updating, self._waiting = self._waiting, None
            self._done.clear()
            return [UpdateTarget(self._updating)]
        if len(self._done) < len(self._syncers):
            return []
        assert self._target is not None
        self._state = State.FINALIZING
        return [Finalize(self._target)]

    def _on_replay(self, event: Finalized | BatchExecuted | SealTried) -> list[CoordinatorEffect]:
        """FINALIZING -> EXECUTING_BATCH -> COMPLETED."""
        match event:
            case Finalized() if self._state is State.FINALIZING:
                self._state = State.EXECUTING_BATCH
                return [ExecuteBatch()]
            case BatchExecuted(count) if self._state is State.EXECUTING_BATCH:
                return [ExecuteBatch() if count else Seal()]
            case SealTried(is_sealed) if self._state is State.EXECUTING_BATCH:
                if not is_sealed:
                    # A block came between the two steps.
                    return [ExecuteBatch()]
                self._state = State.COMPLETED
                return [Done(None)]
            case _:
                return []

    def _abort(self, cause: str) -> list[CoordinatorEffect]:
        """Any state that is not terminal -> ABORTED."""
        if self.is_over:
            return []
        self._state = State.ABORTED
        self._updating = self._waiting = None
        return [CancelAll(), Done(cause)]
