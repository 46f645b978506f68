"""One inbox with several bounded lanes: what is in an earlier lane is always taken first.

A memory channel for each lane would do, but trio cannot wait for the first of several channels.
"""

from collections import deque
from collections.abc import Collection, Mapping
from contextlib import suppress
from enum import Enum
from typing import Generic, TypeVar

import trio

LaneT = TypeVar("LaneT", bound=Enum)
ItemT = TypeVar("ItemT")


def take_waiting(channel: trio.MemoryReceiveChannel[ItemT]) -> list[ItemT]:
    """Take all that waits in a channel at this moment, in order. Never waits, never raises."""
    taken: list[ItemT] = []
    with suppress(trio.WouldBlock, trio.EndOfChannel):
        while True:
            taken.append(channel.receive_nowait())
    return taken


class Lanes(Generic[LaneT, ItemT]):
    """Bounded queues with priorities, many senders and one receiver."""

    def __init__(self, capacities: Mapping[LaneT, int]) -> None:
        """Start empty.

        Args:
            capacities: Items that each lane holds; its senders wait beyond. First lane first.
        """
        self._capacities = dict(capacities)
        self._items: dict[LaneT, deque[ItemT]] = {lane: deque() for lane in capacities}
        self._senders = {lane: trio.lowlevel.ParkingLot() for lane in capacities}
        self._receiver = trio.lowlevel.ParkingLot()

    def waiting(self, lane: LaneT) -> int:
        """Count the items of a lane that have not been taken."""
        return len(self._items[lane])

    async def send(self, lane: LaneT, item: ItemT) -> None:
        """Put an item into a lane, waiting while it is full. Nothing is ever dropped.

        Cancel-safe: a cancelled send has put nothing in.
        """
        await trio.lowlevel.checkpoint()
        while len(self._items[lane]) >= self._capacities[lane]:
            await self._senders[lane].park()
        self._items[lane].append(item)
        self._receiver.unpark()

    async def receive(self, lanes: Collection[LaneT]) -> ItemT:
        """Take the first item of the first of these lanes that has one, waiting until one has.

        Cancel-safe: a cancelled receive has taken nothing.

        Args:
            lanes: Those that are open now; items of others stay where they are.
        """
        await trio.lowlevel.checkpoint()
        while True:
            for lane, items in self._items.items():
                if lane in lanes and items:
                    self._senders[lane].unpark()
                    return items.popleft()
            await self._receiver.park()
