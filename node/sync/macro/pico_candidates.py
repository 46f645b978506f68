"""The peers that a Pico has yet to place, and which of them has waited longest to lead it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from node.sync.effects import CancelRequest
from node.sync.tickets import TicketId
from protocols.messages.head import HeadResponse
from protocols.types import Height, PeerId


class State(Enum):
    """Where a candidate is."""

    PAUSED = "paused"
    """It is asked next when the pause is over."""
    ASKING = "asking"
    """It has been asked for its head."""
    WAITING = "waiting"
    """It leads on from our chain, as soon as there is no other guide."""
    GUIDE = "guide"
    """Its macro blocks are being fetched."""


@dataclass(slots=True)
class Candidate:
    """A peer that has not been placed."""

    peer: PeerId
    can_lead: bool
    beyond: Height | None
    """Our macro head when it turned out to be above it; None if it did not."""
    until: float
    """Deadline of the question, end of the pause, or when it began to wait."""
    state: State = State.PAUSED
    ticket: TicketId | None = None
    failures: int = 0
    head: HeadResponse | None = None
    """What it said last."""

    def ask(self, ticket: TicketId, deadline: float) -> None:
        """PAUSED -> ASKING."""
        self.state, self.until, self.ticket = State.ASKING, deadline, ticket

    def wait(self, head: HeadResponse, now: float) -> None:
        """ASKING -> WAITING."""
        self.state, self.until, self.head = State.WAITING, now, head

    def ask_again(self, at: float) -> None:
        """Any state -> PAUSED."""
        self.state, self.until, self.ticket = State.PAUSED, at, None


class Candidates:
    """All of them."""

    def __init__(self) -> None:
        """Start without any."""
        self._by_peer: dict[PeerId, Candidate] = {}

    def __iter__(self) -> Iterator[Candidate]:
        """Go over them in the order in which they came. They may be removed meanwhile."""
        return iter(tuple(self._by_peer.values()))

    def add(self, candidate: Candidate) -> None:
        """Note a peer, new or back."""
        self._by_peer[candidate.peer] = candidate

    def remove(self, peer: PeerId) -> list[CancelRequest]:
        """Forget a peer, if it is one of them, and its question."""
        candidate = self._by_peer.pop(peer, None)
        return [] if candidate is None else _cancelled(candidate)

    def clear(self) -> None:
        """Forget all."""
        self._by_peer.clear()

    def guide(self, peer: PeerId) -> Candidate | None:
        """Return the guide; None if it has left, even if it is back by now."""
        candidate = self._by_peer.get(peer)
        return candidate if candidate and candidate.state is State.GUIDE else None

    def asked(self, ticket: TicketId) -> Candidate | None:
        """Return who has been asked this, or None."""
        return next((each for each in self if each.ticket == ticket), None)

    def waiting(self) -> list[Candidate]:
        """Return those that wait, the longest first."""
        waiting = (each for each in self if each.state is State.WAITING)
        return sorted(waiting, key=lambda candidate: candidate.until)

    def due(self, now: float) -> list[Candidate]:
        """Return whose question is late or whose pause is over."""
        return [each for each in self if each.state in _TIMED and each.until <= now]

    def next_deadline(self) -> float | None:
        """Return when the next one will be due, or None."""
        return min((each.until for each in self if each.state in _TIMED), default=None)

    def drop_questions(self, now: float) -> list[CancelRequest]:
        """Any state -> PAUSED, for all of them."""
        cancelled: list[CancelRequest] = []
        for candidate in self:
            cancelled += _cancelled(candidate)
            candidate.ask_again(now)
        return cancelled


def _cancelled(candidate: Candidate) -> list[CancelRequest]:
    return [] if candidate.ticket is None else [CancelRequest(candidate.ticket)]


_TIMED = frozenset({State.PAUSED, State.ASKING})
"""States that a deadline ends."""
