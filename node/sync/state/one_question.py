"""One question at a time, to one peer after the other, until it is answered."""

from dataclasses import dataclass

from node.sync.inputs import DeadlinePassed
from node.sync.state.part_events import PartInput
from node.sync.state.state_events import (
    CancelQuestion,
    ServerJoined,
    ServerLeft,
    StateFailed,
    StateRefused,
)
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import StatePeers, Topic
from protocols.status import ResponseStatus
from protocols.types import PeerId


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that waits for its answer."""

    id: int
    peer: PeerId
    topic: Topic
    deadline: float


class OneQuestion:
    """Whom to ask, and what became of it. Ids of jobs are counted along."""

    def __init__(self, limits: StateLimits) -> None:
        """Begin without peers.

        Args:
            limits: How long to wait, and how often to forgive.
        """
        self._limits = limits
        self._peers = StatePeers(limits)
        self._open: OpenQuestion | None = None
        self._tried: set[PeerId] = set()
        self._last_id = 0

    @property
    def is_open(self) -> bool:
        """Whether an answer is waited for."""
        return self._open is not None

    def wake(self, now: float) -> None:
        """Let peers be asked again whose pause is over. Before each event."""
        self._peers.end_pauses(now)

    def take_id(self) -> int:
        """Return a new id."""
        self._last_id += 1
        return self._last_id

    def join(self, peer: PeerId) -> None:
        """Let a peer be asked."""
        self._peers.add(peer)

    def leave(self, peer: PeerId) -> int | None:
        """Forget a peer; return the question to it, which nobody answers now."""
        closed = self._open
        if closed is None or closed.peer != peer:
            self._peers.remove(peer)
            return None
        self._close()
        self._peers.remove(peer)
        return closed.id

    def hear(self, event: PartInput, now: float) -> list[CancelQuestion]:
        """Take in what happens to every machine that asks this way; cancel what is in vain now."""
        match event:
            case StateRefused(name, status):
                self.refused(name, status, now)
            case StateFailed(name):
                self.failed(name, now)
            case ServerJoined(peer):
                self.join(peer)
            case ServerLeft(peer):
                return _cancelled(self.leave(peer))
            case DeadlinePassed():
                return _cancelled(self.late(now))
        return []

    def ask(self, topic: Topic, now: float) -> OpenQuestion | None:
        """Ask somebody, or nobody as long as nobody can be asked."""
        if self._open is not None:
            return None
        peer = self._peers.pick(topic, now, tried=self._tried, places=1)
        if peer is None:
            return None
        self._open = OpenQuestion(self.take_id(), peer, topic, now + self._limits.timeout_s)
        self._peers.opened(peer)
        return self._open

    def answered(self, name: int) -> PeerId | None:
        """Take the question that an answer belongs to; None if the answer is late."""
        if self._open is None or self._open.id != name:
            return None
        return self._close().peer

    def useful(self, peer: PeerId) -> None:
        """Note that an answer was sound."""
        self._peers.succeeded(peer)
        self._tried.clear()

    def lied(self, peer: PeerId, now: float) -> None:
        """Note that an answer was false; somebody else is asked next."""
        self._peers.lied(peer, now)
        self._tried.add(peer)

    def refused(self, name: int, status: ResponseStatus, now: float) -> None:
        """Note a named refusal."""
        if self._open is not None and self._open.id == name:
            closed = self._close()
            self._peers.refused(closed.peer, closed.topic, status, now)
            self._tried.add(closed.peer)

    def failed(self, name: int, now: float) -> None:
        """Note that nothing came that could be used."""
        if self._open is not None and self._open.id == name:
            closed = self._close()
            self._peers.failed(closed.peer, now)
            self._tried.add(closed.peer)

    def late(self, now: float) -> int | None:
        """Close the question if its time is over, and return it."""
        closed = self._open
        if closed is None or now < closed.deadline:
            return None
        self.failed(closed.id, now)
        return closed.id

    def drop(self) -> list[CancelQuestion]:
        """Close the question: nobody wants the answer any more."""
        return _cancelled(None if self._open is None else self._close().id)

    def nobody_has(self, topic: Topic) -> bool:
        """Tell whether all that answer have said that they will never have it."""
        return self._open is None and self._peers.nobody_has(topic)

    def next_deadline(self) -> float | None:
        """Return when something is to be done without an answer, monotonic clock, or None."""
        if self._open is not None:
            return self._open.deadline
        return self._peers.next_release()

    def _close(self) -> OpenQuestion:
        assert self._open is not None
        closed, self._open = self._open, None
        self._peers.closed(closed.peer)
        return closed


def _cancelled(question: int | None) -> list[CancelQuestion]:
    return [] if question is None else [CancelQuestion(question)]
