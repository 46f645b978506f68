"""Fetching the accounts of key ranges, from several peers at a time.

    key range --asked--> answer --checked--> part --written by the owner-->
        ^                  |         |
        +-- `next` --------+---------+       a part may be of an older target: it says which

Questions, checks and parts together are bounded, so a slow disk holds the questions back.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from math import isqrt
from typing import Final

from node.accounts.records import Records
from node.sync.state.block_changes import RecentChanges
from node.sync.state.coverage import KEY_SPACE, Span, before, width
from node.sync.state.key_ranges import KeyRange, KeyRanges
from node.sync.state.questions import SHORT_PART, AboutRange, Outcome, Questions, Worth
from node.sync.state.state_events import AskRange, CheckRange, RangeChecked, StateEffect
from node.sync.state.state_limits import StateLimits
from node.sync.state.state_peers import Topic
from node.sync.state.state_store import ProvenPart
from node.sync.state.target import SyncTarget
from protocols.messages.state_range import MAX_LEAVES_BYTES, ProvenRange
from protocols.types import Height, PeerId

UNWRITTEN_MAX: Final = 2
"""Answers that may wait in this process when more is asked for. What waits is fetched again after a
kill: with the questions to a peer and what is being written, 5 % of a million accounts."""


@dataclass(frozen=True, slots=True)
class _Check:
    about: AboutRange
    peer: PeerId


@dataclass(frozen=True, slots=True)
class _Part:
    span: Span
    records: Records
    branches: Mapping[bytes, bytes]
    """Of whole subtrees among them."""
    number: Height
    """Of the block in whose state it was proven."""


def topic_of(target: SyncTarget) -> Topic:
    """Return what a peer must have to answer for a target."""
    return "state", target.hash


class RangeFetcher:
    """Everything on its way between a gap and the store."""

    def __init__(self, questions: Questions, limits: StateLimits) -> None:
        self._questions = questions
        self._limits = limits
        self._ranges = KeyRanges()
        self._asked: dict[int, AboutRange] = {}
        self._checks: dict[int, _Check] = {}
        self._parts: deque[_Part] = deque()
        self.total: int | None = None
        """Accounts of the whole state, as the last proof has it."""
        self._expected: int | None = None
        """The same, or what is stored makes likely; says how much to ask for at once."""

    @property
    def is_empty(self) -> bool:
        """Whether nothing is left to fetch, to check or to write."""
        return self._ranges.is_empty and not self._checks and not self._parts

    @property
    def wants(self) -> bool:
        """Whether a range waits to be asked for."""
        return bool(self._ranges.waiting)

    @property
    def held(self) -> int:
        """Questions, checks and parts."""
        return len(self._asked) + len(self._checks) + len(self._parts)

    @property
    def _unwritten(self) -> int:
        """Answers that are being checked or wait to be written."""
        return len(self._checks) + len(self._parts)

    def oldest(self) -> Height | None:
        """Return the lowest height that something on its way belongs to."""
        numbers = [about.target.number for about in self._asked.values()]
        numbers += [check.about.target.number for check in self._checks.values()]
        numbers += [part.number for part in self._parts]
        return min(numbers, default=None)

    def reset(self, gaps: list[Span]) -> list[int]:
        """Fetch these ranges and nothing else; return the questions that nobody wants any more."""
        unwanted = list(self._asked)
        self._ranges = KeyRanges(gaps)
        self._asked.clear()
        self._checks.clear()
        self._parts.clear()
        return unwanted

    def expect(self, accounts: int, gaps: list[Span]) -> None:
        """Judge from what is stored how crowded the key space is, until a proof says it.

        So a process that goes on asks for as much at once as the one before it did.

        Args:
            accounts: That are stored outside of the gaps.
            gaps: Ranges that are not covered.
        """
        covered = KEY_SPACE - sum(map(width, gaps))
        if covered and accounts >= self._limits.range_leaves:
            self._expected = accounts * KEY_SPACE // covered

    def ask(self, target: SyncTarget, now: float, *, peers: int) -> list[StateEffect]:
        """Ask for as much of a target's state as may be asked for.

        Args:
            target: The stored one.
            now: Monotonic clock, seconds.
            peers: How many there are to be asked.
        """
        asked: list[StateEffect] = []
        while self.held < self._limits.held_ranges and self._unwritten <= UNWRITTEN_MAX:
            if not self._ranges.waiting and not self._split(peers):
                break
            question = self._ask_one(target, now)
            if question is None:
                break
            asked.append(question)
        return asked

    def failed(self, name: int, peer: PeerId) -> None:
        """Note that a question was not answered: the next peer's turn."""
        key_range = self._asked.pop(name).key_range
        key_range.tried.add(peer)
        self._ranges.release(key_range)

    def released(self, name: int) -> None:
        """Note that a question came to nothing without anybody's fault."""
        self._ranges.release(self._asked.pop(name).key_range)

    def arrived(self, name: int, peer: PeerId, answer: ProvenRange) -> CheckRange:
        """Have an answer checked."""
        about = self._asked.pop(name)
        check = self._questions.take_id()
        self._checks[check] = _Check(about, peer)
        root = about.target.state_root
        return CheckRange(id=check, root=root, span=about.span, answer=answer)

    def checked(self, event: RangeChecked) -> Outcome | None:
        """Take what a check says; return what the answer was worth, or None if it is late."""
        check = self._checks.pop(event.id, None)
        if check is None:
            return None
        about, records, verified = check.about, event.records, event.verified
        if records is None or verified is None:
            about.key_range.tried.add(check.peer)
            self._ranges.release(about.key_range)
            return check.peer, Worth.FALSE
        start, last = about.span
        if verified.next is not None:
            last = before(verified.next) or last
        self.total = self._expected = verified.total
        is_short = verified.next is not None and self._is_short(records)
        self._ranges.advance(about.key_range, last, tried=[check.peer] if is_short else [])
        self._parts.append(_Part((start, last), records, verified.branches, about.target.number))
        return check.peer, Worth.SHORT if is_short else Worth.SOUND

    def take_parts(self, recent: RecentChanges) -> tuple[ProvenPart, ...]:
        """Take what can be written, and ask again for what is too old to be rolled forward."""
        taken: list[ProvenPart] = []
        while self._parts and len(taken) < self._limits.parts_at_once:
            part = self._parts.popleft()
            later = recent.since(part.number)
            if later is None:
                self._ranges.add(part.span)
            else:
                taken.append(ProvenPart(part.span, part.records, later, part.branches))
        return tuple(taken)

    def _is_short(self, records: Records) -> bool:
        """Tell whether neither the accounts nor their bytes are near what an answer may have."""
        is_few = len(records) < self._limits.range_leaves // SHORT_PART
        return is_few and len(records.payload) < MAX_LEAVES_BYTES // SHORT_PART

    def _split(self, peers: int) -> bool:
        """Make a range to ask for, if one is left that takes more than two answers."""
        if self._expected is None:
            # One for each, so that it is not the silent one who says first how much there is.
            return self.held < peers and self._ranges.split(1)
        least = 2 * self._limits.range_leaves * KEY_SPACE
        return self._ranges.split(least // max(self._expected, 1))

    def _width(self) -> int:
        """Return how many keys to ask for, so that their accounts most often fit into an answer."""
        if self._expected is None:
            return KEY_SPACE
        leaves = self._limits.range_leaves
        # Addresses are hashes: of all pieces one in forty holds more than this and two deviations.
        return max(leaves - 2 * isqrt(leaves), 1) * KEY_SPACE // max(self._expected, 1)

    def _ask_one(self, target: SyncTarget, now: float) -> AskRange | None:
        for waiting in self._candidates():
            key_range = self._ranges.carve(waiting, self._width())
            about = AboutRange(key_range, key_range.span, target)
            question = self._questions.open(topic_of(target), about, now, tried=key_range.tried)
            if question is None:
                continue
            self._ranges.lease(key_range)
            self._asked[question.id] = about
            return AskRange(
                id=question.id,
                peer=question.peer,
                target=target,
                span=about.span,
                limit=self._limits.range_leaves,
            )
        return None

    def _candidates(self) -> list[KeyRange]:
        """Return the first waiting range, and all that failed at somebody: they may differ."""
        waiting = self._ranges.waiting
        fresh = next((each for each in waiting if not each.tried), None)
        return [each for each in waiting if each.tried or each is fresh]
