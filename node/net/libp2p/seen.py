"""Message ids that have been seen: bounded in number and time."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SEEN_S: Final = 120.0
"""Longer than any path through the network takes; what py-libp2p uses."""

MAX_SEEN: Final = 65_536
"""Ids of 46 bytes: about 10 MB, and 500 messages per second for two minutes."""


class SeenMessages:
    """In the place of py-libp2p's LastSeenCache, which runs a thread and has no bound."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def has(self, key: bytes) -> bool:
        """Tell whether an id has been added lately."""
        return self._until.get(key, 0.0) > self._clock()

    def add(self, key: bytes) -> bool:
        """Add an id and tell whether it is new."""
        is_new = not self.has(key)
        now = self._clock()
        self._until[key] = now + SEEN_S
        self._until.move_to_end(key)
        while len(self._until) > MAX_SEEN or next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        return is_new
