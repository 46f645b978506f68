"""Who may use a worker thread next: peers take turns, whatever each of them asks for.

    a1 a2 a3 ...        running    waiting: a before b before c
    b1                    a1         a2, b1, c1
    c1 c2                 b1         a2, c1         b came next, a has one running

A peer that asks for a hundred costly answers holds one thread at a time, and everybody else is
served between two of them.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from protocols.types import PeerId

MAX_THREADS: Final = 2
"""At work at one moment: more would only take the processor from the node's own pushes."""

WAITING_PER_PEER: Final = 32
"""As many requests as one of our nodes has open to one peer."""

WAITING_IN_ALL: Final = 256
"""Several peers that ask for all they may. What waits is no more than its request."""


class TooManyWaitError(Exception):
    """This peer, or all peers together, have as many requests waiting as they may."""


class Turns:
    """Lends a bounded number of threads, one at a time to each peer, to peers in turn."""

    def __init__(self, threads: int = MAX_THREADS) -> None:
        self._free = threads
        self._running: set[PeerId] = set()
        self._waiting: OrderedDict[PeerId, deque[trio.Event]] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def turn(self, peer: PeerId) -> AsyncIterator[None]:
        """Wait for the peer's turn, and keep it until the block ends.

        Raises:
            TooManyWaitError: At once.
        """
        await self._wait(peer)
        try:
            yield
        finally:
            self._running.discard(peer)
            self._free += 1
            self._call_next()

    async def _wait(self, peer: PeerId) -> None:
        if self._free and peer not in self._running:
            self._take(peer)
            return
        mine = self._waiting.get(peer, ())
        if len(mine) >= WAITING_PER_PEER or self.waiting >= WAITING_IN_ALL:
            raise TooManyWaitError
        turn = trio.Event()
        self._waiting.setdefault(peer, deque()).append(turn)
        try:
            await turn.wait()
        except trio.Cancelled:
            self._leave(peer, turn)
            raise

    def _take(self, peer: PeerId) -> None:
        self._free -= 1
        self._running.add(peer)

    def _call_next(self) -> None:
        """Give what is free to the first peers that wait and have nothing running."""
        for peer in list(self._waiting):
            if not self._free:
                return
            if peer in self._running:
                continue
            self._take(peer)
            self._waiting[peer].popleft().set()
            # It has had its turn: behind the others.
            self._waiting.move_to_end(peer)
            self._forget_if_empty(peer)

    def _leave(self, peer: PeerId, turn: trio.Event) -> None:
        """The connection of a waiting request is gone. Its turn may just have come."""
        if turn.is_set():
            self._running.discard(peer)
            self._free += 1
            self._call_next()
        else:
            self._waiting[peer].remove(turn)
            self._forget_if_empty(peer)

    def _forget_if_empty(self, peer: PeerId) -> None:
        if not self._waiting[peer]:
            del self._waiting[peer]
