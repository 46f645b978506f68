"""The controller of block live sync: what came in, what is pushed, what is asked for.

    announced --> assembler --> held? --+
    learnt -----------------------------+--> queue --> pending pushes (one at a time, in order)
    asked for --> requests -------------+      |
                     ^                         |
                     +------- what is missing -+

Pending pushes are drained before the next block is taken: the driver asks `is_idle` before it
brings an announcement or a learnt block, and answers of the requests wait in order by themselves.
The driver's order is a courtesy, not a need: a block that comes while another is pushed is only
classified earlier.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from node.blocks.block import Block
from node.blocks.body import Body
from node.chain.results import ChainEvent
from node.chain.view import ChainView
from node.gossip.blocks import (
    check_body,
    check_header,
    verdict_on_stored_body,
    verdicts_on_stored,
)
from node.net.network import MessageId, Verdict
from node.sync.effects import (
    CancelRequest,
    CheckQuorum,
    Effect,
    Emit,
    PushBlocks,
    ReportPeer,
    Resolve,
    SendRequest,
)
from node.sync.inputs import (
    Answer,
    BlockLearnt,
    BlocksArrived,
    BodyAnnounced,
    HeaderAnnounced,
    PushFinished,
    QuorumChecked,
)
from node.sync.live.block_assembler import Assembled, AssemblerOutput, BlockAssembler
from node.sync.live.block_buffer import SourcedBlock
from node.sync.live.block_queue import BlockQueue, FindMissing, Push, QueueOutput
from node.sync.live.block_requests import Abandoned, BlockRequests, PassedUs, RequestOutput
from node.sync.live.config import QueueConfig
from node.sync.live.events import Ahead, Behind, RejectedBlock
from node.sync.live.held_blocks import HeldBlocks
from node.sync.live.peer_row import PeerRow
from node.sync.live.voting_keys import VotingKeys
from node.sync.tickets import Asker, TicketId
from protocols.types import PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveStatus:
    """How full everything is, for status lines, metrics and the tests of the bounds."""

    buffered: int
    buffered_bytes: int
    pending_pushes: int
    pushing: int
    requests: int
    requests_in_flight: int
    assembling: int
    assembling_bytes: int
    body_fetches: int
    held: int
    held_bytes: int


class LiveSyncer:
    """Owns the parts of block live sync and runs one push at a time."""

    def __init__(self, chain: ChainView, config: QueueConfig, voting_keys: VotingKeys) -> None:
        self._chain = chain
        self._config = config
        self._voting_keys = voting_keys
        self._live_peers = PeerRow(config)
        self._requests = BlockRequests(chain, config, self._live_peers)
        self._queue = BlockQueue(chain, config, live_peers=self._live_peers)
        self._assembler = BlockAssembler(chain, config, self._live_peers)
        self._held = HeldBlocks(config)
        self._pending: deque[Push] = deque()
        self._current: Push | None = None
        self._push_number = 0

    @property
    def is_idle(self) -> bool:
        """Whether no push is pending: the next block may be brought."""
        return self._current is None and not self._pending

    @property
    def peers(self) -> tuple[PeerId, ...]:
        """The live peers."""
        return tuple(self._live_peers)

    @property
    def status(self) -> LiveStatus:
        """How full everything is."""
        return LiveStatus(
            buffered=self._queue.buffered,
            buffered_bytes=self._queue.buffered_bytes,
            pending_pushes=len(self._pending) + (self._current is not None),
            pushing=self._queue.pushing,
            requests=len(self._requests),
            requests_in_flight=self._requests.in_flight,
            assembling=len(self._assembler),
            assembling_bytes=self._assembler.size_bytes,
            body_fetches=self._assembler.fetches_in_flight,
            held=len(self._held),
            held_bytes=self._held.size_bytes,
        )

    def next_deadline(self) -> float | None:
        """Return the monotonic time at which `step` has something to do, or None."""
        parts = (self._requests, self._assembler, self._held)
        times = [part.next_deadline() for part in parts]
        if self._current is None:
            times.append(self._requests.next_release())
        return min((time for time in times if time is not None), default=None)

    def add_peer(self, peer: PeerId) -> None:
        """A peer is live: it may be asked, and what it announces says where it stands."""
        self._live_peers.add(peer)

    def remove_peer(self, peer: PeerId) -> None:
        """A peer is no longer live, or is gone."""
        self._live_peers.remove(peer)

    def header_announced(self, header: HeaderAnnounced, now: float) -> list[Effect]:
        """Take a header from gossip.

        Args:
            header: Well-formed, nothing checked.
            now: Monotonic clock, seconds.
        """
        policy, network = self._chain.policy, self._chain.network
        if check_header(header.header, header.justification, policy, network) is not None:
            rejected = RejectedBlock(header.header.hash)
            return [Resolve(header.message, Verdict.REJECT), Emit(rejected)]
        if not self._config.include_body:
            return self._arrived(header, None, now)
        if self._chain.contains(header.header.hash):
            # Its body is not waited for: it may have been taken for the first announcement.
            block = Block(header.header, header.justification, None)
            return [Resolve(header.message, verdicts_on_stored(block, self._chain).header)]
        held = self._queue.holds(header.header.hash)
        if held is not None:
            return self._arrived(header, held.body, now)
        return self._assembled(self._assembler.add_header(header, now), now)

    def body_announced(self, body: BodyAnnounced, now: float) -> list[Effect]:
        """Take a body from gossip.

        Args:
            body: Well-formed, nothing checked.
            now: Monotonic clock, seconds.
        """
        if not self._config.include_body:
            return [Resolve(body.message, Verdict.IGNORE)]
        held = self._queue.holds(body.block)
        header = self._chain.header(body.block) if held is None else held.header
        if header is None:
            return self._assembled(self._assembler.add_body(body, now), now)
        if check_body(header, body.body, self._chain.policy) is not None:
            return [Resolve(body.message, Verdict.REJECT)]
        if held is None:
            return [Resolve(body.message, verdict_on_stored_body(body.block, self._chain))]
        copy = SourcedBlock(block=held, peer=body.peer, bodies=(body.message,))
        return self._queued(self._queue.add(copy), now)

    def block_learnt(self, learnt: BlockLearnt, now: float) -> list[Effect]:
        """Take a block from the block channel.

        Args:
            learnt: Decoded, nothing checked.
            now: Monotonic clock, seconds.
        """
        copy = SourcedBlock(block=learnt.block, peer=learnt.peer)
        return self._queued(self._queue.add(copy), now)

    def answered(self, answer: Answer, now: float) -> list[Effect]:
        """Take what came of one of our requests.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        if answer.id.asker is Asker.BODY:
            blocks = answer.blocks if isinstance(answer, BlocksArrived) else ()
            outputs = self._assembler.body_fetched(answer.id, blocks, now)
            effects = self._assembled(outputs, now)
            return effects + self.step(now)
        return self._asked(self._requests.answered(answer, now), now)

    def quorum_checked(self, check: QuorumChecked, now: float) -> list[Effect]:
        """Take the worker's word on a macro block.

        Args:
            check: What it found.
            now: Monotonic clock, seconds.
        """
        return self._asked(self._requests.checked(check, now), now)

    def push_finished(self, finished: PushFinished, now: float) -> list[Effect]:
        """Take the results of the current push and start the next.

        Args:
            finished: The push that was committed.
            now: Monotonic clock, seconds.
        """
        push = self._current
        if push is None or finished.id.number != self._push_number:
            return []
        self._current = None
        return self._queued(self._queue.finish(push, finished.results), now)

    def chain_changed(self, events: Sequence[ChainEvent], now: float) -> list[Effect]:
        """Follow the chain wherever others have pushed it.

        Args:
            events: What happened, in order.
            now: Monotonic clock, seconds.
        """
        outputs = [output for event in events for output in self._queue.chain_changed(event)]
        return self._queued(outputs, now)

    def step(self, now: float) -> list[Effect]:
        """Do what the time has come for.

        Args:
            now: Monotonic clock, seconds.
        """
        effects = self._assembled(self._assembler.step(now), now)
        released = self._held.release(now)
        effects += [Resolve(message, Verdict.IGNORE) for message in released.ignored]
        for copy in released.blocks:
            effects += self._queued(self._queue.add(copy), now)
        return effects + self._advance(now)

    def _arrived(self, header: HeaderAnnounced, body: Body | None, now: float) -> list[Effect]:
        """Classify a header that needs no other half."""
        block = Block(header.header, header.justification, body)
        copy = SourcedBlock(block=block, peer=header.peer, headers=(header.message,))
        return self._assembled([Assembled(copy, header.received_ms)], now)

    def _assembled(self, outputs: Sequence[AssemblerOutput], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for output in outputs:
            match output:
                case Assembled(copy, received_ms):
                    effects += self._complete(copy, received_ms, now)
                case Resolve() | SendRequest() | CancelRequest() | ReportPeer():
                    effects.append(output)
        return effects

    def _complete(self, copy: SourcedBlock, received_ms: int, now: float) -> list[Effect]:
        latest = received_ms + self._chain.policy.max_clock_drift_ms
        early_ms = copy.block.header.timestamp - latest
        if early_ms <= 0:
            return self._queued(self._queue.add(copy), now)
        ignored: tuple[MessageId, ...] = self._held.hold(copy, early_ms, now)
        return [Resolve(message, Verdict.IGNORE) for message in ignored]

    def _queued(self, outputs: Sequence[QueueOutput], now: float) -> list[Effect]:
        """Carry out what the queue decided, then do what it has made possible."""
        return self._sort(outputs) + self._advance(now)

    def _sort(self, outputs: Sequence[QueueOutput]) -> list[Effect]:
        effects: list[Effect] = []
        waiting = deque(outputs)
        while waiting:
            match output := waiting.popleft():
                case Push():
                    self._pending.append(output)
                case FindMissing(target, first_peer, block):
                    if not self._requests.want(target, first_peer):
                        waiting.extendleft(reversed(self._queue.turn_away(block)))
                case Emit(Behind(peer) | Ahead(peer)):
                    self.remove_peer(peer)
                    effects.append(output)
                case Resolve() | ReportPeer() | Emit():
                    effects.append(output)
        return effects

    def _asked(self, outputs: Sequence[RequestOutput], now: float) -> list[Effect]:
        return self._report(outputs) + self._advance(now)

    def _report(self, outputs: Sequence[RequestOutput]) -> list[Effect]:
        effects: list[Effect] = []
        for output in outputs:
            match output:
                case Abandoned(target):
                    effects += self._sort(self._queue.abandon(target))
                case PassedUs(peer):
                    self.remove_peer(peer)
                    effects.append(Emit(Ahead(peer)))
                case SendRequest() | CancelRequest() | CheckQuorum() | ReportPeer():
                    effects.append(output)
        return effects

    def _advance(self, now: float) -> list[Effect]:
        """Drop what nobody needs, start the next push, send what may be sent."""
        effects = self._forget_needless(now)
        # Before the pushes: a lookup that is given up may have kept an answer behind it waiting.
        effects += self._report(self._requests.step(now))
        while self._current is None and (push := self._next_push(now)) is not None:
            settled = self._queue.skip_stored(push)
            effects += [self._start_push(push)] if settled is None else self._sort(settled)
        return effects + self._report(self._requests.step(now))

    def _next_push(self, now: float) -> Push | None:
        """Take the next pending push, and an answer only when there is none."""
        if self._pending:
            return self._pending.popleft()
        delivery = self._requests.take(now)
        if delivery is None:
            return None
        return self._queue.start_missing(delivery.blocks, delivery.peer)

    def _forget_needless(self, now: float) -> list[Effect]:
        """End the lookups that nobody waits for, and those that lead further than the window."""
        effects: list[Effect] = []
        for target in self._requests.overrun():
            effects += self._report(self._requests.give_up(target, now))
        for target in self._requests.targets:
            if self._chain.contains(target):
                effects += self._sort(self._queue.adopt([target]))
            if not self._queue.is_needed(target):
                effects += self._report(self._requests.drop(target, now))
        return effects

    def _start_push(self, push: Push) -> PushBlocks:
        self._current = push
        self._push_number += 1
        return PushBlocks(
            id=TicketId(Asker.LIVE, self._push_number),
            blocks=push.blocks,
            headers=push.headers,
            bodies=push.bodies,
            voting_keys=self._voting_keys.take_missing(),
        )
