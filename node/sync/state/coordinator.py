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

Which blocks are deferred is not decided here: the chain's engine hooks do that in the transaction
of the push, so that no block can come between. They defer until the queue is sealed, so between an
aborted sync and the next one too: a chain without its state cannot execute blocks as they come.

A new target is handed to every syncer; only when all have it does the commit target move, and the
operations up to it leave the queue. One such update is under way at a time; of those that come
meanwhile the highest counts. The first target is committed before the syncers start: what they
store belongs to it. What they owe each other is the registry's matter.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from node.sync.state.pivot_policy import Decision, PivotPolicy
from node.sync.state.registry import RegistryEffect, SyncerRegistry
from node.sync.state.target import SyncTarget

MAX_FRUITLESS: Final = 8
"""Tries to seal in a row after which no fewer blocks are left than there were once. Then the chain
grows about as fast as it is executed, and the rest is executed at once: else the sync would not
end."""


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
class TargetCommitted:
    """The store is on the way to a target, and operations up to it have left the queue."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class SyncerTook:
    """A syncer runs for a target: it has begun, taken up its saved progress, or changed its aim."""

    name: str
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class SyncerDone:
    """A syncer has all of a target."""

    name: str
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class SyncerFailed:
    """A syncer cannot go on."""

    name: str
    cause: str
    """One line."""


@dataclass(frozen=True, slots=True)
class BlockAccepted:
    """A block became final; whether it was deferred is settled already."""

    block: SyncTarget


@dataclass(frozen=True, slots=True)
class TargetLost:
    """Nobody has what belongs to the target any more: another one is taken, whatever the policy."""

    replacement: SyncTarget
    """Accepted. One that is not above the target changes nothing."""


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
    """The queue was checked, and closed if nothing was left to execute, in one step."""

    is_sealed: bool
    left: int = 0
    """Blocks above the macro head that are still to be executed, if that is why it was not."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Something besides the syncers cannot go on, or the sync is cancelled."""

    cause: str
    """One line; for an operation its index, their count and its kind."""


CoordinatorInput: TypeAlias = (
    Start
    | TargetCommitted
    | SyncerTook
    | SyncerDone
    | SyncerFailed
    | BlockAccepted
    | TargetLost
    | Finalized
    | BatchExecuted
    | SealTried
    | Failed
)


# --- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CommitTarget:
    """Move the commit target, and take operations up to it out of the queue, in one transaction.

    Answer with TargetCommitted, or Failed if nothing has happened.
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
    """Execute some blocks above the macro head, and close the queue if nothing is left.

    Answer with SealTried or Failed.
    """

    takes_all: bool = False
    """Leave nothing, however long blocks that come meanwhile have to wait."""


@dataclass(frozen=True, slots=True)
class Done:
    """The sync is over. Comes once."""

    cause: str | None
    """None: completed."""


CoordinatorEffect: TypeAlias = RegistryEffect | CommitTarget | Finalize | ExecuteBatch | Seal | Done
"""Those of the registry are about one syncer each; StartSyncer and MoveSyncer are answered with
SyncerTook."""


class Coordinator:
    """Owns one sync. One task feeds it and carries out what it asks for."""

    def __init__(self, syncers: SyncerRegistry, policy: PivotPolicy) -> None:
        """Begin idle.

        Args:
            syncers: All of them, not started. Nobody else tells them anything.
            policy: Says which accepted blocks become targets.
        """
        self._syncers = syncers
        self._policy = policy
        self._state = State.IDLE
        self._target: SyncTarget | None = None
        self._updating: SyncTarget | None = None
        self._waiting: SyncTarget | None = None
        """The target to update to next."""
        self.pivots = 0
        """How often the target has moved."""
        self._least_left: int | None = None
        """Fewest blocks that a try to seal has left."""
        self._fruitless = 0
        """Tries since."""

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
    def may_pivot(self) -> bool:
        """Whether a new target would be taken."""
        return self._state is State.RUNNING

    def handle(self, event: CoordinatorInput) -> list[CoordinatorEffect]:
        """Apply one event. What makes no sense in this state changes nothing."""
        match event:
            case Start() | TargetCommitted() | BlockAccepted() | TargetLost():
                return self._on_target(event)
            case SyncerTook() | SyncerDone() | SyncerFailed():
                return self._on_syncer(event)
            case Finalized() | BatchExecuted() | SealTried():
                return self._on_replay(event)
            case Failed(cause):
                return [] if self.is_over else self._abort(cause, self._syncers.cancel(cause))

    # --- targets ----------------------------------------------------------------------------------

    def _on_target(
        self, event: Start | TargetCommitted | BlockAccepted | TargetLost
    ) -> list[CoordinatorEffect]:
        match event:
            case Start(target):
                return self._on_start(target)
            case TargetCommitted(target):
                return self._on_committed(target)
            case BlockAccepted(block):
                return self._on_accepted(block, is_forced=False)
            case TargetLost(block):
                return self._on_accepted(block, is_forced=True)

    def _on_start(self, target: SyncTarget) -> list[CoordinatorEffect]:
        """IDLE -> INITIALIZING."""
        if self._state is not State.IDLE:
            return []
        self._state, self._target, self._updating = State.INITIALIZING, target, target
        return [CommitTarget(target)]

    def _on_committed(self, target: SyncTarget) -> list[CoordinatorEffect]:
        """The first target: start all. A later one: the pivot is over."""
        if self.is_over or target != self._updating:
            return []
        self._target, self._updating = target, None
        if self._state is State.INITIALIZING:
            return [*self._syncers.start(target)]
        self.pivots += 1
        return self._go_on()

    def _on_accepted(self, block: SyncTarget, *, is_forced: bool) -> list[CoordinatorEffect]:
        """RUNNING -> RUNNING with another target, if the policy says so or there is no choice."""
        if self._state is not State.RUNNING:
            return []
        newest = self._waiting or self._updating or self._target
        assert newest is not None
        is_wanted = self._policy.decide(block, newest) is not Decision.SKIP
        if not is_wanted and not (is_forced and block.number > newest.number):
            return []
        self._waiting = block
        return self._go_on()

    # --- syncers ----------------------------------------------------------------------------------

    def _on_syncer(self, event: SyncerTook | SyncerDone | SyncerFailed) -> list[CoordinatorEffect]:
        match event:
            case SyncerTook(name, target):
                return self._on_took(name, target)
            case SyncerDone(name, target):
                self._syncers.done(name, target)
                return self._go_on()
            case SyncerFailed(name, cause):
                cancelled = self._syncers.failed(name, cause)
                found = self._syncers.cause
                return [] if self.is_over or found is None else self._abort(found, cancelled)

    def _on_took(self, name: str, target: SyncTarget) -> list[CoordinatorEffect]:
        """INITIALIZING -> RUNNING once all run; RUNNING: commit a target once all have it."""
        had_target = self._syncers.have_target
        self._syncers.took(name, target)
        if had_target or not self._syncers.have_target:
            return []
        if self._state is State.INITIALIZING:
            self._state = State.RUNNING
            return self._go_on()
        assert self._updating is not None
        return [CommitTarget(self._updating)]

    def _go_on(self) -> list[CoordinatorEffect]:
        """RUNNING: begin the next update, or -> FINALIZING when nothing is left to do."""
        if self._state is not State.RUNNING or self._updating is not None:
            return []
        if self._waiting is not None:
            self._updating, self._waiting = self._waiting, None
            return [*self._syncers.update(self._updating)]
        if not self._syncers.are_done:
            return []
        assert self._target is not None
        self._state = State.FINALIZING
        return [*self._syncers.finalize(), Finalize(self._target)]

    # --- the end ----------------------------------------------------------------------------------

    def _on_replay(self, event: Finalized | BatchExecuted | SealTried) -> list[CoordinatorEffect]:
        """FINALIZING -> EXECUTING_BATCH -> COMPLETED."""
        match event:
            case Finalized() if self._state is State.FINALIZING:
                self._state = State.EXECUTING_BATCH
                return [ExecuteBatch()]
            case BatchExecuted(count) if self._state is State.EXECUTING_BATCH:
                return [ExecuteBatch() if count else self._seal()]
            case SealTried(False, left) if self._state is State.EXECUTING_BATCH:
                # Final blocks came meanwhile, or there were too many others for one step.
                self._note_left(left)
                return [self._seal() if left else ExecuteBatch()]
            case SealTried() if self._state is State.EXECUTING_BATCH:
                self._state = State.COMPLETED
                return [Done(None)]
            case _:
                return []

    def _seal(self) -> Seal:
        return Seal(takes_all=self._fruitless >= MAX_FRUITLESS)

    def _note_left(self, left: int) -> None:
        if left and (self._least_left is None or left < self._least_left):
            self._least_left, self._fruitless = left, 0
        else:
            self._fruitless += 1

    def _abort(self, cause: str, cancelled: list[RegistryEffect]) -> list[CoordinatorEffect]:
        """Any state that is not terminal -> ABORTED."""
        self._state = State.ABORTED
        self._updating = self._waiting = None
        return [*cancelled, Done(cause)]
