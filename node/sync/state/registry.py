"""The syncers of a state sync, and what they owe each other.

They are started together, in the order in which they are registered, and each gets every new
target. Who is done with a target resumes when it moves. The first that cannot go on ends all
others.

    start, update --> each owes an answer --all took it--> have_target --all done--> are_done
                                                                                        |
                                                           finalize: nothing more is wanted of them
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from node.sync.state.target import SyncTarget

EffectT_co = TypeVar("EffectT_co", covariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)


class Syncer(Protocol[EventT_contra, EffectT_co]):
    """A machine that fetches one part of what belongs to a target."""

    @property
    def name(self) -> str:
        """What the registry knows it by."""
        ...

    def sync(self, target: SyncTarget, now: float) -> Sequence[EffectT_co]:
        """Begin, or take up what an earlier run has stored.

        Args:
            target: The first.
            now: Monotonic clock, seconds.
        """
        ...

    def update_target(self, target: SyncTarget, now: float) -> Sequence[EffectT_co]:
        """Go for a newer target. One that is done resumes."""
        ...

    def finalize(self) -> Sequence[EffectT_co]:
        """Want nothing more: it is done with the last target. What comes late changes nothing."""
        ...

    def handle(self, event: EventT_contra, now: float) -> Sequence[EffectT_co]:
        """Apply one event. What comes late changes nothing."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due, monotonic clock, or None."""
        ...


@dataclass(frozen=True, slots=True)
class StartSyncer:
    """Start a syncer; tell when it runs."""

    name: str
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class MoveSyncer:
    """Give a syncer a new target; tell when it has it."""

    name: str
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class FinalizeSyncer:
    """Tell a syncer that its target is the last one."""

    name: str


@dataclass(frozen=True, slots=True)
class CancelSyncer:
    """End a syncer and all that it has asked for."""

    name: str


RegistryEffect: TypeAlias = StartSyncer | MoveSyncer | FinalizeSyncer | CancelSyncer


class SyncerRegistry:
    """Keeps the order, who has which target, and the first error."""

    def __init__(self) -> None:
        """Begin empty."""
        self._names: list[str] = []
        self._active: list[str] = []
        self._owing: set[str] = set()
        """Syncers that have not taken the newest target yet."""
        self._working: set[str] = set()
        """Syncers that are not done with it."""
        self._target: SyncTarget | None = None
        self.cause: str | None = None
        """Why it ended."""

    @property
    def names(self) -> tuple[str, ...]:
        """All syncers, in the order in which they are started."""
        return tuple(self._names)

    @property
    def have_target(self) -> bool:
        """Whether every syncer has taken the newest target."""
        return self._target is not None and self.cause is None and not self._owing

    @property
    def are_done(self) -> bool:
        """Whether every syncer is done with the newest target."""
        return self.have_target and not self._working

    def register(self, name: str) -> None:
        """Add a syncer, before the start."""
        assert self._target is None, "syncers are registered before the start"
        assert name not in self._names, f"{name} is registered twice"
        self._names.append(name)

    def start(self, target: SyncTarget) -> list[RegistryEffect]:
        """Start all of them."""
        assert self._target is None, "started once"
        self._active = list(self._names)
        self._set_target(target)
        return [StartSyncer(name, target) for name in self._active]

    def update(self, target: SyncTarget) -> list[RegistryEffect]:
        """Hand a new target to all of them."""
        if self.cause is not None:
            return []
        self._set_target(target)
        return [MoveSyncer(name, target) for name in self._active]

    def took(self, name: str, target: SyncTarget) -> None:
        """Note that a syncer runs for a target. An older one is late and counts for nothing."""
        if target == self._target:
            self._owing.discard(name)

    def done(self, name: str, target: SyncTarget) -> None:
        """Note that a syncer has all of a target. What is done with an older one is not done."""
        if target == self._target:
            self._working.discard(name)

    def finalize(self) -> list[RegistryEffect]:
        """Let all of them rest. None of them can fail any more."""
        assert self.are_done, "the target is the last one"
        finalized, self._active = self._active, []
        return [FinalizeSyncer(name) for name in finalized]

    def failed(self, name: str, cause: str) -> list[RegistryEffect]:
        """End all others. Only the first error counts."""
        if self.cause is not None or name not in self._active:
            return []
        self._active.remove(name)
        return self.cancel(f"{name}: {cause}")

    def cancel(self, cause: str) -> list[RegistryEffect]:
        """End all that are running, the last first."""
        if self.cause is not None:
            return []
        self.cause = cause
        ended, self._active = self._active[::-1], []
        return [CancelSyncer(name) for name in ended]

    def _set_target(self, target: SyncTarget) -> None:
        self._target = target
        self._owing, self._working = set(self._active), set(self._active)
