"""One attempt at a state sync: the task that owns the coordinator and the machines of its parts.

    answers, checks, commits --> inbox --> parts ----reached----> coordinator
    blocks that became final --> inbox -----------accepted------> coordinator
                                             effects <-----------+

Everything durable is done in turn with pushes. When macro blocks have been adopted meanwhile, the
store is not on the way to this target any more: the next commit sees that, changes nothing, and
ends the attempt. The next one goes on with what is stored.
"""

import math
from collections import deque
from typing import Final

import trio

from node.chain.history_tree import Peaks
from node.chain.replay import ReplayFailed
from node.chain.results import ChainEvent, Finalized
from node.chain.state_mode import (
    executed_header,
    first_needed,
    sync_target,
)
from node.errors import Fault
from node.services import state_journal as journal
from node.services.state_parts import AccountsPart, BlocksPart, Event, HistoryPart, Part
from node.services.state_tasks import COORDINATOR, Item, SessionTools, StateTasks
from node.services.workers import carry_out
from node.sync.inputs import DeadlinePassed
from node.sync.state import coordinator as machine
from node.sync.state.block_syncer import NAME as BLOCKS
from node.sync.state.coordinator import Coordinator, CoordinatorEffect, CoordinatorInput
from node.sync.state.finalizer import finalize
from node.sync.state.part_events import BatchStored, LowestFound
from node.sync.state.pivot_policy import PivotPolicy
from node.sync.state.registry import (
    CancelSyncer,
    FinalizeSyncer,
    MoveSyncer,
    RegistryEffect,
    StartSyncer,
    SyncerRegistry,
)
from node.sync.state.state_events import ServerJoined, ServerLeft
from node.sync.state.target import SyncTarget
from protocols.types import Height, PeerId

PEER_LOOK_S: Final = 0.5
"""Between two looks at who is connected: a new peer is asked that much later."""

_CHAIN: Final = "chain"


class StateSession(StateTasks):
    """Owns one coordinator. Only the task inside `run` touches the machines."""

    def __init__(self, tools: SessionTools, policy: PivotPolicy) -> None:
        """Begin with what is stored.

        Args:
            tools: Of the node.
            policy: Says which blocks become targets.
        """
        super().__init__(tools)
        self.accounts = AccountsPart(self, tools.chain, tools.store, tools.limits)
        self._history = HistoryPart(self, tools.limits)
        parts: tuple[Part, ...] = (
            self.accounts,
            BlocksPart(self, tools.chain, tools.limits),
            self._history,
        )
        self._parts = {part.name: part for part in parts}
        registry = SyncerRegistry()
        for part in parts:
            registry.register(part.name)
        self._coordinator = Coordinator(registry, policy)
        self._todo: deque[CoordinatorInput] = deque()
        self._peers: set[PeerId] = set()
        self._are_started, self._next_look = False, 0.0
        self.executed = 0
        """Operations of the queue that are done."""
        self._at_once = tools.limits.executed_transactions
        self._lost: SyncTarget | None = None
        """The target of which nobody has everything any more, until there is another."""
        self._cause: str | None = None
        with tools.store.read() as reader:
            self._committed, done = sync_target(reader), executed_header(reader)
        """What the store is on the way to, as far as this attempt has brought it."""
        self._is_complete = done is not None
        """Whether the target's accounts are the stored state: only execution is left."""
        self._first_target = SyncTarget.of(done or tools.chain.macro_head)
        self._last_final = tools.chain.macro_head.number

    @property
    def state(self) -> machine.State:
        """Where it stands."""
        return self._coordinator.state

    @property
    def target(self) -> SyncTarget:
        """What it is on the way to."""
        return self._coordinator.target or self._first_target

    @property
    def pivots(self) -> int:
        """How often the target has moved."""
        return self._coordinator.pivots

    @property
    def is_complete(self) -> bool:
        """Whether only execution is left."""
        return self._is_complete

    @property
    def state_number(self) -> Height:
        """Height of the block that the accounts belong to, or will."""
        if self._is_complete:
            with self._store.read() as reader:
                executed = first_needed(reader)
            return self.target.number if executed is None else executed
        stored = self.accounts.progress.stored
        return self.target.number if stored is None else stored.number

    async def run(self) -> str | None:
        """Sync until it is done, and return None, or say why it cannot be.

        Raises:
            StorageError: The disk refused.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            # Threads that compute share one interpreter: to fight for it costs more than to wait.
            self._workers = trio.CapacityLimiter(1)
            journal.note_begun(
                self._first_target,
                self._tools.strategy,
                accounts=self.accounts.progress.accounts,
                queued=self._chain.deferred_operations(),
            )
            self._tell(machine.Start(self._first_target))
            while not self._coordinator.is_over:
                await self._step()
            nursery.cancel_scope.cancel()
        return self._cause

    async def chain_changed(self, event: ChainEvent) -> None:
        """Hear of the chain. Waits while the inbox is full."""
        await self._sender.send((_CHAIN, event))

    async def _step(self) -> None:
        if self._are_started and trio.current_time() >= self._next_look:
            self._next_look = trio.current_time() + PEER_LOOK_S
            self._look_at_peers()
        item = await self._next_item()
        if item is None:
            self._pass_deadlines()
        else:
            self._take(*item)
        while self._todo and not self._coordinator.is_over:
            before = self._coordinator.state
            for effect in self._coordinator.handle(self._todo.popleft()):
                self._perform(effect)
            if self._coordinator.state is not before:
                queued = self._chain.deferred_operations()
                state, cause = self._coordinator.state, self._cause
                journal.note_state(state, self.target, queued=queued, cause=cause)

    async def _next_item(self) -> Item | None:
        try:
            return self._inbox.receive_nowait()
        except trio.WouldBlock:
            pass
        if self._todo:
            return None
        with trio.move_on_at(min([trio.current_time() + PEER_LOOK_S, *self._deadlines()])):
            return await self._inbox.receive()
        return None

    def _deadlines(self) -> list[float]:
        times = (part.next_deadline() for part in self._parts.values())
        return [time for time in times if time is not None]

    def _pass_deadlines(self) -> None:
        now = trio.current_time()
        for part in self._parts.values():
            deadline = part.next_deadline()
            if self._are_started and (math.inf if deadline is None else deadline) <= now:
                part.feed(DeadlinePassed())

    def _take(self, to: str, event: Event) -> None:
        if to == _CHAIN:
            self._on_chain(event)
        elif to != COORDINATOR:
            self._parts[to].feed(event)
            if isinstance(event, BatchStored | LowestFound):
                self.accounts.look_for_headers(are_all_stored=False)
        else:
            if isinstance(event, machine.BatchExecuted):
                self.executed += event.count
                journal.note_batch(event.count)
            self._tell(event)

    def _tell(self, event: CoordinatorInput) -> None:
        self._todo.append(event)

    def _look_at_peers(self) -> None:
        present = self._network.peers
        for peer in [each for each in self._peers if each not in present]:
            self._peers.discard(peer)
            for part in self._parts.values():
                part.feed(ServerLeft(peer))
        for peer, record in [each for each in present.items() if each[0] not in self._peers]:
            self._peers.add(peer)
            for part in self._parts.values():
                if record.hello.services & part.services == part.services:
                    part.feed(ServerJoined(peer))

    # --- what the chain says ----------------------------------------------------------------------

    def _on_chain(self, event: ChainEvent) -> None:
        if not isinstance(event, Finalized) or event.number <= self._last_final:
            return
        count, self._last_final = event.number - self._last_final, event.number
        if len(event.accepted) != count:
            self._supersede("macro blocks were adopted without the blocks between them")
            return
        if not (self._coordinator.may_pivot and self._tools.strategy.follows_chain):
            return
        for block in event.accepted:
            header = self._chain.header(block)
            if header is not None:
                self._tell(machine.BlockAccepted(SyncTarget.of(header)))
        self._replace_lost()

    def _replace_lost(self) -> None:
        """Go for the macro head when nobody has everything of the target any more."""
        lost, newest = self._lost, self._chain.macro_head
        if lost is None or newest.number <= lost.number:
            return
        self._lost = None
        if lost.number >= self.target.number:
            self._tell(machine.TargetLost(SyncTarget.of(newest)))

    def _supersede(self, cause: str) -> None:
        self.is_superseded = True
        self._tell(machine.Failed(cause))

    # --- what the coordinator wants ---------------------------------------------------------------

    def _perform(self, effect: CoordinatorEffect) -> None:
        match effect:
            case StartSyncer() | MoveSyncer() | FinalizeSyncer() | CancelSyncer():
                self._tell_part(effect)
            case machine.CommitTarget(target):
                self._commit_target(target)
            case machine.Finalize() | machine.ExecuteBatch() | machine.Seal():
                self._complete(effect)
            case machine.Done(cause):
                self._cause = cause

    def _tell_part(self, effect: RegistryEffect) -> None:
        if self._is_complete:
            # A run before this one has finalized the target: there is nothing left to fetch.
            if isinstance(effect, StartSyncer):
                self._tell(machine.SyncerTook(effect.name, effect.target))
                self._tell(machine.SyncerDone(effect.name, effect.target))
            return
        part = self._parts[effect.name]
        match effect:
            case StartSyncer(name, target):
                self._are_started = True
                part.start(target)
                self._tell(machine.SyncerTook(name, target))
            case MoveSyncer(name, target):
                part.move(target)
                self._tell(machine.SyncerTook(name, target))
            case FinalizeSyncer():
                part.finalize()
            case CancelSyncer(name):
                self._cancel_all(name)

    def _complete(self, effect: machine.Finalize | machine.ExecuteBatch | machine.Seal) -> None:
        match effect:
            case machine.Finalize(target):
                self._nursery.start_soon(self._index_and_finalize, target, self._history.peaks)
            case machine.ExecuteBatch():
                self.in_turn(COORDINATOR, self._execute)
            case machine.Seal(takes_all):
                self._nursery.start_soon(self._seal, None if takes_all else self._at_once)

    def _commit_target(self, target: SyncTarget) -> None:
        if self._is_complete:
            self._tell(machine.TargetCommitted(target))
            return
        if target != self.target:
            journal.note_pivot(
                target,
                self.target,
                accounts=self.accounts.progress.accounts,
                queued=self._chain.deferred_operations(),
            )
        self.in_turn(COORDINATOR, lambda: self._move_commit_target(target))

    def _move_commit_target(self, target: SyncTarget) -> CoordinatorInput:
        self._chain.move_target(target.number)
        self._committed = target.hash
        return machine.TargetCommitted(target)

    async def _index_and_finalize(self, target: SyncTarget, peaks: Peaks | None) -> None:
        """Finalize after what takes long, between whose steps pushes have their turn."""
        is_indexed = self._is_complete
        while not is_indexed:
            is_indexed = await self._writer.do(self._chain.index_window)
        self.in_turn(COORDINATOR, lambda: self._finalize(target, peaks))

    def _finalize(self, target: SyncTarget, peaks: Peaks | None) -> CoordinatorInput:
        if self._is_complete:
            return machine.Finalized()
        assert peaks is not None, "all parts are done"
        error = self._chain.complete_state(lambda state: finalize(state, target, peaks))
        if error is not None:
            return machine.Failed(f"finalizing block {target.number}: {error.value}")
        self._is_complete = True
        return machine.Finalized()

    def _execute(self) -> CoordinatorInput:
        outcome = self._chain.execute_accepted(transactions=self._at_once)
        if isinstance(outcome, ReplayFailed):
            return machine.Failed(str(outcome))
        return machine.BatchExecuted(outcome.count)

    async def _seal(self, transactions: int | None) -> None:
        async with self._workers:
            # Before the turn that pushes wait for.
            planned = await carry_out(self._chain.plan_next, in_thread=self._tools.in_thread)
        outcome = await self._writer.seal(transactions, planned)
        if outcome.invalid is not None:
            journal.note_dropped(outcome.invalid)
        await self._send(COORDINATOR, machine.SealTried(outcome.is_sealed, outcome.left))

    # --- what the parts want ----------------------------------------------------------------------

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Take score from a peer."""
        journal.note_lie(peer, fault)
        self._network.report(peer, fault)

    def reached(self, part: str, target: SyncTarget) -> None:
        """Note that a part has all of a target."""
        journal.note_reached(part, target)
        self._tell(machine.SyncerDone(part, target))
        if part == BLOCKS:
            self.accounts.look_for_headers(are_all_stored=True)

    def too_old(self, part: str, target: SyncTarget) -> None:
        """Go for a newer target, as soon as there is one."""
        if not self._tools.strategy.follows_chain:
            self.fail(part, f"no peer has what belongs to block {target.number} any more")
            return
        journal.note_lost(part, target)
        self._lost = target
        self._replace_lost()

    def fail(self, part: str, cause: str) -> None:
        """Note that a part cannot go on."""
        self._tell(machine.SyncerFailed(part, cause))
