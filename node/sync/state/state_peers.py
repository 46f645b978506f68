"""The peers that serve state: who may be asked, and how they do.

A peer that is silent rests for a while after some questions in a row. What it has is unknown until
it has been asked again: one that lacks a state does not speak for it. One that lies three times is
never asked again. To have nothing to say is no fault: a peer may have pruned a state or not have
reached it, and then it is not asked for that again, or not for a moment.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf
from typing import Final, NamedTuple, TypeAlias

from node.sync.state.state_limits import StateLimits
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height, PeerId

BUSY: Final = frozenset({ResponseStatus.BUSY, ResponseStatus.RATE_LIMITED})
"""What a peer says that may be asked again in a moment."""

_NOT_YET: Final = {
    ResponseStatus.TARGET_NOT_FOUND,
    ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN,
    ResponseStatus.OUT_OF_RANGE,
}

Topic: TypeAlias = tuple[str, Hash32 | Height]
"""What a peer may lack: a kind of question and what it is about."""


class _Lack(NamedTuple):
    until: float
    """Not to be asked before, monotonic clock, seconds."""
    times: int
    """How often it has said so; at the limit it counts as said for good."""


_NO_LACK: Final = _Lack(0.0, 0)


@dataclass(slots=True)
class _Peer:
    open: int = 0
    failures: int = 0
    """Since its last useful answer."""
    doubted_until: float = 0.0
    """Until when others are asked instead, if there are any."""
    lies: int = 0
    not_before: float = 0.0
    rest_until: float = 0.0
    rests: int = 0
    """Since its last useful answer."""
    asked_at: int = 0
    """Number of the last question: who waited longest comes first."""
    refusals: int = 0
    """Times in a row that it was busy."""
    lacks: dict[Topic, "_Lack"] = field(default_factory=dict)


class StatePeers:
    """Peers, their places and their faults."""

    def __init__(self, limits: StateLimits) -> None:
        self._limits = limits
        self._peers: dict[PeerId, _Peer] = {}
        self._questions = 0

    @property
    def count(self) -> int:
        """Peers that have not lied too often."""
        return len(self._trusted())

    def add(self, peer: PeerId) -> None:
        """Let a peer be asked."""
        self._peers.setdefault(peer, _Peer())

    def remove(self, peer: PeerId) -> None:
        """Forget a peer that left."""
        self._peers.pop(peer, None)

    def pick(
        self, topic: Topic, now: float, *, tried: Collection[PeerId] = (), places: int
    ) -> PeerId | None:
        """Return who is to be asked, or None as long as nobody can be.

        Args:
            topic: What it must have.
            now: Monotonic clock, seconds.
            tried: Who failed already; asked only when there is nobody else at all.
            places: Most open questions of one peer.
        """
        able = [
            peer
            for peer, entry in self._trusted().items()
            if entry.not_before <= now and entry.lacks.get(topic, _NO_LACK).until <= now
        ]
        # Who has failed before is asked when there is no choice, and tried again after a while.
        sound = [peer for peer in able if self._peers[peer].doubted_until <= now] or able
        fresh = [peer for peer in sound if peer not in tried] or sound
        free = [peer for peer in fresh if self._is_free(self._peers[peer], places)]
        return min(free, key=self._preference, default=None)

    def nobody_has(self, topic: Topic) -> bool:
        """Tell whether peers answer, and each has said for good that it does not have it.

        Who rests is waited for, until it has been silent again after that.
        """
        limits = self._limits
        entries = self._trusted().values()
        alive = [entry for entry in entries if entry.rests <= limits.rests_max]
        lacks = [entry.lacks.get(topic, _NO_LACK) for entry in alive]
        return bool(alive) and all(lack.times >= limits.lacks_max for lack in lacks)

    def opened(self, peer: PeerId) -> None:
        """Note a question."""
        entry = self._peers[peer]
        self._questions += 1
        entry.open += 1
        entry.asked_at = self._questions

    def closed(self, peer: PeerId) -> None:
        """Note that a question is no longer open, however it ended."""
        if peer in self._peers:
            self._peers[peer].open -= 1

    def succeeded(self, peer: PeerId) -> None:
        """Note a sound answer."""
        if peer in self._peers:
            entry = self._peers[peer]
            entry.failures = entry.refusals = entry.rests = 0
            entry.doubted_until = 0.0

    def failed(self, peer: PeerId, now: float) -> None:
        """Note that nothing came."""
        if peer not in self._peers:
            return
        entry = self._peers[peer]
        entry.failures += 1
        entry.doubted_until = now + self._limits.rest_s
        if entry.failures >= self._limits.failures_max:
            self._rest(entry, now)

    def lied(self, peer: PeerId, now: float) -> bool:
        """Note something false; return whether it was too often."""
        if peer not in self._peers:
            return False
        self.failed(peer, now)
        self._peers[peer].lies += 1
        return self._peers[peer].lies >= self._limits.lies_max

    def was_busy(self, peer: PeerId, now: float) -> None:
        """Leave a peer alone for a moment."""
        if peer not in self._peers:
            return
        entry = self._peers[peer]
        entry.refusals += 1
        entry.not_before = now + self._limits.busy_pause_s
        if entry.refusals >= self._limits.refusals_max:
            entry.failures = self._limits.failures_max
            self._rest(entry, now)

    def never_has(self, peer: PeerId, topic: Topic) -> None:
        """Note that a peer cannot answer this, now or later."""
        self._note_lack(peer, topic, _Lack(inf, self._limits.lacks_max))

    def lacks(self, peer: PeerId, topic: Topic, now: float) -> None:
        """Note that a peer cannot answer this yet, as it says."""
        if peer not in self._peers:
            return
        limits = self._limits
        times = self._peers[peer].lacks.get(topic, _NO_LACK).times + 1
        pause_s = limits.lack_pause_s if times < limits.lacks_max else limits.rest_s
        self._note_lack(peer, topic, _Lack(now + pause_s, times))

    def refused(self, peer: PeerId, topic: Topic, status: ResponseStatus, now: float) -> None:
        """Note that a peer did not answer, and why."""
        if status in BUSY:
            self.was_busy(peer, now)
        elif status in _NOT_YET:
            self.lacks(peer, topic, now)
        else:
            self.never_has(peer, topic)

    def _note_lack(self, peer: PeerId, topic: Topic, lack: _Lack) -> None:
        if peer not in self._peers:
            return
        lacks = self._peers[peer].lacks
        lacks.pop(topic, None)
        lacks[topic] = lack
        if len(lacks) > self._limits.topics_max:
            del lacks[next(iter(lacks))]

    def end_pauses(self, now: float) -> None:
        """Let peers be asked again whose pause is over.

        Args:
            now: Monotonic clock, seconds.
        """
        for entry in self._peers.values():
            if entry.not_before <= now:
                entry.not_before = 0.0
            for topic, lack in entry.lacks.items():
                if lack.until <= now:
                    entry.lacks[topic] = lack._replace(until=0.0)

    def next_release(self) -> float | None:
        """Return when the next pause is over."""
        times = [
            time
            for entry in self._trusted().values()
            for time in (entry.not_before, *(lack.until for lack in entry.lacks.values()))
            if 0.0 < time < inf
        ]
        return min(times, default=None)

    def _rest(self, entry: _Peer, now: float) -> None:
        # Questions that were open together end together: that is one rest.
        if entry.rest_until <= now:
            entry.rests += 1
        entry.rest_until = entry.not_before = now + self._limits.rest_s

    def _trusted(self) -> dict[PeerId, _Peer]:
        limit = self._limits.lies_max
        return {peer: entry for peer, entry in self._peers.items() if entry.lies < limit}

    def _is_free(self, entry: _Peer, places: int) -> bool:
        # One that has just failed has to show that it still answers.
        return entry.open < (1 if entry.failures else places)

    def _preference(self, peer: PeerId) -> tuple[bool, int, int]:
        entry = self._peers[peer]
        return entry.failures > 0, entry.open, entry.asked_at
