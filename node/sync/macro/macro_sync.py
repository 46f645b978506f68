"""Finding out what each peer leads to, and having it fetched.

    PAUSED --leads--> ASKING --something new--> AHEAD --reached--> ASKING
      | ^               |  |                      |
      | |               |  +--nothing new--+      +--failed: PAUSED, bad: outdated
      | +-----failed----+                  v
      +---cannot lead-----------------> PLACING --near our head--> good
        ^                                | |
        +------------failed--------------+ +---behind it--> outdated

A peer that has failed too often, does not know our chain or lies is outdated. One that cannot lead,
since it does not serve what we fetch, may still be near our head and live.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from node.chain.view import ChainView
from node.errors import Fault
from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    CancelRequest,
    ReportPeer,
    ResetChain,
    SendRequest,
)
from node.sync.inputs import (
    Answer,
    HeadArrived,
    MacroChainArrived,
    PushFinished,
    RequestRefused,
)
from node.sync.live.config import QueueConfig
from node.sync.macro.claims import NoClaim, read_claim, targets_of
from node.sync.macro.failures import Failures
from node.sync.macro.fetcher import (
    Claim,
    EndReason,
    Fetcher,
    FetcherOutput,
    Progressed,
    SourceEnded,
)
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.macro_chain import MacroChainRequest, MacroChainResponse
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height, PeerId

FAILURES_MAX: Final = 3
"""Answers that a peer may fail to bring, one after another, before it is left alone."""

PAUSE_S: Final = 1.0
"""Between a failure and the next question to the same peer."""


STANDSTILL_S: Final = 10.0
"""Without a new block, and three block times at least: live sync may lead nowhere."""


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


@dataclass(frozen=True, slots=True)
class StartOver:
    """What we have was taken on trust and is doubted: all peers are to be looked at again."""


MacroOutput: TypeAlias = (
    SendRequest
    | CancelRequest
    | AdoptMacroBlocks
    | AdoptBatches
    | ReportPeer
    | ResetChain
    | PeerPlaced
    | Progressed
    | StartOver
)


class _State(Enum):
    PAUSED = "paused"
    ASKING = "asking"
    PLACING = "placing"
    AHEAD = "ahead"


@dataclass(slots=True)
class _Candidate:
    state: _State
    until: float
    """Deadline of the question, or end of the pause."""
    can_lead: bool
    ticket: TicketId | None = None
    beyond: Height | None = None
    """Our macro head when it turned out to be above it; None if it did not."""
    start: Height = 0
    """Our macro head when it was asked."""
    failures: int = 0


def gap_of(chain: ChainView, config: QueueConfig, number: Height) -> int:
    """Return how far a height is out of our window: positive above, negative below, 0 inside."""
    head = chain.head.number
    above = number - (head + config.window_ahead_max)
    below = number - (head - config.tolerate_past_max)
    return max(above, 0) + min(below, 0)


def is_beyond(chain: ChainView, height: Height | None) -> bool:
    """Tell whether our macro head is still not above a height, if there is one."""
    return height is not None and chain.macro_head.number <= height


class MacroSync:
    """Handles every peer of the list `macro`."""

    def __init__(
        self,
        chain: ChainView,
        config: QueueConfig,
        fetcher: Fetcher,
        *,
        pinned: Target | None = None,
        is_last_resort: bool = False,
    ) -> None:
        """Start without peers.

        Args:
            chain: Read only.
            config: Bounds.
            fetcher: Brings the chain to what peers claim.
            pinned: The election block that the operator vouches for: who claims another, lies.
            is_last_resort: The fetcher gives up the state, so whoever can be followed live is.
        """
        self._chain = chain
        self._config = config
        self._fetcher = fetcher
        self._pinned = pinned
        self._is_last_resort = is_last_resort
        self._candidates: dict[PeerId, _Candidate] = {}
        self._given_up: set[PeerId] = set()
        """Peers that are outdated since they failed or lied, until they leave or are back."""
        self._failures = Failures()
        self._seen_head = chain.head.hash
        self._moved_at: float | None = None
        """When our head was seen to be another; None if it never was."""
        self._next_number = 0

    @property
    def is_active(self) -> bool:
        """Whether somebody is said to be ahead."""
        return self._fetcher.is_active

    @property
    def is_proven(self) -> bool:
        """Whether whoever is said to be ahead has sent what shows it."""
        return self._fetcher.is_proven

    @property
    def target(self) -> Height | None:
        """Best claimed height, proven or not; None while nobody is ahead."""
        return self._fetcher.target

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet on the chain."""
        return self._fetcher.held_bytes

    def next_deadline(self) -> float | None:
        """Return when a question is late or a pause is over, or None."""
        waiting = (each for each in self._candidates.values() if each.state is not _State.AHEAD)
        times = [candidate.until for candidate in waiting]
        fetcher = self._fetcher.next_deadline()
        return min(times if fetcher is None else [*times, fetcher], default=None)

    def add_peer(
        self, peer: PeerId, now: float, *, can_lead: bool, beyond: Height | None = None
    ) -> None:
        """Look at a peer; `step` asks it.

        Args:
            peer: New, or back.
            now: Monotonic clock, seconds.
            can_lead: Whether it serves what we fetch.
            beyond: It has shown to have a macro block above this height. Until we have one it is
                not near our head, whatever it says: else it would go back and forth without end.
        """
        self._given_up.discard(peer)
        # One that comes again has one chance: else it would never be left alone.
        failures = min(self._failures.take(peer, now), FAILURES_MAX - 1)
        self._candidates[peer] = _Candidate(
            _State.PAUSED, now, can_lead, beyond=beyond, failures=failures
        )

    def remove_peer(self, peer: PeerId, now: float) -> list[MacroOutput]:
        """Forget a peer that is gone; another source goes on at once.

        Args:
            peer: Any peer.
            now: Monotonic clock, seconds.
        """
        candidate = self._candidates.pop(peer, None)
        outputs: list[MacroOutput] = []
        if peer in self._given_up:
            self._given_up.discard(peer)
            self._failures.keep(peer, FAILURES_MAX, now)
        if candidate is not None:
            self._failures.keep(peer, candidate.failures, now)
        if candidate is not None and candidate.ticket is not None:
            outputs.append(CancelRequest(candidate.ticket))
        return outputs + self._sort(self._fetcher.remove_source(peer), now)

    def answered(self, answer: Answer, now: float) -> list[MacroOutput]:
        """Take what a peer answered.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        if answer.id.asker not in {Asker.MACRO_CHAIN, Asker.MACRO_HEAD}:
            return self._sort(self._fetcher.answered(answer, now), now)
        for peer, candidate in list(self._candidates.items()):
            if candidate.ticket == answer.id:
                candidate.ticket = None
                return self._on_answer(peer, candidate, answer, now)
        return []

    def adopted(self, finished: PushFinished, now: float) -> list[MacroOutput]:
        """Take what the chain said to what was fetched.

        Args:
            finished: A push or adoption of the fetcher.
            now: Monotonic clock, seconds.
        """
        return self._sort(self._fetcher.adopted(finished, now), now)

    def step(self, now: float) -> list[MacroOutput]:
        """Ask whoever is to be asked, and keep the fetcher going.

        Args:
            now: Monotonic clock, seconds.
        """
        self._watch_head(now)
        outputs: list[MacroOutput] = []
        for peer, candidate in list(self._candidates.items()):
            if candidate.state is _State.AHEAD or candidate.until > now:
                continue
            if candidate.ticket is not None:
                outputs.append(CancelRequest(candidate.ticket))
                outputs.append(ReportPeer(peer, Fault.TOO_SLOW))
                outputs += self._on_failure(peer, candidate, now)
            elif candidate.can_lead:
                outputs.append(self._ask(peer, candidate, now))
            else:
                outputs.append(self._place(peer, candidate, now))
        return outputs + self._sort(self._fetcher.step(now), now)

    def _ask(self, peer: PeerId, candidate: _Candidate, now: float) -> SendRequest:
        """PAUSED or AHEAD -> ASKING."""
        candidate.start = self._chain.macro_head.number
        request = MacroChainRequest(locators=_locators(self._chain))
        return self._send(peer, candidate, _State.ASKING, request, now)

    def _place(self, peer: PeerId, candidate: _Candidate, now: float) -> SendRequest:
        """PAUSED or ASKING -> PLACING."""
        return self._send(peer, candidate, _State.PLACING, HeadRequest(), now)

    def _send(
        self,
        peer: PeerId,
        candidate: _Candidate,
        state: _State,
        request: MacroChainRequest | HeadRequest,
        now: float,
    ) -> SendRequest:
        self._next_number += 1
        asker = Asker.MACRO_CHAIN if state is _State.ASKING else Asker.MACRO_HEAD
        candidate.state, candidate.ticket = state, TicketId(asker, self._next_number)
        candidate.until = now + self._config.request_timeout_s
        return SendRequest(candidate.ticket, peer, request)

    def _on_answer(
        self, peer: PeerId, candidate: _Candidate, answer: Answer, now: float
    ) -> list[MacroOutput]:
        match answer:
            case MacroChainArrived(_, claimed) if candidate.state is _State.ASKING:
                return self._on_claim(peer, candidate, claimed, now)
            case HeadArrived(_, head) if candidate.state is _State.PLACING:
                return self._on_head(peer, candidate, head, now)
            case RequestRefused(_, ResponseStatus.UNKNOWN_LOCATORS):
                return self._give_up(peer)
            case _:
                return self._on_failure(peer, candidate, now)

    def _on_claim(
        self, peer: PeerId, candidate: _Candidate, claimed: MacroChainResponse, now: float
    ) -> list[MacroOutput]:
        """ASKING -> AHEAD, PLACING or outdated."""
        match read_claim(claimed, self._chain, candidate.start, self._pinned):
            case Claim() as claim:
                if self._is_last_resort and self._is_followed(claim, candidate, now):
                    return [self._place(peer, candidate, now)]
                candidate.state = _State.AHEAD
                return self._sort(self._fetcher.add_source(peer, claim), now)
            case NoClaim.NOTHING_NEW:
                return [self._place(peer, candidate, now)]
            case NoClaim.OTHER_CHAIN:
                return self._give_up(peer)
            case NoClaim.LIE:
                return [ReportPeer(peer, Fault.FALSE_CLAIM), *self._give_up(peer)]

    def _is_followed(self, claim: Claim, candidate: _Candidate, now: float) -> bool:
        """Tell whether live sync leads to what is claimed.

        That it does not is the peer's own word. As long as others bring us blocks it counts for
        nothing: one that hears of a macro block before us would cost us our state with it.
        """
        top = targets_of(claim, self._chain.policy)[-1].height
        is_near = gap_of(self._chain, self._config, top) <= 0
        return is_near and (self._is_moving(now) or not is_beyond(self._chain, candidate.beyond))

    def _is_moving(self, now: float) -> bool:
        block_time_s = self._chain.policy.block_separation_ms / 1000
        standstill_s = max(STANDSTILL_S, 3 * block_time_s)
        return self._moved_at is not None and now < self._moved_at + standstill_s

    def _watch_head(self, now: float) -> None:
        if self._chain.head.hash != self._seen_head:
            self._seen_head, self._moved_at = self._chain.head.hash, now

    def _on_head(
        self, peer: PeerId, candidate: _Candidate, head: HeadResponse, now: float
    ) -> list[MacroOutput]:
        """PLACING -> good, outdated or PAUSED."""
        # A known head has the height that we know, whatever the peer says.
        known = self._chain.header(head.hash)
        gap = gap_of(self._chain, self._config, head.number if known is None else known.number)
        is_unreached = gap == 0 and is_beyond(self._chain, candidate.beyond)
        if is_unreached or (gap > 0 and candidate.can_lead):
            # It has just closed another batch, or it lies: it leads to no macro block.
            if self._is_last_resort and candidate.beyond is None:
                candidate.beyond = self._chain.macro_head.number
            return self._on_failure(peer, candidate, now)
        del self._candidates[peer]
        return [PeerPlaced(peer, Place.GOOD if gap == 0 else Place.OUTDATED, head)]

    def _on_failure(self, peer: PeerId, candidate: _Candidate, now: float) -> list[MacroOutput]:
        """ASKING, PLACING or AHEAD -> PAUSED, or outdated after too many failures."""
        candidate.failures += 1
        candidate.ticket = None
        candidate.state, candidate.until = _State.PAUSED, now + PAUSE_S
        return [] if candidate.failures < FAILURES_MAX else self._give_up(peer)

    def _give_up(self, peer: PeerId) -> list[MacroOutput]:
        """Any state -> outdated."""
        del self._candidates[peer]
        self._given_up.add(peer)
        return [PeerPlaced(peer, Place.OUTDATED, None)]

    def _sort(self, outputs: Sequence[FetcherOutput], now: float) -> list[MacroOutput]:
        sorted_: list[MacroOutput] = []
        for output in outputs:
            match output:
                case SourceEnded(peer, reason):
                    sorted_ += self._on_ended(peer, reason, now)
                case Progressed(peer):
                    if peer in self._candidates:
                        self._candidates[peer].failures = 0
                    sorted_.append(output)
                case _:
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
                return self._give_up(peer)


def _locators(chain: ChainView) -> tuple[Hash32, ...]:
    """Return our macro head, if it is no election block, and our election head."""
    return tuple(dict.fromkeys((chain.macro_head.hash, chain.election_head.hash)))
