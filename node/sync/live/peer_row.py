"""Whom to ask next: the live peers in turn, those that keep us waiting behind the others."""

from collections import deque
from collections.abc import Container, Iterator

from node.sync.live.config import QueueConfig
from protocols.types import PeerId


class PeerRow:
    """The live peers. Who is asked goes to the end of the row.

    A peer with two slow answers in two minutes is asked only when nobody else is left. One slow
    answer happens to everybody, and whatever made an honest peer slow passes.
    """

    def __init__(self, config: QueueConfig) -> None:
        self._config = config
        self._row: dict[PeerId, None] = {}
        self._slow: dict[PeerId, deque[float]] = {}
        """When each peer's last slow answers ended. Peers that left are kept: else a slow one
        would only have to come back."""

    def __len__(self) -> int:
        """Count the live peers."""
        return len(self._row)

    def __iter__(self) -> Iterator[PeerId]:
        """Yield the live peers, next first."""
        return iter(tuple(self._row))

    def __contains__(self, peer: object) -> bool:
        """Tell whether a peer is live."""
        return peer in self._row

    def add(self, peer: PeerId) -> None:
        """A peer may be asked from now on."""
        self._row.setdefault(peer)

    def remove(self, peer: PeerId) -> None:
        """A peer is no longer asked."""
        self._row.pop(peer, None)

    def note_wait(self, peer: PeerId, waited_s: float, now: float) -> None:
        """Remember how long a peer took, whatever it said in the end.

        Args:
            peer: Who was asked.
            waited_s: Seconds from the question to its end.
            now: Monotonic clock, seconds.
        """
        config = self._config
        if waited_s < config.slow_answer_s:
            return
        times = self._slow.pop(peer, None) or deque(maxlen=config.slow_answers)
        times.append(now)
        self._slow[peer] = times
        if len(self._slow) > config.slow_peers_max:
            del self._slow[next(iter(self._slow))]

    def is_slow(self, peer: PeerId, now: float) -> bool:
        """Tell whether a peer has kept us waiting again and again.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        times = self._slow.get(peer)
        if times is None or len(times) < self._config.slow_answers:
            return False
        return now - times[0] < self._config.slow_memory_s

    def choose(
        self, now: float, *, first: PeerId | None = None, without: Container[PeerId] = ()
    ) -> PeerId | None:
        """Return the peer to ask, and put it at the end of the row; None if nobody is left.

        Args:
            now: Monotonic clock, seconds.
            first: Outranks the others of its kind, slow or not slow, if it is live.
            without: Peers to leave out.
        """
        candidates = [peer for peer in self._row if peer not in without]
        if first is not None and first in self._row:
            candidates.insert(0, first)
        chosen = min(candidates, key=lambda peer: self.is_slow(peer, now), default=None)
        if chosen is not None:
            del self._row[chosen]
            self._row[chosen] = None
        return chosen
