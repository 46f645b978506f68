"""The one way to push blocks in a running node: in order, off the trio thread, with events.

push ----\
    push -----+--> one at a time --> worker thread --> events --> every subscriber
push ----/
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import trio

from node.blocks.block import Block
from node.chain.chain import BeforeCommit, Chain
from node.chain.results import ChainEvent, Pushed, PushResult

EVENTS_BUFFERED: Final = 256
"""Several batches of events; a subscriber that is further behind holds pushes back."""


class ChainWriter:
    """Serialises pushes and tells subscribers what has happened.

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
        async with self._turn:
            results = await self._push(blocks, before_commit)
            for result in results:
                if isinstance(result, Pushed):
                    for event in result.events:
                        await self._publish(event)
        return results

    def subscribe(self) -> trio.MemoryReceiveChannel[ChainEvent]:
        """Receive the events of all pushes from now on. Close the channel to stop."""
        sender, receiver = trio.open_memory_channel[ChainEvent](EVENTS_BUFFERED)
        self._subscribers.append(sender)
        return receiver

    async def _push(
        self, blocks: Sequence[Block], before_commit: BeforeCommit | None
    ) -> tuple[PushResult, ...]:
        if not self._in_thread:
            await trio.lowlevel.checkpoint()
            return self._chain.push(blocks, before_commit=before_commit)
        relayed = None if before_commit is None else partial(_call_in_trio, before_commit)
        return await trio.to_thread.run_sync(
            partial(self._chain.push, blocks, before_commit=relayed)
        )

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
