"""Logs that a stranger cannot flood: ours, and those of py-libp2p.

py-libp2p logs a line for many things that a peer can do thousands of times per second (49,000
subscriptions are 48,900 warnings). A line passes while its bucket has tokens; the next one that
passes says how many did not.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

import structlog
import trio

from protocols.rate_limit import RateLimit, RateLimiter, TokenBucket

LINES: Final = RateLimit(capacity=10, refill_s=60.0)
"""Per kind of line: enough to see what goes on, little enough to read."""

MAX_KINDS: Final = 512
"""Kinds of lines that are remembered; there are fewer in py-libp2p's source."""

QUIETED: Final = ("libp2p", "multiaddr")
"""Loggers of the libraries. They tell an operator nothing below WARNING."""

DEMOTED: Final = (
    "libp2p.pubsub.gossipsub",
    "libp2p.security.noise",
    "libp2p.peer",
)
"""Loggers whose warnings are about what strangers send. An operator can do nothing about it."""


class LineLimiter:
    """Passes lines of our own that are about strangers."""

    def __init__(self) -> None:
        self._log = structlog.get_logger("network")
        self._buckets: dict[str, TokenBucket] = {}
        self._dropped: dict[str, int] = {}

    def info(self, event: str, **facts: object) -> None:
        """Log an event of ours, unless there were too many of its kind.

        Args:
            event: One of the constants of this package; never text of a peer.
            facts: Keywords of the line.
        """
        self._write(logging.INFO, event, facts)

    def warning(self, event: str, **facts: object) -> None:
        """Log what only an operator can mend, as `info` does."""
        self._write(logging.WARNING, event, facts)

    def _write(self, level: int, event: str, facts: dict[str, object]) -> None:
        now = trio.current_time()
        bucket = self._buckets.setdefault(event, TokenBucket(LINES, now))
        if not bucket.take(now):
            self._dropped[event] = self._dropped.get(event, 0) + 1
            return
        if dropped := self._dropped.pop(event, 0):
            facts["suppressed"] = dropped
        self._log.log(level, event, **facts)


class FloodFilter(logging.Filter):
    """Passes some lines of each kind: logger and message before its arguments are filled in.

    py-libp2p fills many messages in before logging them, so a kind may be one message only; then
    the oldest kinds are forgotten, and the bucket of the logger as a whole still holds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start with every bucket full.

        Args:
            clock: Monotonic, seconds.
        """
        super().__init__()
        self._clock = clock
        self._limiter = RateLimiter[tuple[str, str]](LINES, max_keys=MAX_KINDS)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line passes. Safe with any arguments: they are not looked at."""
        now = self._clock()
        kind, whole = (record.name, str(record.msg)), (record.name, "")
        return self._limiter.take(kind, now) and self._limiter.take(whole, now)


def quiet_libraries(handler: logging.Handler, clock: Callable[[], float]) -> None:
    """Send the warnings of the libraries to a handler, through a filter.

    Call it once per process. py-libp2p takes its own loggers out of the tree on import and leaves
    them to Python's last resort, standard error.

    Args:
        handler: Where the program's log goes.
        clock: Monotonic, seconds.
    """
    handler.addFilter(_OfLibraries(FloodFilter(clock)))
    for name in QUIETED:
        logger: Any = logging.getLogger(name)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        if handler not in logger.handlers:
            logger.addHandler(handler)
    for name in DEMOTED:
        logging.getLogger(name).setLevel(logging.CRITICAL)


class _OfLibraries(logging.Filter):
    """Applies a filter to the loggers of the libraries and lets all others pass."""

    def __init__(self, inner: logging.Filter) -> None:
        super().__init__()
        self._inner = inner

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a line passes."""
        if record.name.split(".", 1)[0] not in QUIETED:
            return True
        return bool(self._inner.filter(record))
