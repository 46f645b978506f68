"""The open questions of a state sync: to whom, about what, until when."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from node.sync.state.coverage import Span
from node.sync.state.key_ranges import KeyRange
from node.sync.state.repair import Wanted
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import StatePeers, Topic
from node.sync.state.target import SyncTarget
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.types import Height, PeerId

SHORT_PART: Final = 4
"""An answer is short below this part of what was asked for and of the bytes that it may have: an
honest one ends where one of both is used up, give or take a large account."""


@dataclass(frozen=True, slots=True)
class AboutRange:
    """The accounts of a range."""

    key_range: KeyRange
    span: Span
    """As it was asked for; the range may have given its end away since."""
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class AboutChanges:
    """What blocks change, from one height up to another, or as many as fit."""

    first: Height
    last: Height


@dataclass(frozen=True, slots=True)
class AboutSubtrees:
    """Nodes of a state."""

    target: SyncTarget
    wanted: tuple[Wanted, ...]


class Worth(Enum):
    """What an answer was worth, once it was checked."""

    SOUND = "sound"
    SHORT = "short"
    """Right, and much less than was asked for: who does that on purpose could make a sync last."""
    FALSE = "false"


Outcome: TypeAlias = tuple[PeerId, Worth]
"""Whose answer it was, and what it was worth."""

About: TypeAlias = AboutRange | AboutChanges | AboutSubtrees


@dataclass(frozen=True, slots=True)
class Question:
    """An open question."""

    id: int
    peer: PeerId
    topic: Topic
    about: About
    deadline: float


class Questions:
    """All open questions. Also counts the ids of everything else that is answered."""

    def __init__(self, peers: StatePeers, limits: StateLimits) -> None:
        self._peers = peers
        self._limits = limits
        self._open: dict[int, Question] = {}
        self._last_id = 0

    def __len__(self) -> int:
        """Return the number of open questions."""
        return len(self._open)

    def take_id(self) -> int:
        """Return a new id."""
        self._last_id += 1
        return self._last_id

    def open(
        self,
        topic: Topic,
        about: About,
        now: float,
        *,
        tried: Collection[PeerId] = (),
        more_places: int = 0,
    ) -> Question | None:
        """Ask somebody, or nobody as long as none can be asked.

        Args:
            topic: What a peer must have to answer.
            about: To be found again with the answer.
            now: Monotonic clock, seconds.
            tried: Who is to be asked last.
            more_places: Beyond those that a peer has for ranges.
        """
        places = self._limits.ranges_per_peer + more_places
        peer = self._peers.pick(topic, now, tried=tried, places=places)
        if peer is None:
            return None
        question = Question(self.take_id(), peer, topic, about, now + self._limits.timeout_s)
        self._open[question.id] = question
        self._peers.opened(peer)
        return question

    def get(self, name: int) -> Question | None:
        """Return an open question."""
        return self._open.get(name)

    def close(self, name: int) -> Question | None:
        """Note that a question is no longer open; None if it was not."""
        question = self._open.pop(name, None)
        if question is not None:
            self._peers.closed(question.peer)
        return question

    def of(self, peer: PeerId) -> list[int]:
        """Return the open questions to a peer."""
        return [each.id for each in self._open.values() if each.peer == peer]

    def late(self, now: float) -> list[int]:
        """Return the questions whose time is over."""
        return [each.id for each in self._open.values() if each.deadline <= now]

    def next_deadline(self) -> float | None:
        """Return when the next question is late."""
        return min((each.deadline for each in self._open.values()), default=None)


def is_much_less(items: Sequence[bytes], wanted: int) -> bool:
    """Tell whether an answer is short, in items and in bytes."""
    is_few = len(items) < -(-wanted // SHORT_PART)
    return is_few and sum(map(len, items)) < MAX_RESPONSE_BYTES // SHORT_PART
