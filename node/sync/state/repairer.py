"""Fetching nodes of a state, to find what differs from it. See `repair` for the walk.

ASKING --nodes--> CHECKING --compared--> ASKING, or done
   ^                 |
   +--- not those ---+
"""

from dataclasses import dataclass

from node.sync.state.coverage import Span
from node.sync.state.questions import AboutSubtrees, Outcome, Questions, Worth, is_much_less
from node.sync.state.repair import Repair
from node.sync.state.state_events import AskSubtrees, CompareSubtrees, SubtreesCompared
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import Topic
from node.sync.state.target import SyncTarget
from protocols.types import PeerId


@dataclass(frozen=True, slots=True)
class _Check:
    id: int
    peer: PeerId
    count: int
    is_short: bool


def topic_of(target: SyncTarget) -> Topic:
    """Return what a peer must have to answer for a target."""
    return "subtrees", target.hash


class Repairer:
    """One repair under way."""

    def __init__(self, target: SyncTarget, questions: Questions, limits: StateLimits) -> None:
        self._questions = questions
        self._limits = limits
        self._repair = Repair(target, max_nodes=limits.repair_nodes)
        self._asked: int | None = None
        self._check: _Check | None = None
        self._tried: set[PeerId] = set()
        self._failures = 0

    @property
    def target(self) -> SyncTarget:
        """Whose state it is compared with."""
        return self._repair.target

    @property
    def is_hopeless(self) -> bool:
        """Whether too many questions have failed since an answer that was of use."""
        return self._failures >= self._limits.repair_failures_max

    @property
    def differing(self) -> tuple[Span, ...] | None:
        """What differs, once that is known."""
        return self._repair.differing if self._repair.is_done else None

    def reset(self) -> list[int]:
        """End it; return the questions that nobody wants any more."""
        unwanted = [] if self._asked is None else [self._asked]
        self._asked = self._check = None
        return unwanted

    def ask(self, now: float) -> AskSubtrees | None:
        """Ask for the next nodes, if they are wanted now.

        Args:
            now: Monotonic clock, seconds.
        """
        wanted = self._repair.wanted(self._limits.repair_places)
        if self._asked is not None or self._check is not None or not wanted:
            return None
        about = AboutSubtrees(self.target, wanted)
        question = self._questions.open(
            topic_of(self.target), about, now, tried=self._tried, more_places=1
        )
        if question is None:
            return None
        self._asked = question.id
        places = tuple(each.place for each in wanted)
        return AskSubtrees(id=question.id, peer=question.peer, target=self.target, places=places)

    def failed(self, peer: PeerId) -> None:
        """Note that the question was not answered."""
        self._asked = None
        self._tried.add(peer)
        self._failures += 1

    def released(self) -> None:
        """Note that the question came to nothing without anybody's fault."""
        self._asked = None

    def arrived(
        self, about: AboutSubtrees, peer: PeerId, nodes: tuple[bytes, ...]
    ) -> CompareSubtrees | None:
        """Have an answer checked; None if it has more nodes than were asked for, or none."""
        if not 0 < len(nodes) <= len(about.wanted):
            self.failed(peer)
            return None
        self._asked = None
        is_short = is_much_less(nodes, len(about.wanted))
        self._check = _Check(self._questions.take_id(), peer, len(nodes), is_short)
        wanted = about.wanted[: len(nodes)]
        return CompareSubtrees(id=self._check.id, wanted=wanted, nodes=nodes)

    def compared(self, event: SubtreesCompared) -> Outcome | None:
        """Take what a check says; return what the answer was worth, or None if it is late."""
        if self._check is None or self._check.id != event.id:
            return None
        check, self._check = self._check, None
        if event.differing is None:
            self._tried.add(check.peer)
            self._failures += 1
            return check.peer, Worth.FALSE
        self._tried.clear()
        self._repair.take(check.count, event.differing)
        if check.is_short:
            return check.peer, Worth.SHORT
        self._failures = 0
        return check.peer, Worth.SOUND
