"""Finding out where a peer stands, and catching up with those that are ahead.

    ASKING --near our head--> good
      ^ |---behind----------> outdated
      | +---ahead--> AHEAD --its target reached--> ASKING
      |                |
      +-----pause------+--failed (too often, or with something invalid: outdated)

What fails waits a moment in PAUSED before it is asked again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from node.chain.view import ChainView
from node.sync.effects import CancelRequest, PushBlocks, ReportPeer, SendRequest
from node.sync.inputs import Answer, HeadArrived, PushFinished
from node.sync.live.config import QueueConfig
from node.sync.live.voting_keys import VotingKeys
from node.sync.macro.catch_up import (
    BatchPushed,
    CatchUp,
    CatchUpOutput,
    EndReason,
    SourceEnded,
    Target,
)
from node.sync.tickets import Asker, TicketId
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.types import Height, PeerId

FAILURES_MAX: Final = 3
"""Heads or batches that a peer may fail to bring, one after another, before it is left alone."""

PAUSE_S: Final = 1.0
"""Between a failure and the next question to the same peer."""


class Place(Enum):
    """Where a peer stands."""

    GOOD = "good"
    """Within our window."""
    OUTDATED = "outdated"
    """Behind it, or of no use for now."""


@dataclass(frozen=True, slots=True)
class PeerPlaced:
    """The macro sync is done with a peer."""

    peer: PeerId
    place: Place
    head: HeadResponse | None
    """What it said last, if it said anything."""


MacroOutput: TypeAlias = (
    SendRequest | CancelRequest | PushBlocks | ReportPeer | PeerPlaced | BatchPushed
)


class _State(Enum):
    ASKING = "asking"
    PAUSED = "paused"
    AHEAD = "ahead"


@dataclass(slots=True)
class _Candidate:
    state: _State
    until: float
    """Deadline of the question, or end of the pause."""
    ticket: TicketId | None = None
    failures: int = 0


def gap_of(chain: ChainView, config: QueueConfig, number: Height) -> int:
    """Return how far a height is out of our window: positive above, negative below, 0 inside."""
    head = chain.head.number
    above = number - (head + config.window_ahead_max)
    below = number - (head - config.tolerate_past_max)
    return max(above, 0) + min(below, 0)


class MacroSync:
    """Handles every peer of the list `macro`."""

    def __init__(self, chain: ChainView, config: QueueConfig, voting_keys: VotingKeys) -> None:
        self._chain = chain
        self._config = config
        self._candidates: dict[PeerId, _Candidate] = {}
        self._catch_up = CatchUp(chain, config, voting_keys)
        self._next_number = 0

    @property
    def is_catching_up(self) -> bool:
        """Whether somebody is known to be ahead."""
        return self._catch_up.is_active

    @property
    def is_proven(self) -> bool:
        """Whether whoever is said to be ahead has sent blocks that show it."""
        return self._catch_up.is_proven

    @property
    def backlog_batches(self) -> int:
        """Batches received and not yet pushed."""
        return self._catch_up.backlog_batches

    @property
    def backlog_bytes(self) -> int:
        """Bytes of them."""
        return self._catch_up.backlog_bytes

    def next_deadline(self) -> float | None:
        """Return when a question is late or a pause is over, or None."""
        waiting = (each for each in self._candidates.values() if each.state is not _State.AHEAD)
        times = [candidate.until for candidate in waiting]
        catch_up = self._catch_up.next_deadline()
        return min(times if catch_up is None else [*times, catch_up], default=None)

    def add_peer(self, peer: PeerId, now: float) -> None:
        """Look at a peer; `step` asks it.

        Args:
            peer: New, or back.
            now: Monotonic clock, seconds.
        """
        self._candidates[peer] = _Candidate(_State.PAUSED, now)

    def remove_peer(self, peer: PeerId, now: float) -> list[MacroOutput]:
        """Forget a peer that is gone; another source goes on at once.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        candidate = self._candidates.pop(peer, None)
        outputs: list[MacroOutput] = []
        if candidate is not None and candidate.ticket is not None:
            outputs.append(CancelRequest(candidate.ticket))
        return outputs + self._sort(self._catch_up.remove_source(peer), now)

    def answered(self, answer: Answer, now: float) -> list[MacroOutput]:
        """Take what a peer answered.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        if answer.id.asker is Asker.CATCH_UP:
            return self._sort(self._catch_up.answered(answer, now), now)
        for peer, candidate in list(self._candidates.items()):
            if candidate.ticket == answer.id:
                candidate.ticket = None
                if isinstance(answer, HeadArrived):
                    return self._on_head(peer, candidate, answer.head, now)
                return self._on_failure(peer, candidate, now)
        return []

    def push_finished(self, finished: PushFinished, now: float) -> list[MacroOutput]:
        """Take the results of a batch.

        Args:
            finished: A push of the catch-up.
            now: Monotonic clock, seconds.
        """
        return self._sort(self._catch_up.push_finished(finished), now)

    def step(self, now: float) -> list[MacroOutput]:
        """Ask whoever is to be asked, and keep the catch-up going.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[MacroOutput] = []
        for peer, candidate in list(self._candidates.items()):
            if candidate.state is _State.AHEAD or candidate.until > now:
                continue
            if candidate.ticket is not None:
                outputs.append(CancelRequest(candidate.ticket))
                outputs += self._on_failure(peer, candidate, now)
            else:
                outputs.append(self._ask(peer, candidate, now))
        return outputs + self._sort(self._catch_up.step(now), now)

    def _ask(self, peer: PeerId, candidate: _Candidate, now: float) -> SendRequest:
        """PAUSED -> ASKING."""
        self._next_number += 1
        candidate.ticket = TicketId(Asker.MACRO_HEAD, self._next_number)
        candidate.state = _State.ASKING
        candidate.until = now + self._config.request_timeout_s
        return SendRequest(candidate.ticket, peer, HeadRequest())

    def _on_head(
        self, peer: PeerId, candidate: _Candidate, head: HeadResponse, now: float
    ) -> list[MacroOutput]:
        """ASKING -> good, outdated or AHEAD."""
        # A known head has the height that we know, whatever the peer says.
        known = self._chain.header(head.hash)
        gap = gap_of(self._chain, self._config, head.number if known is None else known.number)
        if gap <= 0:
            del self._candidates[peer]
            return [PeerPlaced(peer, Place.GOOD if gap == 0 else Place.OUTDATED, head)]
        # A macro block is final, so it is on every honest peer's chain and stays there.
        target = Target(head.hash, head.number)
        if head.macro_number > self._chain.macro_head.number:
            target = Target(head.macro_hash, head.macro_number)
        if self._chain.contains(target.hash):
            # It is ahead on a branch that we have and do not follow, or it lies about a height.
            return self._on_failure(peer, candidate, now)
        candidate.state = _State.AHEAD
        self._catch_up.add_source(peer, target)
        return []

    def _on_failure(self, peer: PeerId, candidate: _Candidate, now: float) -> list[MacroOutput]:
        """ASKING or AHEAD -> PAUSED, or outdated after too many failures."""
        candidate.failures += 1
        candidate.ticket = None
        candidate.state, candidate.until = _State.PAUSED, now + PAUSE_S
        if candidate.failures < FAILURES_MAX:
            return []
        del self._candidates[peer]
        return [PeerPlaced(peer, Place.OUTDATED, None)]

    def _sort(self, outputs: Sequence[CatchUpOutput], now: float) -> list[MacroOutput]:
        sorted_: list[MacroOutput] = []
        for output in outputs:
            match output:
                case SourceEnded(peer, reason):
                    sorted_ += self._on_ended(peer, reason, now)
                case BatchPushed(peer):
                    if peer in self._candidates:
                        self._candidates[peer].failures = 0
                    sorted_.append(output)
                case SendRequest() | CancelRequest() | PushBlocks() | ReportPeer():
                    sorted_.append(output)
        return sorted_

    def _on_ended(self, peer: PeerId, reason: EndReason, now: float) -> list[MacroOutput]:
        """AHEAD -> ASKING, PAUSED or outdated."""
        candidate = self._candidates.get(peer)
        if candidate is None:
            return []
        match reason:
            case EndReason.REACHED:
                return [self._ask(peer, candidate, now)]
            case EndReason.FAILED:
                return self._on_failure(peer, candidate, now)
            case EndReason.BAD:
                del self._candidates[peer]
                return [PeerPlaced(peer, Place.OUTDATED, None)]
