"""How often a peer may ask: token buckets, with the time as an argument.

A bucket holds `capacity` tokens at most and fills in `refill_s`; an action takes one. So a peer
may burst up to the capacity, and then goes at capacity / refill_s. Its own limiter of the same
numbers keeps an honest client below the limit of the server.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

REFILL_S: Final = 10.0
"""Limits of this protocol count actions per ten seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """So many actions per so much time."""

    capacity: int
    """Largest burst, at least 1."""
    refill_s: float = REFILL_S
    """Seconds in which an empty bucket fills."""

    def __post_init__(self) -> None:
        """Refuse limits that nothing can ever pass."""
        assert self.capacity >= 1
        assert self.refill_s > 0


class TokenBucket:
    """One bucket. It starts full."""

    __slots__ = ("_limit", "_tokens", "_updated")

    def __init__(self, limit: RateLimit, now: float) -> None:
        self._limit = limit
        self._tokens = float(limit.capacity)
        self._updated = now

    def is_empty(self, now: float) -> bool:
        """Tell whether `take` would fail.

        Args:
            now: Monotonic clock, seconds. Going backwards refills nothing.
        """
        elapsed = max(now - self._updated, 0.0)
        self._updated = max(now, self._updated)
        refilled = self._tokens + elapsed * self._limit.capacity / self._limit.refill_s
        self._tokens = min(refilled, float(self._limit.capacity))
        return self._tokens < 1

    def take(self, now: float) -> bool:
        """Take a token if there is a whole one. The time is that of `is_empty`."""
        if self.is_empty(now):
            return False
        self._tokens -= 1
        return True


class RateLimiter(Generic[Key]):
    """One bucket per key, for a bounded number of keys.

    When there are too many, the key that was used longest ago is forgotten, and would start with
    a full bucket. Give room for more keys than can be active within `refill_s`.
    """

    def __init__(self, limit: RateLimit, *, max_keys: int) -> None:
        assert max_keys >= 1
        self._limit = limit
        self._max_keys = max_keys
        self._buckets: OrderedDict[Key, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        """Count the keys that are remembered."""
        return len(self._buckets)

    def take(self, key: Key, now: float) -> bool:
        """Take a token from the bucket of a key if there is a whole one.

        Args:
            key: Usually a peer. It is not forgotten when it leaves: it may come back at once.
            now: Monotonic clock, seconds.
        """
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = TokenBucket(self._limit, now)
            if len(self._buckets) > self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(key)
        return bucket.take(now)

    def is_empty(self, key: Key, now: float) -> bool:
        """Tell whether `take` would fail. The key does not count as used."""
        bucket = self._buckets.get(key)
        return bucket is not None and bucket.is_empty(now)
