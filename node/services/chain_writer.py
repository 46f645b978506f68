"""The one way to change the chain of a running node: in order, off the trio thread, with events.

push ----\
    push -----+--> one at a time --> worker thread --> events --> every subscriber
adopt ---/
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, TypeAlias, TypeVar

import trio

from node.blocks.block import Block
from node.chain.chain import BeforeCommit, Chain
from node.chain.fetched import FetchedBatch
from node.chain.replay import PlannedBlock
from node.chain.results import ChainEvent, Pushed, PushResult
from node.chain.state_sync import SealOutcome
from node.services.workers import carry_out

EVENTS_BUFFERED: Final = 256
"""Several batches of events; a subscriber that is further behind holds pushes back."""

ResultT = TypeVar("ResultT")

_Change: TypeAlias = Callable[[], tuple[PushResult, ...]]
"""Pushes or adopts, and tells what came of it."""


class ChainWriter:
    """Serialises changes and tells subscribers what has happened.

    Args:
        chain: Nobody else pushes to it.
        in_thread: Push in a worker thread. Not under virtual time: a mock clock jumps ahead while
            a thread is at work.
    """

    def __init__(self, chain: Chain, *, in_thread: bool) -> None:
        self._chain = chain
        self._in_thread = in_thread
        self._turn = trio.Lock()
        self._subscribers: list[trio.MemorySendChannel[ChainEvent]] = []

    async def push(
        self, blocks: Sequence[Block], *, before_commit: BeforeCommit | None = None
    ) -> tuple[PushResult, ...]:
        """Push blocks as `Chain.push` does, after all pushes that were asked for earlier.

        Subscribers get the events of one push after those of the one before it. While one of them
        has its buffer full this waits, so whoever pushes must not be the task that reads events.
        A cancelled push ends first if it has begun in the thread; its events go to those that have
        room for them, and who has none misses the rest.

        Args:
            blocks: Ascending.
            before_commit: Called on the trio thread. Must not wait.
        """
        if before_commit is not None and self._in_thread:
            before_commit = partial(_call_in_trio, before_commit)
        return await self._change(partial(self._chain.push, blocks, before_commit=before_commit))

    async def adopt_macro_blocks(
        self, blocks: Sequence[Block], *, is_trusted: bool = False
    ) -> tuple[PushResult, ...]:
        """Adopt macro blocks as `Chain.adopt_macro_blocks` does, in turn with all pushes.

        Events, waiting and cancellation are as for `push`.

        Args:
            blocks: Ascending.
            is_trusted: The first is taken without its quorum.
        """
        return await self._change(
            partial(self._chain.adopt_macro_blocks, blocks, is_trusted=is_trusted)
        )

    async def adopt_batches(self, batches: Sequence[FetchedBatch]) -> tuple[PushResult, ...]:
        """Adopt whole batches as `Chain.adopt_batches` does, in turn with all pushes.

        Events, waiting and cancellation are as for `push`.

        Args:
            batches: Consecutive, from the one above our macro head.
        """
        return await self._change(partial(self._chain.adopt_batches, batches))

    async def seal(
        self, transactions: int | None = None, planned: PlannedBlock | None = None
    ) -> SealOutcome:
        """Have the state from now on as `Chain.seal` does, in turn with pushes.

        Subscribers hear of blocks that could not be executed before anything that comes later.

        Args:
            transactions: And blocks without any, after which no further block is executed.
            planned: What the first block to execute does.
        """
        async with self._turn:
            outcome = await self._carry_out(partial(self._chain.seal, transactions, planned))
            for event in outcome.events:
                await self._publish(event)
        return outcome

    async def reset_to_genesis(self) -> None:
        """Forget all blocks above genesis, in turn with all pushes. There are no events of it."""
        await self._in_turn(self._chain.reset_to_genesis)

    async def do(self, task: Callable[[], ResultT]) -> ResultT:
        """Do something else with chain or store, in turn with pushes. No subscriber hears of it."""
        return await self._in_turn(task)

    async def settled(self) -> None:
        """Wait until the changes are done that have been asked for so far."""
        async with self._turn:
            pass

    def subscribe(self) -> trio.MemoryReceiveChannel[ChainEvent]:
        """Receive the events of all pushes from now on. Close the channel to stop."""
        sender, receiver = trio.open_memory_channel[ChainEvent](EVENTS_BUFFERED)
        self._subscribers.append(sender)
        return receiver

    async def _in_turn(self, work: Callable[[], ResultT]) -> ResultT:
        """Carry out something that no subscriber hears of."""
        async with self._turn:
            return await self._carry_out(work)

    async def _change(self, change: _Change) -> tuple[PushResult, ...]:
        """Carry out one change of the chain, after all that were asked for earlier."""
        async with self._turn:
            results = await self._carry_out(change)
            for result in results:
                if isinstance(result, Pushed):
                    for event in result.events:
                        await self._publish(event)
        return results

    async def _carry_out(self, work: Callable[[], ResultT]) -> ResultT:
        return await carry_out(work, in_thread=self._in_thread)

    async def _publish(self, event: ChainEvent) -> None:
        for sender in tuple(self._subscribers):
            try:
                await _send(sender, event)
            except trio.BrokenResourceError:
                self._subscribers.remove(sender)


async def _send(sender: trio.MemorySendChannel[ChainEvent], event: ChainEvent) -> None:
    try:
        # `send` would refuse in a cancelled task, although the event has happened.
        sender.send_nowait(event)
    except trio.WouldBlock:
        await sender.send(event)


def _call_in_trio(before_commit: BeforeCommit, index: int, result: PushResult) -> None:
    trio.from_thread.run_sync(before_commit, index, result)
