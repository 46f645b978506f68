"""The newest events of a node, kept in memory for whoever wants to watch or plot them.

What the node logs is what it records, whatever the log shows of it. An event has a number, from 1
and without a gap in one run of the node; the oldest ones make room for new ones.
"""

from collections import deque
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from itertools import islice
from threading import Lock
from typing import Any, Final

MAX_EVENTS: Final = 10_000
"""A state sync of a million accounts has about 2,000, and a node that follows blocks of one second
two or three in each: the whole sync is there, and then the last hour. At 700 bytes each that
is 7 MB."""

MAX_TEXT: Final = 1024
"""Characters that are kept of a text. Some say what a peer has sent, or hold a traceback."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened."""

    seq: int
    """From 1; the next one has the next number."""
    time: str
    """Wall time as the log has it: ISO 8601 in UTC with microseconds."""
    monotonic: float
    """Seconds since the start of the node, of a clock that is never set."""
    type: str
    """The snake_case constant of the log."""
    facts: Mapping[str, Any]
    """Its keywords."""

    def to_json(self, node: str) -> dict[str, Any]:
        """Return it as plain JSON values, facts beside the rest, with the name of its node."""
        leading = {
            "seq": self.seq,
            "time": self.time,
            "monotonic": round(self.monotonic, 6),
            "node": node,
            "type": self.type,
        }
        # A fact cannot take the place of one of these.
        return leading | {name: plain(value) for name, value in self.facts.items()} | leading


class EventRecord:
    """Keeps a bounded number of events, the newest ones. Threads may share it.

    In a process that is one node its log feeds the record. Where several nodes share a process, as
    in simulations, they share its log too, and their records stay empty.
    """

    def __init__(self, size: int = MAX_EVENTS) -> None:
        """Begin empty.

        Args:
            size: Events that are kept.
        """
        self._events: deque[Event] = deque(maxlen=size)
        self._newest = 0
        self._lock = Lock()

    @property
    def newest(self) -> int:
        """Number of the newest event; 0 before the first."""
        return self._newest

    @property
    def oldest(self) -> int:
        """Number of the oldest event that is still there; of the next one if there is none."""
        return self._newest - len(self._events) + 1

    def add(self, type_: str, facts: MutableMapping[str, Any], *, time: str, now: float) -> None:
        """Record one event.

        Args:
            type_: Its name.
            facts: Its keywords: this record's own from now on. Values stay as they are.
            time: Wall time.
            now: Seconds since the start of the node.
        """
        for name, value in facts.items():
            if isinstance(value, str) and len(value) > MAX_TEXT:
                facts[name] = value[:MAX_TEXT]
        with self._lock:
            self._newest += 1
            self._events.append(Event(self._newest, time, now, type_, facts))

    def after(self, seq: int, limit: int) -> list[Event]:
        """Return the events after a number, the oldest `limit` of those that are there."""
        with self._lock:
            first = max(seq + 1 - self.oldest, 0)
            return list(islice(self._events, first, first + limit))


def plain(value: Any) -> Any:
    """Return a fact as JSON has it: bytes in hex, what JSON does not know as text."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case bytes():
            return value.hex()
        case list() | tuple():
            return [plain(item) for item in value]
        case dict():
            return {str(name): plain(item) for name, item in value.items()}
        case _:
            return str(value)
