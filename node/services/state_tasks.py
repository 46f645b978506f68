"""What an attempt at a state sync has under way: questions, slow work, changes of the store.

Each is a task of its own, and what comes of it goes to the inbox, for whoever wanted it. Every
change of the store first checks that the store is still on the way to the same target.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from node.chain.chain import Chain
from node.chain.state_mode import is_syncing, state_head, sync_target
from node.net.network import Network
from node.services import state_journal as journal
from node.services.asking import ask_peer
from node.services.chain_writer import ChainWriter
from node.services.state_answers import Ask, StateAnswer, decode_state_answer, encode_ask
from node.services.state_parts import Event
from node.services.workers import carry_out
from node.storage.store import Reader, Store, Writer
from node.sync.state import coordinator as machine
from node.sync.state.state_events import AskRange, StateFailed
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.strategy import SyncStrategy
from protocols.types import Hash32

INBOX_SIZE: Final = 256
"""More than questions, checks and commits can be under way at once; the rest waits."""

COORDINATOR: Final = "coordinator"

Item: TypeAlias = tuple[str, Event]
"""Whom it is for, and what happened."""


class SupersededError(Exception):
    """The store is no longer on the way to what this attempt is on its way to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTools:
    """What an attempt works with."""

    network: Network
    chain: Chain
    writer: ChainWriter
    store: Store
    strategy: SyncStrategy
    limits: StateLimits = DEFAULT_LIMITS
    in_thread: bool
    """Slow work runs in worker threads. Not in virtual time."""


class StateTasks:
    """Starts tasks in the nursery of an attempt, which `run` of the attempt opens."""

    def __init__(self, tools: SessionTools) -> None:
        """Begin with nothing under way.

        Args:
            tools: Of the node.
        """
        self._tools = tools
        self._network, self._chain = tools.network, tools.chain
        self._writer, self._store = tools.writer, tools.store
        self._sender, self._inbox = trio.open_memory_channel[Item](INBOX_SIZE)
        self._scopes: dict[tuple[str, int], trio.CancelScope] = {}
        self._nursery: trio.Nursery
        self._workers: trio.CapacityLimiter
        self._committed: Hash32 | None = None
        """What the store is on the way to, as far as this attempt has brought it."""
        self._is_complete = False
        """Whether the target's accounts are the stored state: only execution is left."""
        self.is_superseded = False
        """Whether it ended only since the store is on the way to something else."""

    def close(self) -> None:
        """Take no more events. Once it has ended."""
        self._inbox.close()

    def ask(self, part: str, ask: Ask) -> None:
        """Ask a peer."""
        self._scopes[part, ask.id] = trio.CancelScope()
        self._nursery.start_soon(self._request, part, ask)

    def cancel(self, part: str, question: int) -> None:
        """Give up a question."""
        if scope := self._scopes.get((part, question)):
            scope.cancel()

    def work(self, part: str, task: Callable[[], Event]) -> None:
        """Do something slow that only reads."""
        self._nursery.start_soon(self._work_for, part, task)

    def in_turn(self, part: str, task: Callable[[], Event]) -> None:
        """Change the store through the chain, in turn with pushes."""

        def guarded() -> Event:
            with self._store.read() as reader:
                self._check_ours(reader)
            return task()

        self._nursery.start_soon(self._change, part, guarded)

    def commit(self, part: str, task: Callable[[Writer], Event]) -> None:
        """Change the store in a transaction of its own, in turn with pushes."""

        def commit() -> Event:
            with self._store.write(durable=False) as writer:
                self._check_ours(writer)
                return task(writer)

        self._nursery.start_soon(self._change, part, commit)

    def _cancel_all(self, part: str) -> None:
        """Give up all questions of a part."""
        for (asker, _), scope in self._scopes.items():
            if asker == part:
                scope.cancel()

    def _check_ours(self, reader: Reader) -> None:
        """Check that nobody has begun another sync since."""
        if not is_syncing(reader):
            raise SupersededError("the state is complete")
        is_complete = state_head(reader) is not None
        if is_complete != self._is_complete or (
            not is_complete and sync_target(reader) != self._committed
        ):
            raise SupersededError("another sync has begun")

    async def _change(self, to: str, task: Callable[[], Event]) -> None:
        try:
            async with self._workers:
                event = await self._writer.do(task)
        except SupersededError as error:
            self.is_superseded = True
            to, event = COORDINATOR, machine.Failed(str(error))
        await self._send(to, event)

    async def _work_for(self, part: str, task: Callable[[], Event]) -> None:
        async with self._workers:
            event = await carry_out(task, in_thread=self._tools.in_thread)
        await self._send(part, event)

    async def _request(self, part: str, ask: Ask) -> None:
        """Ask one question and turn its outcome, good or bad, into one event."""
        with self._scopes[part, ask.id]:
            answer = await self._answer(ask)
            journal.note_refusal(ask, answer)
            await self._send(part, answer)
        del self._scopes[part, ask.id]

    async def _answer(self, ask: Ask) -> StateAnswer:
        protocol, payload = encode_ask(ask)
        answer = await ask_peer(
            self._network,
            ask.peer,
            protocol,
            payload,
            lambda response: decode_state_answer(ask, response),
            # Decoding a range is nothing beside checking it, which has a thread of its own.
            in_thread=self._tools.in_thread and not isinstance(ask, AskRange),
        )
        return StateFailed(ask.id) if answer is None else answer

    async def _send(self, to: str, event: Event) -> None:
        await self._sender.send((to, event))
