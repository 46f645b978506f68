"""A state sync in a model world, in virtual time. One seed is one run.

The driver below is all that a real one does: it carries out effects and brings the answers back,
some time later. It can end the machine at any commit and make a new one from the store.
"""

import heapq
from collections.abc import Callable
from random import Random

from node.accounts.pages import ROOT, place_above
from node.blocks.header import Header
from node.errors import Fault
from node.storage.memory import MemoryStore
from node.storage.store import Table
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state import coverage as stored_coverage
from node.sync.state import state_store
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
    Job,
    JobDone,
    KeepEqual,
    RepairStarted,
    Restarted,
    ServerJoined,
    ServerLeft,
    StateEffect,
    StateInput,
    TargetChosen,
    TargetPassed,
    TargetReached,
    TargetTooOld,
    WriteParts,
)
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_syncer import StateSyncer
from node.sync.state.state_work import run_check_changes, run_check_range, run_compare, run_job
from node.sync.state.target import SyncTarget
from protocols.types import ADDRESS_BYTES, Height, PeerId
from tests.build.plain_trie import build_subtree
from tests.build.state_source import Ask, Server, Source, State

LIMITS = StateLimits(range_leaves=16, held_ranges=24, parts_at_once=4, built_accounts=100)
WORK_S = 0.02
"""Most that a check or a job takes."""


class KilledError(Exception):
    """The process ends inside a transaction."""


class World:
    """A source, its servers, a store and the machine between them."""

    def __init__(self, source: Source, seed: int, *, limits: StateLimits = LIMITS) -> None:
        self.source = source
        self.draw = Random(seed)
        self.limits = limits
        self.store = MemoryStore()
        self.servers: dict[PeerId, Server] = {}
        self.now = 0.0
        self.wanted = source.target()
        self.reached: list[SyncTarget] = []
        self.effects: list[StateEffect] = []
        """All but questions and work."""
        self.faults: list[tuple[PeerId, Fault]] = []
        self.asked: list[Ask] = []
        self.leaves = 0
        """Accounts that have come."""
        self.jobs = 0
        self.kill_at: set[int] = set()
        """Jobs with which the process ends, before the commit or right after it."""
        self.checks_content = True
        self.checks_branches = False
        self.oldest_header: Height = 0
        """Height of the lowest that our chain still has."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._life = 0
        self._open: set[int] = set()
        self.machine = self._made()

    # --- what happens -----------------------------------------------------------------------------

    def start(self, *servers: Server) -> None:
        """Join servers and choose the first target."""
        for server in servers:
            self.join(server)
        self.choose()

    def join(self, server: Server) -> None:
        self.servers[server.name] = server
        self.tell(ServerJoined(server.name))

    def leave(self, name: PeerId) -> None:
        self.servers.pop(name, None)
        self.tell(ServerLeft(name))

    def choose(self, target: SyncTarget | None = None) -> None:
        """Move the target; to the head unless said otherwise."""
        self.wanted = target or self.source.target()
        self.tell(TargetChosen(self.wanted))

    def later(self, delay_s: float, act: Callable[[], None]) -> None:
        self._count += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._count, act))

    def tell(self, event: StateInput) -> None:
        """Hand an event to the machine and carry out what it asks for."""
        effects = self.machine.handle(event, self.now)
        assert self.machine.held_answers <= self.limits.held_ranges
        for effect in effects:
            self._perform(effect)

    def kill(self) -> None:
        """End the process and start it again."""
        self._life += 1
        self._open.clear()
        self.machine = self._made()
        for name in self.servers:
            self.tell(ServerJoined(name))
        self.tell(TargetChosen(self.wanted))

    # --- running ----------------------------------------------------------------------------------

    def run(self, *, until_s: float = 3600.0) -> None:
        """Let time pass until the newest target is reached, with what is in the store checked."""
        while not self.is_done:
            assert self.step(), "nothing happens any more"
            assert self.now < until_s, f"not done at {self.now}: {self.machine.progress}"
        self.check_whole(self.wanted.number)

    @property
    def is_done(self) -> bool:
        return bool(self.reached) and self.reached[-1].number >= self.wanted.number

    def step(self) -> bool:
        """Let the next thing happen; return False if there is none."""
        deadline = self.machine.next_deadline()
        if deadline is not None and (not self._heap or deadline <= self._heap[0][0]):
            self.now = max(self.now, deadline)
            self.tell(DeadlinePassed())
            return True
        if not self._heap:
            return False
        self.now, _, act = heapq.heappop(self._heap)
        act()
        return True

    def check_whole(self, height: Height) -> None:
        """Check that the stored accounts and branches are those after a block, and no others."""
        with self.store.read() as reader, self.source.stores[height].read() as expected:
            for table in (Table.ACCOUNTS, Table.BRANCHES):
                assert dict(reader.scan(table)) == dict(expected.scan(table))
            assert state_store.load(reader).accounts == len(self.source.states[height])

    def check_branches(self) -> None:
        """Check that stored branches are those of the accounts, with none missing below them.

        The root of everything is taken from them: whatever is stale or missing would be in it.
        """
        with self.store.read() as reader:
            stored = dict(reader.scan(Table.BRANCHES))
            records = list(reader.scan(Table.ACCOUNTS))
        expected: dict[bytes, bytes] = {}
        build_subtree(ROOT, records, expected)
        assert stored.items() <= expected.items(), "a branch is not that of its accounts"
        for key in expected.keys() - stored.keys():
            address = key[1:].ljust(ADDRESS_BYTES, b"\0")
            above = {place_above(address, depth).key for depth in range(key[0])}
            assert not above & stored.keys(), "a branch is missing below a stored one"

    def stored_state(self) -> State:
        with self.store.read() as reader:
            return dict(reader.scan(Table.ACCOUNTS))  # type: ignore[arg-type]

    def refetched(self) -> int:
        """Accounts that have come and that the last state alone does not explain."""
        return self.leaves - len(self.source.states[self.wanted.number])

    # --- the driver -------------------------------------------------------------------------------

    def _made(self) -> StateSyncer:
        with self.store.read() as reader:
            stored, coverage = state_store.load(reader), stored_coverage.load(reader)
        return StateSyncer(stored, coverage, self.limits)

    def _perform(self, effect: StateEffect) -> None:
        match effect:
            case AskRange() | AskChanges() | AskSubtrees():
                self._ask(effect)
            case CheckRange() | CheckChanges() | CompareSubtrees():
                self._work(lambda: self._checked(effect))
            case CancelQuestion(name):
                self._open.remove(name)
            case TargetReached(target):
                self.reached.append(target)
            case ReportPeer(peer, fault):
                self.faults.append((peer, fault))
            case TargetTooOld() | TargetPassed() | RepairStarted() | Restarted():
                self.effects.append(effect)
            case Begin() | WriteParts() | ApplyBlocks() | Build() | KeepEqual():
                self._work(lambda: self._done(effect))

    def _ask(self, ask: Ask) -> None:
        self.asked.append(ask)
        self._open.add(ask.id)
        server = self.servers[ask.peer]
        delay_s = self.draw.uniform(0, server.latency_s)

        def arrive() -> None:
            answer = server.answer(ask) if ask.peer in self.servers else None
            if answer is None or ask.id not in self._open:
                return
            self._open.remove(ask.id)
            self.tell(answer)

        self._after(delay_s, arrive)

    def _checked(self, check: CheckRange | CheckChanges | CompareSubtrees) -> StateInput:
        match check:
            case CheckRange():
                checked = run_check_range(check)
                self.leaves += 0 if checked.records is None else len(checked.records)
                return checked
            case CheckChanges():
                return run_check_changes(check, self._header_at)
            case CompareSubtrees():
                with self.store.read() as reader:
                    return run_compare(check, reader)

    def _header_at(self, height: Height) -> Header | None:
        return None if height < self.oldest_header else self.source.headers[height]

    def _done(self, job: Job) -> JobDone | None:
        self.jobs += 1
        is_killed = self.jobs in self.kill_at
        try:
            with self.store.write() as writer:
                done = run_job(job, writer)
                if is_killed:
                    self._end_inside()
        except KilledError:
            pass
        if self.checks_content:
            self._check_covered()
        if self.checks_branches:
            self.check_branches()
        if is_killed:
            self.kill()
            return None
        return done

    def _end_inside(self) -> None:
        if self.draw.random() < 0.5:
            raise KilledError

    def _work(self, work: Callable[[], StateInput | None]) -> None:
        def finish() -> None:
            event = work()
            if event is not None:
                self.tell(event)

        self._after(self.draw.uniform(0, WORK_S), finish)

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        """Do something in this life of the process."""
        life = self._life
        self.later(delay_s, lambda: act() if life == self._life else None)

    def _check_covered(self) -> None:
        """Check that what is covered is the state of the stored target, after every commit."""
        with self.store.read() as reader:
            stored, coverage = state_store.load(reader), stored_coverage.load(reader)
            held = {key: value for key, value in reader.scan(Table.ACCOUNTS) if key in coverage}
        if stored.target is None:
            assert len(coverage) == 0
            return
        state = self.source.states[stored.target.number]
        assert held == {key: value for key, value in state.items() if key in coverage}
        assert stored.accounts == len(held)
