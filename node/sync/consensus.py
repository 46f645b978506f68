"""Whether we agree with enough peers on the head, and asking them when we are not sure.

    LOST --enough live peers, complete state, and news or a poll that agrees--> ESTABLISHED
      ^                                                                              |
      +--------------------------------too few live peers----------------------------+

A *head poll* asks every live peer for its head. A head that we do not know is fetched once,
whoever has it. Polls run one at a time.
"""

from dataclasses import dataclass, field
from typing import Final, TypeAlias

from node.chain.view import ChainView
from node.sync.effects import (
    CancelRequest,
    ConsensusEstablished,
    ConsensusLost,
    Emit,
    SendRequest,
)
from node.sync.inputs import Answer, HeadArrived
from node.sync.tickets import Asker, TicketId
from protocols.messages.block import BlockRequest
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.types import Hash32, PeerId

ACCEPTED_FOR_CONSENSUS: Final = 5
"""Announced blocks on our main chain that prove that we follow the network."""

POLL_AFTER_S: Final = 5.0
"""Silence after which the live peers are asked for their heads."""

TIMEOUT_S: Final = 10.0
"""As of every request: after it, a poll goes without the peers that did not answer."""

KNOWN_PER_UNKNOWN: Final = 2
"""A poll agrees when at least two thirds of the heads are known to us."""


@dataclass(slots=True)
class _Poll:
    """One round of questions."""

    deadline: float
    asked: dict[TicketId, PeerId] = field(default_factory=dict)
    known: int = 0
    unknown: int = 0

    @property
    def agrees(self) -> bool:
        """Whether enough of the heads were known. Of no peers at all, nothing is unknown."""
        return self.known >= KNOWN_PER_UNKNOWN * self.unknown and bool(self.known)


@dataclass(frozen=True, slots=True)
class _Fetch:
    """A head that is being fetched."""

    ticket: TicketId
    deadline: float


ConsensusEffect: TypeAlias = SendRequest | CancelRequest | Emit


class Consensus:
    """Decides established or lost, and when to poll heads."""

    def __init__(self, chain: ChainView, *, min_peers: int, include_body: bool) -> None:
        """Start lost.

        Args:
            chain: What heads are compared with.
            min_peers: Live peers without which there is no consensus; 0 lets the first node of a
                network start alone.
            include_body: Whether unknown heads are fetched with bodies.
        """
        self._chain = chain
        self._min_peers = min_peers
        self._include_body = include_body
        self._peers: dict[PeerId, None] = {}
        self._accepted = 0
        self._poll: _Poll | None = None
        self._poll_at: float | None = None
        self._fetching: dict[Hash32, _Fetch] = {}
        self._next_number = 0
        self.is_established = False

    def next_deadline(self) -> float | None:
        """Return when a poll is due or over or a fetch is late, or None."""
        poll_time = self._poll_at if self._poll is None else self._poll.deadline
        times = [fetch.deadline for fetch in self._fetching.values()]
        return min(times if poll_time is None else [*times, poll_time], default=None)

    def add_peer(self, peer: PeerId, now: float) -> None:
        """A peer is live. With the first that are enough, a poll is due at once.

        Args:
            peer: The peer.
            now: Monotonic clock, seconds.
        """
        had_enough = self._has_enough and bool(self._peers)
        self._peers[peer] = None
        if self._has_enough and not had_enough:
            self._poll_at = now

    def remove_peer(self, peer: PeerId) -> list[ConsensusEffect]:
        """A peer is no longer live. ESTABLISHED -> LOST when too few are left."""
        self._peers.pop(peer, None)
        if not self._peers:
            self._poll_at = None
        if self._has_enough:
            return []
        self._accepted, self._poll_at = 0, None
        if not self.is_established:
            return []
        self.is_established = False
        return [Emit(ConsensusLost())]

    def accepted_announcement(self, now: float) -> None:
        """An announced block is on our main chain: no poll for a while.

        Args:
            now: Monotonic clock, seconds.
        """
        self._accepted = min(self._accepted + 1, ACCEPTED_FOR_CONSENSUS)
        if self._poll_at is not None:
            self._poll_at = now + POLL_AFTER_S

    def buffer_emptied(self, now: float) -> None:
        """All that waited has been pushed: the moment to ask whether that is the head.

        Args:
            now: Monotonic clock, seconds.
        """
        if not self.is_established and self._peers and self._has_enough:
            self._poll_at = now

    def answered(self, answer: Answer, now: float) -> list[ConsensusEffect]:
        """Take the answer to a head request or to the fetch of an unknown head.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        if answer.id.asker is Asker.POLL_BLOCK:
            self.fetched(answer.id)
            return []
        poll = self._poll
        if poll is None or answer.id not in poll.asked:
            return []
        peer = poll.asked.pop(answer.id)
        if not isinstance(answer, HeadArrived):
            return []
        if self._chain.contains(answer.head.hash):
            poll.known += 1
            return []
        poll.unknown += 1
        return self.learnt_head(answer.head, peer, now)

    def polled(self, ticket: TicketId) -> PeerId | None:
        """Return the peer whose head is being asked for with this ticket."""
        return None if self._poll is None else self._poll.asked.get(ticket)

    def learnt_head(self, head: HeadResponse, peer: PeerId, now: float) -> list[ConsensusEffect]:
        """Fetch a head that we do not know, unless it is being fetched.

        Args:
            head: What a peer says of its chain.
            peer: The one that has it.
            now: Monotonic clock, seconds.
        """
        if self._chain.contains(head.hash) or head.hash in self._fetching:
            return []
        ticket = self._ticket(Asker.POLL_BLOCK)
        self._fetching[head.hash] = _Fetch(ticket, now + TIMEOUT_S)
        request = BlockRequest(hash=head.hash, with_body=self._include_body)
        return [SendRequest(ticket, peer, request)]

    def fetched(self, ticket: TicketId) -> None:
        """The fetch of a head is over, well or badly."""
        kept = {key: fetch for key, fetch in self._fetching.items() if fetch.ticket != ticket}
        self._fetching = kept

    def step(self, now: float, *, is_complete: bool) -> list[ConsensusEffect]:
        """End and start polls, and say so when consensus is there.

        Args:
            now: Monotonic clock, seconds.
            is_complete: Whether the state is complete: no macro sync is under way.
        """
        effects, agrees = self._end_poll(now)
        for fetch in [each for each in self._fetching.values() if each.deadline <= now]:
            self.fetched(fetch.ticket)
            effects.append(CancelRequest(fetch.ticket))
        # The first node of a network has nobody to ask, and nothing to wait for.
        is_alone = self._min_peers == 0 and not self._peers
        has_news = self._accepted >= ACCEPTED_FOR_CONSENSUS
        has_reason = agrees or has_news or is_alone
        if self._has_enough and is_complete and has_reason and not self.is_established:
            self.is_established = True
            effects.append(Emit(ConsensusEstablished()))
        return effects + self._start_poll(now)

    @property
    def fetches_in_flight(self) -> int:
        """Unknown heads that are being fetched."""
        return len(self._fetching)

    @property
    def has_enough_peers(self) -> bool:
        """Whether there are as many live peers as consensus takes, and any."""
        return self._has_enough and bool(self._peers)

    @property
    def _has_enough(self) -> bool:
        return len(self._peers) >= self._min_peers

    def _end_poll(self, now: float) -> tuple[list[ConsensusEffect], bool]:
        poll = self._poll
        if poll is None or (poll.asked and now < poll.deadline):
            return [], False
        self._poll = None
        return [CancelRequest(ticket) for ticket in poll.asked], poll.agrees

    def _start_poll(self, now: float) -> list[ConsensusEffect]:
        if self._poll is not None or self._poll_at is None or self._poll_at > now:
            return []
        self._poll_at = now + POLL_AFTER_S
        self._poll = _Poll(now + TIMEOUT_S)
        effects: list[ConsensusEffect] = []
        for peer in self._peers:
            ticket = self._ticket(Asker.POLL_HEAD)
            self._poll.asked[ticket] = peer
            effects.append(SendRequest(ticket, peer, HeadRequest()))
        return effects

    def _ticket(self, asker: Asker) -> TicketId:
        self._next_number += 1
        return TicketId(asker, self._next_number)
