"""A bounded dictionary that forgets what was used longest ago."""

from collections import OrderedDict
from threading import Lock
from typing import Generic, TypeVar

KeyT = TypeVar("KeyT")
ValueT = TypeVar("ValueT")


class LruCache(Generic[KeyT, ValueT]):
    """Keeps the `capacity` entries used last. Callable from any thread.

    The lock is needed: block verification runs in worker threads, vote verification beside it.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a cache holds at least one entry: {capacity}")
        self._capacity = capacity
        self._entries: OrderedDict[KeyT, ValueT] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def get(self, key: KeyT) -> ValueT | None:
        """Return an entry and mark it as used, or None."""
        with self._lock:
            value = self._entries.get(key)
            if value is not None:
                self._entries.move_to_end(key)
            return value

    def put(self, key: KeyT, value: ValueT) -> None:
        """Add or replace an entry; the one used longest ago goes."""
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._capacity:
                self._entries.popitem(last=False)
