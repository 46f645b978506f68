"""Fetching what the blocks between the stored target and the newest one change.

    stored target      lots, checked          asked for        newest target
         7        |  8 ... 71  | 72 ... 135 |  136 ...              500

One question at a time, and the next one while the last lot is being applied.
"""

from collections import deque
from dataclasses import dataclass

from node.sync.state.block_changes import BlockChanges
from node.sync.state.questions import AboutChanges, Outcome, Questions, Worth, is_much_less
from node.sync.state.state_events import AskChanges, ChangesChecked, CheckChanges
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import Topic
from node.sync.state.target import SyncTarget
from protocols.messages.trie_diffs import MAX_DIFFS
from protocols.types import Height, PeerId


@dataclass(frozen=True, slots=True)
class _Check:
    id: int
    peer: PeerId
    is_short: bool


def topic_of(first: Height) -> Topic:
    """Return what a peer must have to answer from a height on."""
    return "changes", first


class ChangeFetcher:
    """Everything on its way between a peer and the store."""

    def __init__(self, questions: Questions, limits: StateLimits) -> None:
        self._questions = questions
        self._limits = limits
        self._asked: int | None = None
        self._check: _Check | None = None
        self._lots: deque[tuple[BlockChanges, ...]] = deque()
        self._tried: set[PeerId] = set()
        self.are_unknown = False
        """Whether our chain has forgotten the headers that the next changes are compared with."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is asked for, checked or held."""
        return self._asked is None and self._check is None and not self._lots

    @property
    def lot(self) -> tuple[BlockChanges, ...] | None:
        """The next blocks to apply. They stay here until they are."""
        return self._lots[0] if self._lots else None

    def reset(self) -> list[int]:
        """Forget everything; return the questions that nobody wants any more."""
        unwanted = [] if self._asked is None else [self._asked]
        self._asked = self._check = None
        self.are_unknown = False
        self._lots.clear()
        self._tried.clear()
        return unwanted

    def applied(self) -> None:
        """Note that the next blocks have been applied."""
        self._lots.popleft()

    def ask(self, stored: SyncTarget, newest: SyncTarget, now: float) -> AskChanges | None:
        """Ask for the next blocks, if they are wanted now.

        Args:
            stored: The target that lots lead on from.
            newest: The one that they are to lead to.
            now: Monotonic clock, seconds.
        """
        if self._asked is not None or self._check is not None or self.are_unknown:
            return None
        if len(self._lots) >= self._limits.held_lots:
            return None
        first = (self._lots[-1][-1].block if self._lots else stored).number + 1
        if first > newest.number:
            return None
        about = AboutChanges(first, min(newest.number, first + MAX_DIFFS - 1))
        question = self._questions.open(
            topic_of(first), about, now, tried=self._tried, more_places=1
        )
        if question is None:
            return None
        self._asked = question.id
        return AskChanges(id=question.id, peer=question.peer, first=first, target=newest)

    def failed(self, peer: PeerId) -> None:
        """Note that the question was not answered."""
        self._asked = None
        self._tried.add(peer)

    def released(self) -> None:
        """Note that the question came to nothing without anybody's fault."""
        self._asked = None

    def arrived(
        self, about: AboutChanges, peer: PeerId, changes: tuple[bytes, ...]
    ) -> CheckChanges | None:
        """Have an answer checked; None if it has blocks that were not asked for, or none."""
        if not 0 < len(changes) <= about.last - about.first + 1:
            self.failed(peer)
            return None
        self._asked = None
        is_short = is_much_less(changes, about.last - about.first + 1)
        self._check = _Check(self._questions.take_id(), peer, is_short)
        return CheckChanges(id=self._check.id, first=about.first, changes=changes)

    def checked(self, event: ChangesChecked) -> Outcome | None:
        """Take what a check says; return what the answer was worth.

        None if it is late, or nobody can say.
        """
        if self._check is None or self._check.id != event.id:
            return None
        check, self._check = self._check, None
        if not event.are_known:
            self.are_unknown = True
            return None
        if event.blocks is None:
            self._tried.add(check.peer)
            return check.peer, Worth.FALSE
        self._tried.clear()
        self._lots.append(event.blocks)
        return check.peer, Worth.SHORT if check.is_short else Worth.SOUND
