"""The three parts of a state sync as its task drives them: each a machine and its outside world."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.history_tree import Peaks
from node.chain.retention import STATE_BATCHES
from node.errors import Fault
from node.services import state_journal as journal
from node.services.accounts_journal import AccountsJournal
from node.services.progress import Milestones
from node.services.state_answers import Ask
from node.storage.store import Store, Writer
from node.sync.effects import ReportPeer
from node.sync.state import coverage as stored_coverage
from node.sync.state import state_store
from node.sync.state.block_syncer import BlockSyncer
from node.sync.state.history_syncer import HistorySyncer
from node.sync.state.part_events import (
    AskBlocks,
    AskPeaks,
    BatchStored,
    BlockEffect,
    FindLowest,
    HistoryEffect,
    LowestFound,
    PartEffect,
    StoreBatch,
)
from node.sync.state.registry import Syncer
from node.sync.state.state_events import (
    ApplyBlocks,
    AskChanges,
    AskRange,
    AskSubtrees,
    Begin,
    Build,
    CancelQuestion,
    CheckChanges,
    CheckRange,
    CompareSubtrees,
    JobDone,
    KeepEqual,
    RangeChecked,
    RepairStarted,
    Restarted,
    StateEffect,
    StateInput,
    TargetPassed,
    TargetReached,
    TargetTooOld,
    WriteParts,
)
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_progress import StateProgress
from node.sync.state.state_syncer import StateSyncer
from node.sync.state.state_work import run_check_changes, run_check_range, run_compare, run_job
from node.sync.state.target import SyncTarget
from protocols.types import Height, PeerId, Service

Event: TypeAlias = Any
"""An input of the machine of the part that it goes to."""

EffectT = TypeVar("EffectT")


class Outside(Protocol):
    """What a part can have done. Nothing of it waits: answers come back as events of the part."""

    def ask(self, part: str, ask: Ask) -> None:
        """Ask a peer."""
        ...

    def cancel(self, part: str, question: int) -> None:
        """Give up a question."""
        ...

    def work(self, part: str, task: Callable[[], Event]) -> None:
        """Do something slow that only reads."""
        ...

    def in_turn(self, part: str, task: Callable[[], Event]) -> None:
        """Change the store through the chain, in turn with pushes."""
        ...

    def commit(self, part: str, task: Callable[[Writer], Event]) -> None:
        """Change the store in a transaction of its own, in turn with pushes."""
        ...

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Take score from a peer."""
        ...

    def reached(self, part: str, target: SyncTarget) -> None:
        """Note that a part has all of a target."""
        ...

    def too_old(self, part: str, target: SyncTarget) -> None:
        """Note that nobody has what a part needs of a target any more."""
        ...

    def fail(self, part: str, cause: str) -> None:
        """Note that a part cannot go on."""
        ...


class Part(Protocol):
    """One part of the sync. All of it is called by one task."""

    @property
    def name(self) -> str:
        """What the registry knows it by."""
        ...

    @property
    def services(self) -> Service:
        """What a peer must serve to be asked."""
        ...

    def start(self, target: SyncTarget) -> None:
        """Begin."""
        ...

    def move(self, target: SyncTarget) -> None:
        """Go for a newer target."""
        ...

    def finalize(self) -> None:
        """Want nothing more: its target is the last one."""
        ...

    def feed(self, event: Event) -> None:
        """Take an event, and have done what follows from it."""
        ...

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is to be fed, monotonic clock, or None."""
        ...


class _MachinePart(Generic[EffectT]):
    """What all parts do the same way: feed their machine, and carry out what it asks for."""

    def __init__(self, outside: Outside, machine: Syncer[Event, EffectT]) -> None:
        self._outside = outside
        self._machine = machine
        self.name = machine.name

    def start(self, target: SyncTarget) -> None:
        """Begin."""
        self._perform_all(self._machine.sync(target, trio.current_time()))

    def move(self, target: SyncTarget) -> None:
        """Go for a newer target."""
        self._perform_all(self._machine.update_target(target, trio.current_time()))

    def finalize(self) -> None:
        """Want nothing more: its target is the last one."""
        self._perform_all(self._machine.finalize())

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is to be fed."""
        return self._machine.next_deadline()

    def feed(self, event: Event) -> None:
        """Take an event, and have done what follows from it."""
        self._perform_all(self._machine.handle(event, trio.current_time()))

    def _perform_all(self, effects: Sequence[EffectT]) -> None:
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: EffectT) -> None:
        raise NotImplementedError

    def _perform_common(self, effect: PartEffect) -> None:
        """Carry out what all of them want."""
        match effect:
            case CancelQuestion(question):
                self._outside.cancel(self.name, question)
            case ReportPeer(peer, fault):
                self._outside.report(peer, fault)
            case TargetReached(target):
                self._outside.reached(self.name, target)
            case TargetTooOld(target):
                self._outside.too_old(self.name, target)


class AccountsPart(_MachinePart[StateEffect]):
    """All accounts."""

    services = Service.STATE

    def __init__(self, outside: Outside, chain: Chain, store: Store, limits: StateLimits) -> None:
        """Go on where the store stands."""
        with store.read() as reader:
            stored, coverage = state_store.load(reader), stored_coverage.load(reader)
        self._accounts = StateSyncer(stored, coverage, limits)
        super().__init__(outside, self._accounts)
        self._chain = chain
        self._store = store
        self.leaves = 0
        """Accounts that have been proven to us."""
        self.restarts = 0
        """Times that what was stored turned out to be of no use, in part or at all."""
        self._milestones = Milestones()
        self._journal = AccountsJournal()
        self._waiting: SyncTarget | None = None
        """The target that it does not go for before blocks below it are stored."""

    @property
    def progress(self) -> StateProgress:
        """How far it is."""
        return self._accounts.progress

    def start(self, target: SyncTarget) -> None:
        """Begin."""
        self.move(target)

    def move(self, target: SyncTarget) -> None:
        """Go for a newer target, once the changes that lead to it can be compared with headers."""
        self._waiting = target
        self.look_for_headers(are_all_stored=False)

    def look_for_headers(self, *, are_all_stored: bool) -> None:
        """Go for the target that waits, if there is no use in waiting any more.

        After macro blocks were adopted the blocks below them come with the window. What is too far
        below them for anybody to have its changes does not wait for that.

        Args:
            are_all_stored: No more blocks will come.
        """
        target = self._waiting
        if target is not None and (are_all_stored or not self._waits_for_headers(target)):
            self._waiting = None
            super().move(target)

    def _waits_for_headers(self, target: SyncTarget) -> bool:
        stored = self.progress.stored
        first = target.number if stored is None else stored.number + 1
        if target.number - first > STATE_BATCHES * self._chain.policy.batch_length:
            return False
        heights = range(target.number, first - 1, -1)
        return any(self._chain.hash_at(height) is None for height in heights)

    def feed(self, event: StateInput) -> None:
        """Take an event, and have done what follows from it."""
        if isinstance(event, RangeChecked) and event.records is not None:
            self.leaves += len(event.records)
        self._journal.on_event(event, trio.current_time())
        super().feed(event)
        if isinstance(event, JobDone):
            self._note_coverage()

    def _note_coverage(self) -> None:
        progress = self.progress
        percent = self._milestones.look(progress.fraction)
        if percent is not None:
            journal.note_coverage(percent, progress)

    def _perform(self, effect: StateEffect) -> None:
        self._journal.on_effect(effect, trio.current_time())
        match effect:
            case AskRange() | AskChanges() | AskSubtrees():
                self._outside.ask(self.name, effect)
            case CheckRange() | CheckChanges() | CompareSubtrees():
                self._outside.work(self.name, lambda: self._check(effect))
            case Begin() | WriteParts() | ApplyBlocks() | Build() | KeepEqual():
                if isinstance(effect, KeepEqual):
                    journal.note_trouble(effect)
                self._outside.commit(self.name, lambda writer: run_job(effect, writer))
            case TargetPassed() | RepairStarted() | Restarted():
                self._note(effect)
            case _:
                self._perform_common(effect)

    def _note(self, effect: TargetPassed | RepairStarted | Restarted) -> None:
        match effect:
            case TargetPassed(stored):
                cause = f"what is stored belongs to block {stored.number} already"
                self._outside.fail(self.name, cause)
            case RepairStarted() | Restarted():
                self.restarts += 1
                journal.note_trouble(effect)

    def _check(self, check: CheckRange | CheckChanges | CompareSubtrees) -> StateInput:
        match check:
            case CheckRange():
                return run_check_range(check)
            case CheckChanges():
                return run_check_changes(check, self._header_at)
            case CompareSubtrees():
                with self._store.read() as reader:
                    return run_compare(check, reader)

    def _header_at(self, height: Height) -> Any:
        found = self._chain.hash_at(height)
        return None if found is None else self._chain.header(found)


class BlocksPart(_MachinePart[BlockEffect]):
    """The blocks of the validity window."""

    services = Service.BODIES

    def __init__(self, outside: Outside, chain: Chain, limits: StateLimits) -> None:
        """Begin idle."""
        super().__init__(outside, BlockSyncer(chain.policy, limits))
        self._chain = chain

    def _perform(self, effect: BlockEffect) -> None:
        match effect:
            case AskBlocks():
                self._outside.ask(self.name, effect)
            case FindLowest(name, target):
                self._outside.work(
                    self.name, lambda: LowestFound(name, self._chain.lowest_whole(target))
                )
            case StoreBatch(name, blocks):
                self._outside.in_turn(self.name, lambda: self._store(name, blocks))
            case _:
                self._perform_common(effect)

    def _store(self, name: int, blocks: Sequence[Block]) -> BatchStored:
        invalid = self._chain.store_batch(blocks)
        if invalid is not None:
            return BatchStored(name, invalid)
        # An earlier attempt may have left more below it.
        return BatchStored(name, None, self._chain.lowest_whole(blocks[-1].number))


class HistoryPart(_MachinePart[HistoryEffect]):
    """What it takes to extend the history of transactions."""

    services = Service.STATE

    def __init__(self, outside: Outside, limits: StateLimits) -> None:
        """Begin idle."""
        self._history = HistorySyncer(limits)
        super().__init__(outside, self._history)

    @property
    def peaks(self) -> Peaks | None:
        """Those of the newest target."""
        return self._history.peaks

    def _perform(self, effect: HistoryEffect) -> None:
        match effect:
            case AskPeaks():
                self._outside.ask(self.name, effect)
            case _:
                self._perform_common(effect)
