"""Joining announced headers and bodies, which come as two messages in any order.

    header --+
             +--> block, under the peer that sent the header
    body ----+

What waits longer than the time allowed is ignored. A header that waits long has its body fetched:
bodies too large for gossip are never announced. The peer that sent the header is asked first, and
when it refuses or is silent, or has enough of our questions, another live one. A body counts only
when it hashes to what the header says, so nobody can spoil the header of another.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from node.blocks.block import Block
from node.blocks.body import Body
from node.chain.view import ChainView
from node.errors import Fault
from node.gossip.blocks import check_body
from node.net.network import MessageId, Verdict
from node.sync.effects import CancelRequest, ReportPeer, Resolve, SendRequest
from node.sync.inputs import BodyAnnounced, HeaderAnnounced
from node.sync.live.block_buffer import SourcedBlock
from node.sync.live.config import QueueConfig
from node.sync.live.peer_row import PeerRow
from node.sync.tickets import Asker, TicketId
from protocols.messages.block import BlockRequest
from protocols.types import Hash32, PeerId


@dataclass(frozen=True, slots=True)
class Assembled:
    """An announced block that is complete."""

    copy: SourcedBlock
    received_ms: int
    """When its header came, milliseconds since the Unix epoch."""


AssemblerOutput: TypeAlias = Assembled | SendRequest | CancelRequest | Resolve | ReportPeer


@dataclass(frozen=True, slots=True)
class _Fetch:
    """An open request for a body."""

    peer: PeerId
    sent_at: float


@dataclass(slots=True)
class _Waiting:
    """A header or a body without its other half."""

    part: HeaderAnnounced | BodyAnnounced
    size_bytes: int
    deadline: float
    fetch_at: float | None = None
    """When to ask the next peer for the body of this header; None: it is a body, or enough peers
    have been asked."""
    asked: set[PeerId] = field(default_factory=set)
    fetches: dict[TicketId, _Fetch] = field(default_factory=dict)


class BlockAssembler:
    """Keeps a bounded number of halves for a bounded time."""

    def __init__(self, chain: ChainView, config: QueueConfig, peers: PeerRow) -> None:
        """Start empty.

        Args:
            chain: What is stored.
            config: Bounds.
            peers: The live peers; whoever owns it adds and removes them.
        """
        self._chain = chain
        self._config = config
        self._peers = peers
        self._waiting: dict[Hash32, list[_Waiting]] = {}
        self._next_number = 0
        self._stepped_at = float("-inf")

    def __len__(self) -> int:
        """Count the halves that wait."""
        return sum(1 for _ in self._all())

    @property
    def size_bytes(self) -> int:
        """Bytes of them."""
        return sum(half.size_bytes for half in self._all())

    @property
    def fetches_in_flight(self) -> int:
        """Open requests for bodies."""
        return sum(len(half.fetches) for half in self._all())

    def add_header(self, header: HeaderAnnounced, now: float) -> list[AssemblerOutput]:
        """Join a header with the body that waits for it, or let it wait.

        Args:
            header: A header that has passed the cheap checks.
            now: Monotonic clock, seconds.
        """
        block = header.header.hash
        outputs: list[AssemblerOutput] = []
        bodies = [half.part for half in self._of(block) if isinstance(half.part, BodyAnnounced)]
        good = None
        for body in bodies:
            if check_body(header.header, body.body, self._chain.policy) is None:
                good = good or body
            else:
                outputs.append(self._take(body.message, block, Verdict.REJECT))
        if good is None:
            fetch_at = now + self._config.body_fetch_after_s
            size_bytes = len(header.header.encoded)
            return outputs + self._keep(block, header, size_bytes, now, fetch_at)
        # Several publishers may have announced the same body. All of them go with this block.
        messages = tuple(half.part.message for half in self._pop(block))
        return [*outputs, _assemble(header, good.body, messages)]

    def add_body(self, body: BodyAnnounced, now: float) -> list[AssemblerOutput]:
        """Join a body with the headers that wait for it, or let it wait.

        Args:
            body: A body as it came.
            now: Monotonic clock, seconds.
        """
        headers = self._headers(body.block)
        if not headers:
            return self._keep(body.block, body, len(body.body.encoded), now, None)
        if check_body(headers[0].header, body.body, self._chain.policy) is not None:
            return [Resolve(body.message, Verdict.REJECT)]
        return self._join(body.block, body.body, body.message, now)

    def body_fetched(
        self, ticket: TicketId, blocks: tuple[Block, ...], now: float
    ) -> list[AssemblerOutput]:
        """Join a fetched body with its header. Without one, or with a false one, the next is asked.

        Args:
            ticket: Of our request; an unknown one is late and changes nothing.
            blocks: What came, nothing checked; empty: a refusal or a failure.
            now: Monotonic clock, seconds.
        """
        half = next((half for half in self._all() if ticket in half.fetches), None)
        if half is None or not isinstance(half.part, HeaderAnnounced):
            return []
        peer = half.fetches[ticket].peer
        self._end_fetch(half, ticket, now)
        header = half.part.header
        body = blocks[0].body if len(blocks) == 1 else None
        if body is not None and check_body(header, body, self._chain.policy) is None:
            return self._join(header.hash, body, None, now)
        if half.fetch_at is not None:
            half.fetch_at = now
        return [ReportPeer(peer, Fault.UNSOLICITED)] if blocks else []

    def step(self, now: float) -> list[AssemblerOutput]:
        """Ignore what has waited too long, and fetch bodies that are due.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[AssemblerOutput] = []
        self._stepped_at = now
        for half in [half for half in self._all() if half.deadline <= now]:
            outputs += self._remove(half, now)
        for half in list(self._all()):
            if half.fetch_at is None or half.fetch_at > now:
                continue
            if self.fetches_in_flight >= self._config.body_fetches_in_flight:
                break
            outputs += self._fetch(half, now)
        return outputs

    def next_deadline(self) -> float | None:
        """Return when the next half has waited too long or is to be fetched, or None."""
        times = [half.deadline for half in self._all()]
        # What was due in the last step and is still here waits for a free place, not for a time.
        due = (half.fetch_at for half in self._all() if half.fetch_at is not None)
        times += [time for time in due if time > self._stepped_at]
        return min(times, default=None)

    def _all(self) -> Iterator[_Waiting]:
        return (half for halves in self._waiting.values() for half in halves)

    def _of(self, block: Hash32) -> list[_Waiting]:
        return self._waiting.get(block, [])

    def _headers(self, block: Hash32) -> list[HeaderAnnounced]:
        return [half.part for half in self._of(block) if isinstance(half.part, HeaderAnnounced)]

    def _join(
        self, block: Hash32, body: Body, message: MessageId | None, now: float
    ) -> list[AssemblerOutput]:
        """Complete every header of a block. The body's own message goes with the first."""
        outputs: list[AssemblerOutput] = []
        own = () if message is None else (message,)
        for half in self._pop(block):
            outputs += self._cancel(half, now)
            if isinstance(half.part, HeaderAnnounced):
                outputs.append(_assemble(half.part, body, own))
                own = ()
        return outputs

    def _keep(
        self,
        block: Hash32,
        part: HeaderAnnounced | BodyAnnounced,
        size_bytes: int,
        now: float,
        fetch_at: float | None,
    ) -> list[AssemblerOutput]:
        deadline = now + self._config.assembly_timeout_s
        half = _Waiting(part, size_bytes, deadline, fetch_at)
        self._waiting.setdefault(block, []).append(half)
        outputs: list[AssemblerOutput] = []
        while self._is_over():
            outputs += self._remove(self._victim(), now)
        return outputs

    def _is_over(self) -> bool:
        config = self._config
        return len(self) > config.assembly_max or self.size_bytes > config.assembly_max_bytes

    def _victim(self) -> _Waiting:
        """Return the oldest half of the peer that has the most."""
        halves: Counter[PeerId] = Counter(half.part.peer for half in self._all())
        peer = max(halves, key=halves.__getitem__)
        owned = (half for half in self._all() if half.part.peer == peer)
        return min(owned, key=lambda half: half.deadline)

    def _remove(self, half: _Waiting, now: float) -> list[AssemblerOutput]:
        part = half.part
        block = part.header.hash if isinstance(part, HeaderAnnounced) else part.block
        return [*self._cancel(half, now), self._take(part.message, block, Verdict.IGNORE)]

    def _take(self, message: MessageId, block: Hash32, verdict: Verdict) -> Resolve:
        left = [half for half in self._waiting[block] if half.part.message != message]
        if left:
            self._waiting[block] = left
        else:
            del self._waiting[block]
        return Resolve(message, verdict)

    def _pop(self, block: Hash32) -> list[_Waiting]:
        return self._waiting.pop(block, [])

    def _fetch(self, half: _Waiting, now: float) -> list[AssemblerOutput]:
        """Ask the next peer for the body of a header, if one is free."""
        assert isinstance(half.part, HeaderAnnounced)
        peer = self._choose(half, now)
        if peer is None:
            return []
        self._next_number += 1
        ticket = TicketId(Asker.BODY, self._next_number)
        half.asked.add(peer)
        half.fetches[ticket] = _Fetch(peer, now)
        has_tries = len(half.asked) < self._config.body_fetch_tries
        half.fetch_at = now + self._config.body_fetch_patience_s if has_tries else None
        request = BlockRequest(hash=half.part.header.hash, with_body=True)
        return [SendRequest(ticket, peer, request)]

    def _choose(self, half: _Waiting, now: float) -> PeerId | None:
        """Return the header's sender, though it may not be live, or the next live peer."""
        sender = half.part.peer
        unfit = half.asked | self._busy_peers()
        if sender not in unfit and not self._peers.is_slow(sender, now):
            return sender
        return self._peers.choose(now, without=unfit)

    def _busy_peers(self) -> set[PeerId]:
        """Return the peers that have as many requests for bodies as they may."""
        count = Counter(fetch.peer for half in self._all() for fetch in half.fetches.values())
        return {peer for peer in count if count[peer] >= self._config.body_fetches_per_peer}

    def _cancel(self, half: _Waiting, now: float) -> list[AssemblerOutput]:
        tickets = list(half.fetches)
        for ticket in tickets:
            self._end_fetch(half, ticket, now)
        return [CancelRequest(ticket) for ticket in tickets]

    def _end_fetch(self, half: _Waiting, ticket: TicketId, now: float) -> None:
        fetch = half.fetches.pop(ticket)
        self._peers.note_wait(fetch.peer, now - fetch.sent_at, now)


def _assemble(header: HeaderAnnounced, body: Body, bodies: tuple[MessageId, ...]) -> Assembled:
    block = Block(header.header, header.justification, body)
    copy = SourcedBlock(block=block, peer=header.peer, headers=(header.message,), bodies=bodies)
    return Assembled(copy, header.received_ms)
