"""The machine that fetches all accounts of a target that moves.

                    ranges of the stored target's state         changes of the blocks above it
                    RangeFetcher                                ChangeFetcher
                         | parts                                     | lots
                         v                                           v
    jobs, one at a time:  BEGIN   WRITE parts   APPLY a lot   BUILD branches   KEEP what is equal
                                                                  |                ^
    everything covered -------------------------------------------+                |
        root equal: whole, and the next lots keep it whole        |                |
        root differs, or changes that nobody has any more: REPAIR +--> Repairer ---+

The stored target is the block that the covered accounts belong to. It moves with each lot of
changes, towards the newest target. A part that was proven for an older target is rolled forward
with the changes since then before it is written. While a repair is under way nothing else is.

What the store says is the truth: each job answers with it, and a machine that is made anew from it
goes on where the last one was.
"""

from collections.abc import Iterable
from typing import Final

from node.errors import Fault
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state import change_fetcher, range_fetcher, repairer
from node.sync.state.block_changes import RecentChanges
from node.sync.state.change_fetcher import ChangeFetcher
from node.sync.state.coverage import EVERYTHING, Coverage
from node.sync.state.questions import (
    About,
    AboutChanges,
    AboutRange,
    AboutSubtrees,
    Outcome,
    Question,
    Questions,
    Worth,
)
from node.sync.state.range_fetcher import RangeFetcher
from node.sync.state.repairer import Repairer
from node.sync.state.state_events import (
    ApplyBlocks,
    Begin,
    Build,
    CancelQuestion,
    ChangesArrived,
    ChangesChecked,
    Job,
    JobDone,
    KeepEqual,
    RangeArrived,
    RangeChecked,
    RepairStarted,
    Restarted,
    ServerJoined,
    ServerLeft,
    StateEffect,
    StateFailed,
    StateInput,
    StateRefused,
    StateUnavailable,
    SubtreesArrived,
    SubtreesCompared,
    TargetChosen,
    TargetPassed,
    TargetReached,
    TargetTooOld,
    WriteParts,
)
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.state_peers import StatePeers
from node.sync.state.state_progress import StateProgress
from node.sync.state.state_store import StoredSync
from node.sync.state.target import SyncTarget
from protocols.types import Height, PeerId

NAME: Final = "accounts"


class StateSyncer:
    """One sync of the accounts. Implements `Syncer`; one task feeds it."""

    def __init__(
        self, stored: StoredSync, coverage: Coverage, limits: StateLimits = DEFAULT_LIMITS
    ) -> None:
        """Go on where the store stands.

        Args:
            stored: How far the last one came.
            coverage: As stored.
            limits: Its bounds.
        """
        self._limits = limits
        self._stored = stored
        self._peers = StatePeers(limits)
        self._questions = Questions(self._peers, limits)
        self._ranges = RangeFetcher(self._questions, limits)
        self._changes = ChangeFetcher(self._questions, limits)
        self._recent = RecentChanges(limits.kept_changes)
        self._repairer: Repairer | None = None
        self._repairs = 0
        """After wrong roots, in a row."""
        self._job: Job | None = None
        self._is_built = False
        """Whether the branches belong to the accounts, whole or not."""
        self._goes_on = False
        """Whether the last job was only a part of what is to be built."""
        self._newest: SyncTarget | None = None
        self._reached: SyncTarget | None = None
        """The target that was last told to be reached."""
        self._too_old: SyncTarget | None = None
        """The target that was last told to be too old."""
        if stored.target is not None:
            gaps = coverage.gaps()
            self._ranges.reset(gaps)
            self._ranges.expect(stored.accounts, gaps)

    @property
    def name(self) -> str:
        """What the registry knows it by."""
        return NAME

    @property
    def progress(self) -> StateProgress:
        """How far it is."""
        return StateProgress(
            stored=self._stored.target,
            newest=self._newest,
            accounts=self._stored.accounts,
            total=self._ranges.total,
            is_whole=self._stored.is_whole,
        )

    @property
    def held_answers(self) -> int:
        """Ranges asked for, being checked or waiting to be written: bounded."""
        return self._ranges.held

    def sync(self, target: SyncTarget, now: float) -> list[StateEffect]:
        """Begin, or take up what an earlier run has stored."""
        return self.update_target(target, now)

    def update_target(self, target: SyncTarget, now: float) -> list[StateEffect]:
        """Go for a newer target. The same one, or one below the last, changes nothing."""
        return self.handle(TargetChosen(target), now)

    def finalize(self) -> list[StateEffect]:
        """Want nothing more: it is done with the last target."""
        self._newest = None
        return self._drop_all()

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due, monotonic clock, or None."""
        times = [self._questions.next_deadline()]
        if self._newest is not None:
            times.append(self._peers.next_release())
        return min((time for time in times if time is not None), default=None)

    def handle(self, event: StateInput, now: float) -> list[StateEffect]:
        """Apply one event. What comes late changes nothing."""
        self._peers.end_pauses(now)
        return self._on_event(event, now) + self._step(now)

    def _on_event(self, event: StateInput, now: float) -> list[StateEffect]:
        match event:
            case TargetChosen() | ServerJoined() | ServerLeft():
                return self._on_change(event)
            case RangeArrived() | ChangesArrived() | SubtreesArrived():
                return self._on_answer(event, now)
            case StateUnavailable() | StateRefused() | StateFailed():
                return self._on_no_answer(event, now)
            case RangeChecked() | ChangesChecked() | SubtreesCompared():
                return self._on_checked(event, now)
            case JobDone():
                return self._on_job_done(event)
            case DeadlinePassed():
                return self._on_deadline(now)

    # --- targets and peers ------------------------------------------------------------------------

    def _on_change(self, event: TargetChosen | ServerJoined | ServerLeft) -> list[StateEffect]:
        match event:
            case TargetChosen(target):
                return self._on_target(target)
            case ServerJoined(peer):
                self._peers.add(peer)
                return []
            case ServerLeft(peer):
                return self._on_left(peer)

    def _on_target(self, target: SyncTarget) -> list[StateEffect]:
        if self._newest is not None and target.number <= self._newest.number:
            is_same = target.number < self._newest.number or target.hash == self._newest.hash
            assert is_same, "a target is final, so no other block has its height"
            return []
        self._newest = target
        stored = self._stored.target
        if stored is not None and stored.number > target.number:
            self._newest = stored
            return [TargetPassed(stored)]
        return []

    def _on_left(self, peer: PeerId) -> list[StateEffect]:
        cancelled = self._give_up_all(peer)
        self._peers.remove(peer)
        return cancelled

    def _on_deadline(self, now: float) -> list[StateEffect]:
        late = self._questions.late(now)
        for name in late:
            question = self._give_up(name)
            if question is not None:
                self._peers.failed(question.peer, now)
        return [CancelQuestion(name) for name in late]

    # --- answers ----------------------------------------------------------------------------------

    def _on_answer(
        self, event: RangeArrived | ChangesArrived | SubtreesArrived, now: float
    ) -> list[StateEffect]:
        question = self._questions.get(event.id)
        if question is None:
            return []
        self._questions.close(event.id)
        check: StateEffect | None = None
        match event, question.about:
            case RangeArrived(name, answer), AboutRange():
                check = self._ranges.arrived(name, question.peer, answer)
            case ChangesArrived(_, changes), AboutChanges() as about:
                check = self._changes.arrived(about, question.peer, changes)
            case SubtreesArrived(_, nodes), AboutSubtrees() as about if self._repairer is not None:
                check = self._repairer.arrived(about, question.peer, nodes)
            case _:
                raise AssertionError("the driver answers with what was asked for")
        return self._lied(question.peer, now) if check is None else [check]

    def _on_no_answer(
        self, event: StateUnavailable | StateRefused | StateFailed, now: float
    ) -> list[StateEffect]:
        question = self._questions.get(event.id)
        if question is None:
            return []
        match event:
            case StateFailed():
                self._peers.failed(question.peer, now)
                self._give_up(event.id)
            case StateUnavailable(_, oldest, _):
                if _is_below(question.about, oldest):
                    self._peers.never_has(question.peer, question.topic)
                else:
                    # It has not come there yet, or it is on a fork that it will leave.
                    self._peers.lacks(question.peer, question.topic, now)
                self._release(event.id)
            case StateRefused(_, status):
                self._peers.refused(question.peer, question.topic, status, now)
                self._release(event.id)
        return []

    def _on_checked(
        self, event: RangeChecked | ChangesChecked | SubtreesCompared, now: float
    ) -> list[StateEffect]:
        outcome: Outcome | None = None
        match event:
            case RangeChecked():
                outcome = self._ranges.checked(event)
            case ChangesChecked():
                outcome = self._changes.checked(event)
            case SubtreesCompared() if self._repairer is not None:
                outcome = self._repairer.compared(event)
            case _:
                pass
        if outcome is None:
            return []
        return self._on_outcome(*outcome, now)

    def _on_outcome(self, peer: PeerId, worth: Worth, now: float) -> list[StateEffect]:
        match worth:
            case Worth.FALSE:
                return self._lied(peer, now)
            case Worth.SHORT:
                self._peers.failed(peer, now)
            case Worth.SOUND:
                self._peers.succeeded(peer)
        return []

    def _lied(self, peer: PeerId, now: float) -> list[StateEffect]:
        reported: list[StateEffect] = [ReportPeer(peer, Fault.INVALID_PROOF)]
        if not self._peers.lied(peer, now):
            return reported
        return reported + self._give_up_all(peer)

    def _give_up_all(self, peer: PeerId) -> list[StateEffect]:
        """End all questions to a peer."""
        names = self._questions.of(peer)
        for name in names:
            self._give_up(name)
        return [CancelQuestion(name) for name in names]

    def _give_up(self, name: int) -> Question | None:
        """End a question that its peer has not answered."""
        question = self._questions.close(name)
        if question is None:
            return None
        match question.about:
            case AboutRange():
                self._ranges.failed(name, question.peer)
            case AboutChanges():
                self._changes.failed(question.peer)
            case AboutSubtrees():
                if self._repairer is not None:
                    self._repairer.failed(question.peer)
        return question

    def _release(self, name: int) -> None:
        """End a question that came to nothing without anybody's fault."""
        question = self._questions.close(name)
        assert question is not None
        match question.about:
            case AboutRange():
                self._ranges.released(name)
            case AboutChanges():
                self._changes.released()
            case AboutSubtrees():
                if self._repairer is not None:
                    self._repairer.released()

    # --- jobs -------------------------------------------------------------------------------------

    def _on_job_done(self, event: JobDone) -> list[StateEffect]:
        job, before = self._job, self._stored
        if job is None or job.id != event.id:
            return []
        self._job, self._stored = None, event.stored
        self._goes_on = not event.is_complete
        if self._goes_on:
            self._is_built = False
            return []
        self._is_built = isinstance(job, Build) or event.stored.is_whole
        match job:
            case Begin():
                self._ranges.reset([EVERYTHING])
            case ApplyBlocks(_, blocks):
                self._changes.applied()
                self._recent.add(blocks)
                if before.is_whole and not event.stored.is_whole:
                    return self._on_wrong_root()
            case Build() if self._repairer is None and not event.stored.is_whole:
                return self._on_wrong_root()
            case KeepEqual(_, _, differing):
                self._repairer = None
                self._ranges.reset(list(differing))
            case _:
                pass
        return []

    def _next_job(self) -> Job | None:
        """Return what is to be done in the store now, or None."""
        assert self._newest is not None
        name = self._questions.take_id()
        if self._stored.target is None:
            return Begin(name, self._newest)
        if self._goes_on:
            # Before blocks are applied, which takes branches away again.
            return Build(name, self._limits.built_accounts)
        if self._repairer is not None:
            return self._repair_job(name, self._repairer)
        if self._changes.lot is not None:
            return ApplyBlocks(name, self._changes.lot)
        parts = self._ranges.take_parts(self._recent)
        if parts:
            return WriteParts(name, parts)
        are_missing = self._ranges.is_empty and not self._stored.is_whole
        return Build(name, self._limits.built_accounts) if are_missing else None

    def _repair_job(self, name: int, repairer: Repairer) -> Job | None:
        if not self._is_built:
            return Build(name, self._limits.built_accounts)
        differing = repairer.differing
        if differing is None:
            return None
        return KeepEqual(name, repairer.target, differing)

    # --- what is to be asked ----------------------------------------------------------------------

    def _step(self, now: float) -> list[StateEffect]:
        if self._newest is None:
            return []
        effects: list[StateEffect] = []
        if self._job is None:
            effects += self._replace_what_is_gone()
            self._job = self._next_job()
            effects += [] if self._job is None else [self._job]
        effects += self._ask(now)
        self._forget_changes()
        return effects + self._tell()

    def _ask(self, now: float) -> list[StateEffect]:
        stored, newest = self._stored.target, self._newest
        if stored is None or newest is None:
            return []
        if self._repairer is not None:
            # Before the branches are built there is nothing to compare with.
            question = self._repairer.ask(now) if self._is_built else None
            return [] if question is None else [question]
        effects: list[StateEffect] = []
        changes = self._changes.ask(stored, newest, now)
        if changes is not None:
            effects.append(changes)
        if newest.number - stored.number <= self._limits.max_lag_blocks:
            effects += self._ranges.ask(stored, now, peers=self._peers.count)
        return effects

    def _replace_what_is_gone(self) -> list[StateEffect]:
        """Compare with the newest state when changes, or nodes, can be had from nobody."""
        stored, newest, repairer_now = self._stored.target, self._newest, self._repairer
        if stored is None or newest is None:
            return []
        if repairer_now is not None:
            return self._replace_repair(repairer_now, newest)
        if newest.number == stored.number or not self._changes.is_idle:
            return []
        if self._changes.are_unknown:
            return self._start_repair("the headers of the blocks between are gone")
        if self._peers.nobody_has(change_fetcher.topic_of(stored.number + 1)):
            return self._start_repair("nobody has the changes of blocks any more")
        return []

    def _replace_repair(self, repairer_now: Repairer, newest: SyncTarget) -> list[StateEffect]:
        if repairer_now.is_hopeless:
            return self._restart("nobody sends what the state is compared with")
        is_gone = self._peers.nobody_has(repairer.topic_of(repairer_now.target))
        if is_gone and newest != repairer_now.target:
            cancelled = repairer_now.reset()
            self._repairer = Repairer(newest, self._questions, self._limits)
            return self._cancel(cancelled)
        return []

    def _on_wrong_root(self) -> list[StateEffect]:
        self._repairs += 1
        cause = "the root of all accounts is not the target's"
        if self._repairs > self._limits.repairs_max:
            return self._restart(cause)
        return self._start_repair(cause)

    def _start_repair(self, cause: str) -> list[StateEffect]:
        """Stop everything and find out what differs from the newest target."""
        assert self._newest is not None
        cancelled = self._drop_all()
        self._repairer = Repairer(self._newest, self._questions, self._limits)
        return [RepairStarted(cause), *cancelled]

    def _restart(self, cause: str) -> list[StateEffect]:
        """Start from zero."""
        self._repairs = 0
        cancelled = self._drop_all()
        self._stored = StoredSync(None, is_whole=False, accounts=0)
        return [Restarted(cause), *cancelled]

    def _drop_all(self) -> list[StateEffect]:
        dropped = self._ranges.reset([]) + self._changes.reset()
        if self._repairer is not None:
            dropped += self._repairer.reset()
            self._repairer = None
        return self._cancel(dropped)

    def _cancel(self, names: Iterable[int]) -> list[StateEffect]:
        return [CancelQuestion(name) for name in names if self._questions.close(name) is not None]

    def _forget_changes(self) -> None:
        """Keep only the changes that an answer on its way may need."""
        stored, oldest = self._stored.target, self._ranges.oldest()
        if stored is not None:
            self._recent.forget_up_to(stored.number if oldest is None else oldest)

    def _tell(self) -> list[StateEffect]:
        """Say once of a target that it is reached, or that it cannot be."""
        newest = self._newest
        if newest is None or self._job is not None:
            return []
        if self._stored.is_whole and self._stored.target == newest != self._reached:
            self._reached, self._repairs = newest, 0
            return [TargetReached(newest)]
        if newest != self._too_old and self._is_too_old(newest):
            self._too_old = newest
            return [TargetTooOld(newest)]
        return []

    def _is_too_old(self, newest: SyncTarget) -> bool:
        if self._repairer is not None:
            return self._peers.nobody_has(repairer.topic_of(newest))
        is_wanted = self._stored.target == newest and self._ranges.wants
        return is_wanted and self._peers.nobody_has(range_fetcher.topic_of(newest))


def _is_below(about: About, oldest: Height) -> bool:
    """Tell whether what was asked for belongs to a state before the oldest that a peer has."""
    return not isinstance(about, AboutChanges) and about.target.number < oldest
