"""The air between simulated nodes: who can reach whom, how late, and what gets lost.

Every draw is a function of (seed, sender, receiver, message, how often that message went this
way), never of the order in which tasks run. So one seed gives one run, whatever the scheduler
does. Time is trio's clock, which tests replace by a mock clock.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol, TypeAlias

import trio

from protocols.types import PeerId

SILENCE_LIMIT_S: Final = 25.0
"""How long a connection lives on without hearing anything, as on the real network."""

_TIE_BREAK_S: Final = 1e-6
"""Spread added to every delay and timeout: fixed ones would end at one moment, and such ties are
broken by the order of tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkConditions:
    """What one link does to messages, the same in both directions."""

    latency_s: tuple[float, float] = (0.01, 0.05)
    """Uniform between these, one way. Messages may overtake each other."""
    loss: float = 0.0
    """Share of messages that never arrive, 0..1. A lost request waits until its timeout."""
    bytes_per_s: float = math.inf
    """Adds size / bandwidth to the delay; messages do not queue behind each other."""

    def __post_init__(self) -> None:
        """Refuse conditions that no link can have."""
        assert 0 <= self.latency_s[0] <= self.latency_s[1]
        assert 0 <= self.loss <= 1
        assert self.bytes_per_s > 0


@dataclass(frozen=True, slots=True)
class Transmission:
    """One message that was sent, for transcripts."""

    sent_at: float
    sender: PeerId
    receiver: PeerId
    key: bytes
    """Digest of what was sent and how often."""
    delay_s: float | None
    """None: it got lost."""


Observer: TypeAlias = Callable[[Transmission], None]


@dataclass(frozen=True, slots=True, order=True)
class Arrival:
    """When a message arrives. Orders arrivals, ties included."""

    at: float
    key: bytes


class Station(Protocol):
    """What the hub needs of a node."""

    @property
    def peer_id(self) -> PeerId:
        """Its id."""
        ...

    @property
    def linked(self) -> tuple[PeerId, ...]:
        """The peers that it has a connection to."""
        ...

    def schedule(self, arrival: Arrival, action: Callable[[], None]) -> None:
        """Run `action` in the node's own task at that time, unless the node stops before."""
        ...

    def lose_link(self, peer: PeerId) -> None:
        """Lose the connection to a peer as if the line had been cut, on both sides."""
        ...

    def die(self) -> None:
        """Stop at once, without a word to anybody."""
        ...


class Hub:
    """One simulated network. Give the same hub to all its nodes."""

    def __init__(
        self,
        *,
        seed: int,
        conditions: LinkConditions | None = None,
        observer: Observer | None = None,
    ) -> None:
        self._seed = seed
        self._default = conditions or LinkConditions()
        self._observer = observer
        self._conditions: dict[frozenset[PeerId], LinkConditions] = {}
        self._stations: dict[PeerId, Station] = {}
        self._groups: dict[PeerId, int] = {}
        self._partitions = 0
        """Partitions so far, to tell whether the one that a timer watched is still there."""
        self._sent: Counter[bytes] = Counter()
        self._published: Counter[PeerId] = Counter()

    def add(self, station: Station) -> None:
        """Let a node take part. Its id must be free: one process for one identity."""
        assert station.peer_id not in self._stations, f"{station.peer_id} runs already"
        self._stations[station.peer_id] = station

    def remove(self, station: Station) -> None:
        """Forget a node that has stopped."""
        if self._stations.get(station.peer_id) is station:
            del self._stations[station.peer_id]

    def station(self, peer: PeerId) -> Station | None:
        """Return the running node with this id."""
        return self._stations.get(peer)

    def set_conditions(self, first: PeerId, second: PeerId, conditions: LinkConditions) -> None:
        """Change one link from now on."""
        self._conditions[frozenset((first, second))] = conditions

    def partition(self, *groups: Iterable[PeerId]) -> None:
        """Let nodes reach only those of their own group. Who is in no group is in one more.

        Connections across the cut are silent, and are lost after `SILENCE_LIMIT_S`.
        """
        self._groups = {peer: index + 1 for index, group in enumerate(groups) for peer in group}
        self._partitions += 1
        for station in self._stations.values():
            for peer in station.linked:
                if self.is_cut(station.peer_id, peer):
                    self._watch_silence(station, peer)

    def heal(self) -> None:
        """Let everybody reach everybody again. Connections that were lost must be dialled."""
        self._groups = {}
        self._partitions += 1

    def is_cut(self, first: PeerId, second: PeerId) -> bool:
        """Tell whether a partition lies between two nodes."""
        return self._groups.get(first, 0) != self._groups.get(second, 0)

    def disconnect(self, first: PeerId, second: PeerId) -> None:
        """Cut the connection between two nodes; both notice at once."""
        if (station := self._stations.get(first)) is not None:
            station.lose_link(second)

    def kill(self, peer: PeerId) -> None:
        """End a node as kill -9 does. Its peers notice at once, as they do on one machine."""
        if (station := self._stations.get(peer)) is not None:
            station.die()

    def next_sequence_number(self, publisher: PeerId) -> int:
        """Count the publications of a node, across its restarts."""
        self._published[publisher] += 1
        return self._published[publisher]

    def transmit(
        self, sender: PeerId, receiver: PeerId, message: bytes, *, size: int, lossless: bool = False
    ) -> Arrival | None:
        """Draw what becomes of a message that is sent now.

        Args:
            sender: Who sends it.
            receiver: Who shall get it.
            message: Identifies what is sent, for the draw.
            size: Its length in bytes.
            lossless: Only a partition keeps it from arriving.

        Returns:
            When it arrives, or None when it gets lost.
        """
        key = self._key(sender, receiver, message)
        conditions = self._conditions.get(frozenset((sender, receiver)), self._default)
        is_lost = not lossless and _fraction(key[8:16]) < conditions.loss
        delay = None
        if not is_lost and not self.is_cut(sender, receiver):
            low, high = conditions.latency_s
            luck = _fraction(key[:8])
            delay = low + luck * (high - low + _TIE_BREAK_S) + size / conditions.bytes_per_s
        now = trio.current_time()
        if self._observer is not None:
            self._observer(Transmission(now, sender, receiver, key, delay))
        return None if delay is None else Arrival(now + delay, key)

    def draw_patience(self, sender: PeerId, receiver: PeerId, message: bytes) -> float:
        """Draw what to add to the timeout of a request that is sent now, seconds.

        Whoever waits for the request may have a timeout of the same length.
        """
        key = self._key(sender, receiver, b"patience" + message)
        return (_fraction(key[:8]) + 1) * _TIE_BREAK_S

    def _key(self, sender: PeerId, receiver: PeerId, message: bytes) -> bytes:
        way = blake2b(digest_size=16)
        for part in (str(self._seed).encode(), sender.encode(), receiver.encode(), message):
            way.update(len(part).to_bytes(4, "big") + part)
        times = self._sent[way.digest()]
        self._sent[way.digest()] += 1
        way.update(times.to_bytes(4, "big"))
        return way.digest()

    def _watch_silence(self, station: Station, peer: PeerId) -> None:
        partition = self._partitions

        def lose() -> None:
            if self._partitions == partition and self.is_cut(station.peer_id, peer):
                station.lose_link(peer)

        station.schedule(Arrival(trio.current_time() + SILENCE_LIMIT_S, peer.encode()), lose)


def _fraction(eight_bytes: bytes) -> float:
    """Return a number in 0..1, exclusive above."""
    return (int.from_bytes(eight_bytes, "big") >> 11) / (1 << 53)
