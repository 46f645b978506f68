"""Asking for missing blocks: whom, how often, and what counts as an answer.

Life of one lookup:

    WAITING --it has a place, peer free--> ASKED --sound answer--> CHECKING --quorum--> READY
       ^                                     |                        |                   |
       +----failed, refused, unsound, late---+------forged quorum-----+                   |
       |        (too often, or nobody to ask: abandoned)                                  |
       +----taken, but it ended before the target: a follow-up----------------------------+
                                                                taken, target reached: done

Answers are taken in the order of the lookups, whatever order they come in, unless an older lookup
keeps them waiting for longer than a short grace. See `lookups` for the places.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

from node.blocks.block import Block
from node.blocks.header import MacroHeader
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
from node.sync.live.lookups import Lookup, Lookups, LookupState
from node.sync.live.peer_row import PeerRow
from node.sync.tickets import Asker, TicketId
from protocols.limits import MAX_LOCATORS
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, Hash32, PeerId

SPARE_FOLLOW_UPS: Final = 2
"""The window may start and end in the middle of a batch."""


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Nobody has a missing block, or nobody is there to ask."""

    target: Hash32


@dataclass(frozen=True, slots=True)
class PassedUs:
    """A live peer no longer keeps what we miss: it has finalised blocks above our macro head."""

    peer: PeerId


RequestOutput: TypeAlias = (
    SendRequest | CancelRequest | CheckQuorum | ReportPeer | Abandoned | PassedUs
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """Blocks that were asked for, ascending, to be pushed in order."""

    target: Hash32
    blocks: tuple[Block, ...]
    peer: PeerId


class BlockRequests:
    """Keeps a bounded number of lookups going, spread over the live peers."""

    def __init__(self, chain: ChainView, config: QueueConfig, peers: PeerRow) -> None:
        """Start with nothing to look for.

        Args:
            chain: What is stored.
            config: Bounds.
            peers: The live peers; whoever owns it adds and removes them.
        """
        self._chain = chain
        self._config = config
        self._peers = peers
        self._lookups = Lookups(config)
        self._next_number = 0

    def __len__(self) -> int:
        """Count the lookups."""
        return len(self._lookups)

    @property
    def in_flight(self) -> int:
        """Lookups that hold one of the places: asked, being checked, or answered."""
        return len(self._lookups.placed)

    @property
    def targets(self) -> tuple[Hash32, ...]:
        """The missing blocks, in order."""
        return tuple(lookup.target for lookup in self._lookups)

    def next_deadline(self) -> float | None:
        """Return when a request is late or a pause is over, or None."""
        times = [
            self._late_at(lookup) if lookup.state is LookupState.ASKED else lookup.not_before
            for lookup in self._lookups.placed
            if lookup.state in {LookupState.ASKED, LookupState.WAITING}
        ]
        return min(times, default=None)

    def next_release(self) -> float | None:
        """Return when `take` will give an answer that it holds back now, or None."""
        return self._lookups.next_release()

    def want(self, target: Hash32, first_peer: PeerId) -> bool:
        """Look for a missing block, unless it is looked for already.

        Args:
            target: The missing block.
            first_peer: Who announced what stands on it. It is asked first and pays for the place.

        Returns:
            Whether it is looked for: False if the peer has begun too many lookups. Others are not
            asked instead, since that would spend their time on one peer's word.
        """
        return self._lookups.want(target, first_peer)

    def drop(self, target: Hash32, now: float) -> list[RequestOutput]:
        """Forget a lookup: nobody needs it any more.

        Args:
            target: What was looked for.
            now: Monotonic clock, seconds.
        """
        lookup = self._lookups.get(target)
        return [] if lookup is None else self._end(lookup, now)

    def give_up(self, target: Hash32, now: float) -> list[RequestOutput]:
        """End a lookup that leads nowhere: those who announced descendants pay for it.

        Not if a peer no longer has what is missing: then it may well exist.

        Args:
            target: What was looked for.
            now: Monotonic clock, seconds.
        """
        lookup = self._lookups.get(target)
        if lookup is None:
            return []
        blamed = () if lookup.was_pruned else lookup.announcers
        blame = [ReportPeer(peer, Fault.MISSING_PARENT) for peer in blamed]
        return [*self._end(lookup, now), *blame, Abandoned(target)]

    def step(self, now: float) -> list[RequestOutput]:
        """Give up late requests and send what may be sent.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[RequestOutput] = []
        for lookup in self._lookups.placed:
            if lookup.state is LookupState.ASKED and self._late_at(lookup) <= now:
                assert lookup.id is not None
                self._note_wait(lookup, now)
                outputs.append(CancelRequest(lookup.id))
                outputs += self._retry(lookup, now)
        if not self._peers:
            return outputs + self._abandon_waiting()
        self._lookups.fill_places()
        for lookup in self._lookups.placed:
            if lookup.state is LookupState.WAITING and lookup.not_before <= now:
                outputs.append(self._send(lookup, now))
        return outputs

    def answered(self, answer: Answer, now: float) -> list[RequestOutput]:
        """ASKED -> CHECKING, READY or WAITING. An answer to a forgotten question changes nothing.

        After `PassedUs` the peer has to be removed before the next call.

        Args:
            answer: What came of a request.
            now: Monotonic clock, seconds.
        """
        lookup = self._lookups.find(answer.id, LookupState.ASKED)
        if lookup is None:
            return []
        self._note_wait(lookup, now)
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
        lookup = self._lookups.find(check.id, LookupState.CHECKING)
        if lookup is None:
            return []
        if not check.is_valid:
            return self._retry(lookup, now, Fault.INVALID_BLOCK)
        lookup.state, lookup.ready_at = LookupState.READY, now
        return []

    def take(self, now: float) -> Delivery | None:
        """Take the answer whose turn it is, if it is there.

        READY -> done, or -> WAITING when the answer ended before the target.

        Args:
            now: Monotonic clock, seconds.
        """
        lookup = self._lookups.next_ready(now)
        if lookup is None:
            return None
        assert lookup.peer is not None
        delivery = Delivery(lookup.target, lookup.blocks, lookup.peer)
        if lookup.blocks[-1].hash == lookup.target:
            self._lookups.remove(lookup)
        else:
            _follow_up(lookup)
        return delivery

    def overrun(self) -> list[Hash32]:
        """Return the targets whose follow-ups have gone further than the window reaches."""
        batches = self._config.window_ahead_max // self._chain.policy.batch_length
        limit = batches + SPARE_FOLLOW_UPS
        return [lookup.target for lookup in self._lookups if lookup.follow_ups > limit]

    def _late_at(self, lookup: Lookup) -> float:
        return lookup.asked_at + self._config.request_timeout_s

    def _note_wait(self, lookup: Lookup, now: float) -> None:
        assert lookup.peer is not None
        self._peers.note_wait(lookup.peer, now - lookup.asked_at, now)

    def _send(self, lookup: Lookup, now: float) -> SendRequest:
        """WAITING -> ASKED."""
        chain, peer = self._chain, self._choose(lookup, now)
        extra = () if lookup.extra_locator is None else (lookup.extra_locator,)
        self._next_number += 1
        lookup.id = TicketId(Asker.MISSING, self._next_number)
        if peer != lookup.next_peer:
            lookup.direction = Direction.FORWARD
        lookup.state, lookup.peer, lookup.next_peer = LookupState.ASKED, peer, None
        lookup.asked_at = now
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

    def _choose(self, lookup: Lookup, now: float) -> PeerId:
        peer = self._peers.choose(now, first=lookup.next_peer, without=lookup.asked)
        if peer is None:
            # Everybody has been asked, since others have left: the round begins again.
            peer = self._peers.choose(now)
        assert peer is not None
        return peer

    def _on_blocks(
        self, lookup: Lookup, blocks: tuple[Block, ...], size_bytes: int, now: float
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
        lookup.state, lookup.ready_at = LookupState.READY, now
        if not ends_unproven(blocks, expected):
            return []
        assert lookup.id is not None
        assert lookup.validators is not None
        lookup.state = LookupState.CHECKING
        return [CheckQuorum(lookup.id, blocks[-1], lookup.validators)]

    def _on_refused(
        self, lookup: Lookup, status: ResponseStatus, now: float
    ) -> list[RequestOutput]:
        if status is ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN:
            # It has the block, on a fork: those are only to be had from the target down.
            lookup.direction, lookup.next_peer = Direction.BACKWARD, lookup.peer
        passed: list[RequestOutput] = []
        if status is ResponseStatus.PRUNED:
            lookup.was_pruned = True
            if lookup.peer is not None and lookup.peer in self._peers:
                passed.append(PassedUs(lookup.peer))
        return [*passed, *self._retry(lookup, now)]

    def _retry(self, lookup: Lookup, now: float, fault: Fault | None = None) -> list[RequestOutput]:
        """ASKED or CHECKING -> WAITING, or given up after too many tries."""
        outputs: list[RequestOutput] = []
        if fault is not None and lookup.peer is not None:
            outputs.append(ReportPeer(lookup.peer, fault))
        lookup.state, lookup.blocks, lookup.id = LookupState.WAITING, (), None
        if lookup.tries >= self._tries():
            return outputs + self.give_up(lookup.target, now)
        if lookup.next_peer is None and lookup.asked.issuperset(self._peers):
            lookup.asked.clear()
            lookup.not_before = now + self._config.retry_pause_s
        return outputs

    def _tries(self) -> int:
        return min(max(len(self._peers), self._config.tries_min), self._config.tries_max)

    def _abandon_waiting(self) -> list[RequestOutput]:
        """End what waits when nobody is there to ask: that is nobody's fault."""
        waiting = [lookup for lookup in self._lookups if lookup.state is LookupState.WAITING]
        for lookup in waiting:
            self._lookups.remove(lookup)
        return [Abandoned(lookup.target) for lookup in waiting]

    def _end(self, lookup: Lookup, now: float) -> list[RequestOutput]:
        self._lookups.remove(lookup)
        if lookup.state is not LookupState.ASKED or lookup.id is None:
            return []
        self._note_wait(lookup, now)
        return [CancelRequest(lookup.id)]


def _follow_up(lookup: Lookup) -> None:
    """READY -> WAITING for the part above what has come."""
    last = lookup.blocks[-1]
    if isinstance(last.header, MacroHeader) and last.header.next_validators is not None:
        lookup.validators = last.header.next_validators
    lookup.extra_locator, lookup.above = last.hash, last.number
    lookup.follow_ups += 1
    lookup.state, lookup.blocks, lookup.id = LookupState.WAITING, (), None
    lookup.tries, lookup.not_before = 0, 0.0
    lookup.asked.clear()
    lookup.next_peer = lookup.peer
