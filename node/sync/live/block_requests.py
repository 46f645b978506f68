"""Asking for missing blocks: whom, how often, and what counts as an answer.

Life of one lookup:

    WAITING --among the first five, peer free--> ASKED --sound answer--> CHECKING --quorum--> READY
       ^                                           |                        |                   |
       +-------failed, refused, unsound, late------+------forged quorum-----+                   |
       |        (too often, or nobody to ask: abandoned)                                        |
       +-------taken, but it ended before the target: a follow-up-------------------------------+
                                                                   taken, target reached: done

Answers are taken in the order of the lookups, whatever order they come in. Only the first few
lookups are asked for, so no more answers than that are held.
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Final, TypeAlias

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.validators import Validators
from node.chain.view import ChainView
from node.errors import Fault
from node.sync.answers import Expected, ends_unproven, is_sound, locators_of
from node.sync.effects import CancelRequest, CheckQuorum, ReportPeer, SendRequest
from node.sync.inputs import (
    Answer,
    BlocksArrived,
    QuorumChecked,
    RequestFailed,
    RequestRefused,
)
from node.sync.live.config import QueueConfig
from node.sync.tickets import Asker, TicketId
from protocols.limits import MAX_LOCATORS
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, Hash32, Height, PeerId

SPARE_FOLLOW_UPS: Final = 2
"""The window may start and end in the middle of a batch."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody has a missing block, or nobody is there to ask."""

    target: Hash32


RequestOutput: TypeAlias = SendRequest | CancelRequest | CheckQuorum | ReportPeer | Abandoned


@dataclass(frozen=True, slots=True)
class Delivery:
    """Blocks that were asked for, ascending, to be pushed in order."""

    target: Hash32
    blocks: tuple[Block, ...]
    peer: PeerId


class _State(Enum):
    WAITING = "waiting"
    ASKED = "asked"
    CHECKING = "checking"
    READY = "ready"


@dataclass(slots=True, kw_only=True)
class _Lookup:
    """One missing block, and how far asking for it has got."""

    target: Hash32
    next_peer: PeerId | None
    """The peer to ask next, if it is there."""
    state: _State = _State.WAITING
    tries: int = 0
    asked: set[PeerId] = field(default_factory=set)
    """Peers asked in this round; when it is all of them, a new round begins after a pause."""
    not_before: float = 0.0
    direction: Direction = Direction.FORWARD
    follow_ups: int = 0
    extra_locator: Hash32 | None = None
    """Last block of the answer before, which may not have been pushed yet."""
    above: Height = 0
    validators: Validators | None = None
    """Of the epoch that the next answer is in."""
    id: TicketId | None = None
    peer: PeerId | None = None
    deadline: float = 0.0
    locators: tuple[Hash32, ...] = ()
    blocks: tuple[Block, ...] = ()


class BlockRequests:
    """Keeps a bounded number of lookups going, spread over the live peers."""

    def __init__(self, chain: ChainView, config: QueueConfig) -> None:
        self._chain = chain
        self._config = config
        self._lookups: dict[Hash32, _Lookup] = {}
        self._peers: deque[PeerId] = deque()
        self._next_number = 0

    def __len__(self) -> int:
        """Count the lookups."""
        return len(self._lookups)

    @property
    def in_flight(self) -> int:
        """Lookups that hold one of the places: asked, being checked, or answered."""
        return sum(lookup.state is not _State.WAITING for lookup in self._lookups.values())

    @property
    def targets(self) -> tuple[Hash32, ...]:
        """The missing blocks, in order."""
        return tuple(self._lookups)

    def next_deadline(self) -> float | None:
        """Return when a request is late or a pause is over, or None."""
        times = [
            lookup.deadline if lookup.state is _State.ASKED else lookup.not_before
            for lookup in self._first()
            if lookup.state in {_State.ASKED, _State.WAITING}
        ]
        return min(times, default=None)

    def add_peer(self, peer: PeerId) -> None:
        """A peer may be asked from now on."""
        if peer not in self._peers:
            self._peers.append(peer)

    def remove_peer(self, peer: PeerId) -> None:
        """A peer is no longer asked. What it was asked already may still be answered."""
        if peer in self._peers:
            self._peers.remove(peer)

    def want(self, target: Hash32, first_peer: PeerId) -> None:
        """Look for a missing block, unless it is looked for already."""
        if target not in self._lookups:
            self._lookups[target] = _Lookup(target=target, next_peer=first_peer)

    def drop(self, target: Hash32) -> list[RequestOutput]:
        """Forget a lookup: nobody needs it any more."""
        lookup = self._lookups.pop(target, None)
        if lookup is None or lookup.state is not _State.ASKED or lookup.id is None:
            return []
        return [CancelRequest(lookup.id)]

    def step(self, now: float) -> list[RequestOutput]:
        """Give up late requests and send what may be sent.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[RequestOutput] = []
        for lookup in self._first():
            if lookup.state is _State.ASKED and lookup.deadline <= now and lookup.id is not None:
                outputs.append(CancelRequest(lookup.id))
                outputs += self._retry(lookup, now)
        if not self._peers:
            waiting = [each for each in self._lookups.values() if each.state is _State.WAITING]
            return outputs + [self._abandon(lookup) for lookup in waiting]
        for lookup in self._first():
            if lookup.state is _State.WAITING and lookup.not_before <= now:
                outputs.append(self._send(lookup, now))
        return outputs

    def answered(self, answer: Answer, now: float) -> list[RequestOutput]:
        """ASKED -> CHECKING, READY or WAITING. An answer to a forgotten question changes nothing.

        Args:
            answer: What came of a request.
            now: Monotonic clock, seconds.
        """
        lookup = self._find(answer.id, _State.ASKED)
        if lookup is None:
            return []
        match answer:
            case BlocksArrived(_, blocks, size_bytes):
                return self._on_blocks(lookup, blocks, size_bytes, now)
            case RequestRefused(_, status):
                return self._on_refused(lookup, status, now)
            case RequestFailed():
                return self._retry(lookup, now)
            case _:
                raise AssertionError("only blocks are asked for here")

    def checked(self, check: QuorumChecked, now: float) -> list[RequestOutput]:
        """CHECKING -> READY, or -> WAITING if the macro block's quorum is a forgery.

        Args:
            check: What a worker found.
            now: Monotonic clock, seconds.
        """
        lookup = self._find(check.id, _State.CHECKING)
        if lookup is None:
            return []
        if not check.is_valid:
            return self._retry(lookup, now, Fault.INVALID_BLOCK)
        lookup.state = _State.READY
        return []

    def take(self) -> Delivery | None:
        """Take the answer of the first lookup, if it is there.

        READY -> done, or -> WAITING when the answer ended before the target.
        """
        lookup = next(iter(self._lookups.values()), None)
        if lookup is None or lookup.state is not _State.READY:
            return None
        assert lookup.peer is not None
        delivery = Delivery(lookup.target, lookup.blocks, lookup.peer)
        if lookup.blocks[-1].hash == lookup.target:
            del self._lookups[lookup.target]
        else:
            self._follow_up(lookup)
        return delivery

    def overrun(self) -> list[Hash32]:
        """Return the targets whose follow-ups have gone further than the window reaches."""
        batches = self._config.window_ahead_max // self._chain.policy.batch_length
        limit = batches + SPARE_FOLLOW_UPS
        return [key for key, lookup in self._lookups.items() if lookup.follow_ups > limit]

    def _first(self) -> list[_Lookup]:
        return list(islice(self._lookups.values(), self._config.requests_in_flight))

    def _find(self, ticket: TicketId, state: _State) -> _Lookup | None:
        found = (each for each in self._first() if each.id == ticket and each.state is state)
        return next(found, None)

    def _send(self, lookup: _Lookup, now: float) -> SendRequest:
        """WAITING -> ASKED."""
        chain, peer = self._chain, self._choose(lookup)
        extra = () if lookup.extra_locator is None else (lookup.extra_locator,)
        self._next_number += 1
        lookup.id = TicketId(Asker.MISSING, self._next_number)
        lookup.state, lookup.peer, lookup.next_peer = _State.ASKED, peer, None
        lookup.deadline = now + self._config.request_timeout_s
        lookup.tries += 1
        lookup.asked.add(peer)
        lookup.locators = (extra + locators_of(chain))[:MAX_LOCATORS]
        if lookup.extra_locator is None:
            lookup.validators = chain.validators
        request = MissingBlocksRequest(
            target=lookup.target,
            with_body=self._config.include_body,
            locators=lookup.locators,
            direction=lookup.direction,
        )
        return SendRequest(lookup.id, peer, request)

    def _choose(self, lookup: _Lookup) -> PeerId:
        """Return the peer to ask, and put it at the end of the row."""
        peer = lookup.next_peer
        if peer is None or peer not in self._peers:
            fresh = (each for each in self._peers if each not in lookup.asked)
            peer = next(fresh, self._peers[0])
        self._peers.remove(peer)
        self._peers.append(peer)
        return peer

    def _on_blocks(
        self, lookup: _Lookup, blocks: tuple[Block, ...], size_bytes: int, now: float
    ) -> list[RequestOutput]:
        if lookup.direction is Direction.BACKWARD:
            blocks = blocks[::-1]
        expected = Expected(
            target=lookup.target,
            locators=lookup.locators,
            above=lookup.above,
            include_body=self._config.include_body,
        )
        if not is_sound(blocks, size_bytes, expected, self._chain.policy):
            # A backward answer that stops at a macro block above ours is honest, and no use.
            is_cut_off = lookup.direction is Direction.BACKWARD and bool(blocks)
            return self._retry(lookup, now, None if is_cut_off else Fault.UNSOLICITED)
        lookup.blocks = blocks
        lookup.state = _State.READY
        if not ends_unproven(blocks, expected):
            return []
        assert lookup.id is not None
        assert lookup.validators is not None
        lookup.state = _State.CHECKING
        return [CheckQuorum(lookup.id, blocks[-1], lookup.validators)]

    def _on_refused(
        self, lookup: _Lookup, status: ResponseStatus, now: float
    ) -> list[RequestOutput]:
        if status is ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN:
            # It has the block, on a fork: those are only to be had from the target down.
            lookup.direction, lookup.next_peer = Direction.BACKWARD, lookup.peer
        return self._retry(lookup, now)

    def _retry(
        self, lookup: _Lookup, now: float, fault: Fault | None = None
    ) -> list[RequestOutput]:
        """ASKED or CHECKING -> WAITING, or abandoned after too many tries."""
        outputs: list[RequestOutput] = []
        if fault is not None and lookup.peer is not None:
            outputs.append(ReportPeer(lookup.peer, fault))
        lookup.state, lookup.blocks, lookup.id = _State.WAITING, (), None
        if lookup.next_peer is None:
            lookup.direction = Direction.FORWARD
        if lookup.tries >= self._tries():
            return [*outputs, self._abandon(lookup)]
        if lookup.next_peer is None and lookup.asked.issuperset(self._peers):
            lookup.asked.clear()
            lookup.not_before = now + self._config.retry_pause_s
        return outputs

    def _tries(self) -> int:
        return min(max(len(self._peers), self._config.tries_min), self._config.tries_max)

    def _abandon(self, lookup: _Lookup) -> Abandoned:
        del self._lookups[lookup.target]
        return Abandoned(lookup.target)

    def _follow_up(self, lookup: _Lookup) -> None:
        """READY -> WAITING for the part above what has come."""
        last = lookup.blocks[-1]
        if isinstance(last.header, MacroHeader) and last.header.next_validators is not None:
            lookup.validators = last.header.next_validators
        lookup.extra_locator, lookup.above = last.hash, last.number
        lookup.follow_ups += 1
        lookup.state, lookup.blocks, lookup.id = _State.WAITING, (), None
        lookup.tries, lookup.not_before = 0, 0.0
        lookup.asked.clear()
        lookup.next_peer = lookup.peer
