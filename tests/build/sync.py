"""The sync machines with their effects carried out by hand: no network, no tasks, no clock.

Pushes and pairings are real. They wait until a test says `work` (one of them) or `settle` (all),
so a test decides what happens while a push is under way. Requests wait until it answers them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any, TypeAlias

from node.blocks.block import Block
from node.blocks.verify import has_quorum
from node.chain.chain import Chain
from node.chain.results import Pushed, PushResult
from node.chain.retention import Retention
from node.errors import Fault
from node.gossip.blocks import verdicts_of
from node.net.network import LeaveReason, MessageId, PeerJoined, PeerLeft, Verdict
from node.policy import Policy
from node.profiles import MacroSyncKind
from node.serve.batch_set import serve_batch_set
from node.serve.block import serve_block
from node.serve.head import serve_head
from node.serve.history_chunk import serve_history_chunk
from node.serve.macro_chain import serve_macro_chain
from node.serve.missing_blocks import serve_missing_blocks
from node.services.sync_answers import decode_answer
from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    CancelRequest,
    CheckQuorum,
    DisconnectPeer,
    Effect,
    Emit,
    PushBlocks,
    ReportPeer,
    Request,
    ResetChain,
    Resolve,
    SendRequest,
    SyncEvent,
)
from node.sync.inputs import (
    Answer,
    BlockLearnt,
    BlocksArrived,
    BodyAnnounced,
    ChainChanged,
    DeadlinePassed,
    HeadArrived,
    HeaderAnnounced,
    MacroChainArrived,
    PushFinished,
    QuorumChecked,
    RequestFailed,
    RequestRefused,
    SyncInput,
)
from node.sync.live.config import QueueConfig
from node.sync.macro.target import Target
from node.sync.peers import PeerList
from node.sync.syncer import Syncer
from node.sync.tickets import Asker, TicketId
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Hash32, PeerId, Service
from tests.build.chain import KEY_CACHE, ChainBuilder, light_chain, open_chain
from tests.build.clock import FixedClock
from tests.build.keys import SMALL_POLICY, genesis

ALICE, BOB, CAROL, DAVE = (PeerId(name) for name in ("alice", "bob", "carol", "dave"))

LONG_BATCHES = Policy(
    batch_length=32,
    batches_per_epoch=3,
    slots=12,
    block_separation_ms=1000,
    producer_timeout_ms=4000,
    validity_window_batches=2,
)
"""Macro blocks at 32, 64, ...: out of the way of tests that are not about them."""

ALL_SERVICES = (
    Service.HEADERS | Service.MACRO_CHAIN | Service.BODIES | Service.STATE | Service.HISTORY
)


@cache
def branch(length: int, policy: Policy = LONG_BATCHES) -> ChainBuilder:
    """Return a branch of so many blocks above genesis. It is shared: fork it, never extend it."""
    builder = ChainBuilder(genesis(policy=policy))
    builder.extend(length)
    return builder


@cache
def short_batches(length: int) -> ChainBuilder:
    """Return a branch with macro blocks at 4, 8, 12, ..."""
    return branch(length, SMALL_POLICY)


def make_hello(chain: Chain, services: Service = ALL_SERVICES) -> Hello:
    """Return what a peer on the same network says when it joins."""
    return Hello(
        network=chain.network,
        genesis=chain.genesis,
        version=PROTOCOL_VERSION,
        services=services,
        head_number=0,
        head_hash=chain.genesis,
        agent="test",
    )


Adoption: TypeAlias = AdoptMacroBlocks | AdoptBatches | ResetChain


class SyncHarness:
    """One `Syncer` over a real chain, and everything that it has asked for."""

    def __init__(
        self,
        builder: ChainBuilder,
        *,
        config: QueueConfig | None = None,
        min_peers: int = 1,
        known: int = 0,
        clock: FixedClock | None = None,
        drift_timeout_s: float = 600.0,
        kind: MacroSyncKind | None = None,
        pinned: Target | None = None,
        retention: Retention = Retention.ALL,
    ) -> None:
        """Start over the first `known` blocks of a branch; retention is of those with bodies."""
        self.builder = builder
        self.config = config or QueueConfig(include_body=True)
        self.clock = clock or FixedClock()
        self.chain = (
            open_chain(builder.genesis, clock=self.clock, retention=retention)
            if self.config.include_body
            else light_chain(builder.genesis)
        )
        self.push_elsewhere(builder.blocks[:known])
        by_bodies = MacroSyncKind.HISTORY if self.config.include_body else MacroSyncKind.LIGHT
        self.machine = Syncer(
            self.chain,
            self.config,
            min_peers=min_peers,
            kind=kind or by_bodies,
            pinned=pinned,
            drift_timeout_s=drift_timeout_s,
        )
        self.now = 0.0
        self.verdicts: dict[MessageId, Verdict] = {}
        self.announced: list[MessageId] = []
        self.events: list[SyncEvent] = []
        self.reports: list[tuple[PeerId, Fault]] = []
        self.disconnects: list[DisconnectPeer] = []
        self.requests: dict[TicketId, SendRequest] = {}
        self._tickets: set[TicketId] = set()
        """Of all requests and adoptions, also those that are over."""
        self.pushes: deque[PushBlocks] = deque()
        self.adoptions: deque[Adoption] = deque()
        self.resets = 0
        """How often the chain went back to genesis."""
        self.pushed: list[Hash32] = []
        """Every block handed to the chain, in order."""
        self.checks: deque[CheckQuorum] = deque()

    # Feeding.

    def feed(self, event: SyncInput) -> list[Effect]:
        """Give the machine one event and note what it wants."""
        effects = self.machine.handle(event, self.now)
        for effect in effects:
            self._note(effect)
        return effects

    def join(self, *peers: PeerId, services: Service = ALL_SERVICES) -> None:
        """Connect peers."""
        for peer in peers:
            self.feed(PeerJoined(peer, make_hello(self.chain, services)))

    def join_live(self, *peers: PeerId) -> None:
        """Connect peers that have the head that we have. Polls stay open."""
        for peer in peers:
            self.join(peer)
            self.answer_head(peer, head_of(self.chain))

    def leave(self, *peers: PeerId) -> None:
        """Disconnect peers. Their open requests fail, as on any network."""
        for peer in peers:
            lost = [ticket for ticket, sent in self.requests.items() if sent.peer == peer]
            self.feed(PeerLeft(peer, LeaveReason.CLOSED))
            for ticket in lost:
                self.fail(ticket)

    def announce(self, block: Block, peer: PeerId = ALICE) -> tuple[MessageId, ...]:
        """Announce a block as its parts: header, then body where bodies are wanted."""
        messages = [self.announce_header(block, peer)]
        if self.config.include_body:
            messages.append(self.announce_body(block, peer))
        return tuple(messages)

    def announce_header(self, block: Block, peer: PeerId = ALICE) -> MessageId:
        """Announce a header with its justification."""
        message = self._message()
        self.feed(
            HeaderAnnounced(
                message=message,
                peer=peer,
                header=block.header,
                justification=block.justification,
                received_ms=self.clock.now_ms(),
            )
        )
        return message

    def announce_body(self, block: Block, peer: PeerId = ALICE) -> MessageId:
        """Announce the body of a block."""
        assert block.body is not None
        message = self._message()
        self.feed(BodyAnnounced(message=message, peer=peer, block=block.hash, body=block.body))
        return message

    def learn(self, block: Block, peer: PeerId = ALICE) -> None:
        """Bring a block through the block channel."""
        self.feed(BlockLearnt(TicketId(Asker.POLL_BLOCK, 0), block, peer))

    def pass_time(self, seconds: float) -> None:
        """Move the clock, waking the machine at each of its deadlines on the way."""
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.feed(DeadlinePassed())
        self.now = end

    # Requests.

    def open_requests(self, asker: Asker, peer: PeerId | None = None) -> list[SendRequest]:
        """Return the open requests of one kind, oldest first."""
        return [
            sent
            for ticket, sent in self.requests.items()
            if ticket.asker is asker and peer in {None, sent.peer}
        ]

    def missing_request(self) -> SendRequest:
        """Return the one open request for missing blocks."""
        (sent,) = self.open_requests(Asker.MISSING)
        return sent

    def answer(self, sent: SendRequest, blocks: Sequence[Block]) -> list[Effect]:
        """Answer a request with blocks."""
        return self._answered(BlocksArrived(sent.id, tuple(blocks), 1000))

    def bring(self, answer: Answer) -> list[Effect]:
        """Bring any answer to an open request."""
        return self._answered(answer)

    def refuse(self, sent: SendRequest, status: ResponseStatus) -> list[Effect]:
        """Answer a request with a refusal."""
        return self._answered(RequestRefused(sent.id, status))

    def fail(self, ticket: TicketId) -> list[Effect]:
        """Let a request end without an answer."""
        return self._answered(RequestFailed(ticket))

    def answer_head(self, peer: PeerId, head: HeadResponse) -> None:
        """Answer what a peer has been asked so far about its head, and what leads there."""
        for sent in tuple(self.requests.values()):
            if sent.peer == peer and isinstance(sent.request, MacroChainRequest):
                self._answered(MacroChainArrived(sent.id, self._claim_of(head)))
        for sent in tuple(self.requests.values()):
            if sent.peer == peer and isinstance(sent.request, HeadRequest):
                self._answered(HeadArrived(sent.id, head))

    def claim(self, peer: PeerId, *epochs: Hash32, checkpoint: Checkpoint | None = None) -> None:
        """Let a peer claim what leads to its newest macro block."""
        (sent,) = self.open_requests(Asker.MACRO_CHAIN, peer)
        self._answered(
            MacroChainArrived(sent.id, MacroChainResponse(epochs=epochs, checkpoint=checkpoint))
        )

    def serve(self, sent: SendRequest, chain: Chain) -> list[Effect]:
        """Answer a request as an honest node with this chain does."""
        if sent.id.asker is Asker.POLL_BLOCK:
            answer = served(sent, chain)
            if isinstance(answer, BlocksArrived):
                del self.requests[sent.id]
                return self.feed(BlockLearnt(sent.id, answer.blocks[0], sent.peer))
            return self._answered(answer)
        return self._answered(served(sent, chain))

    def serve_all(self, chain: Chain, peers: Iterable[PeerId] | None = None) -> None:
        """Answer requests and carry out work until there is no more of either."""
        while True:
            self.settle()
            chosen = [
                sent for sent in self.requests.values() if peers is None or sent.peer in peers
            ]
            if not chosen:
                return
            self.serve(chosen[0], chain)

    # Work.

    def work(self) -> list[Effect]:
        """Carry out the oldest push or pairing."""
        if self.checks:
            check = self.checks.popleft()
            policy = self.chain.policy
            is_valid = has_quorum(check.block, check.validators, policy, KEY_CACHE)
            return self.feed(QuorumChecked(check.id, is_valid))
        if self.adoptions:
            return self._adopt(self.adoptions.popleft())
        push = self.pushes.popleft()
        results = self.chain.push(push.blocks)
        self.pushed += [block.hash for block in push.blocks[: len(results)]]
        verdicts = verdicts_of(results[0])
        for message in push.headers:
            self._judge(message, verdicts.header)
        for message in push.bodies:
            self._judge(message, verdicts.body)
        effects: list[Effect] = []
        for result in results:
            if isinstance(result, Pushed):
                effects += self.feed(ChainChanged(result.events))
        return effects + self.feed(PushFinished(push.id, results))

    def settle(self) -> None:
        """Carry out all work."""
        while self.pushes or self.checks or self.adoptions:
            self.work()

    def _adopt(self, effect: Adoption) -> list[Effect]:
        results: tuple[PushResult, ...] = ()
        match effect:
            case AdoptMacroBlocks():
                results = self.chain.adopt_macro_blocks(effect.blocks, is_trusted=effect.is_trusted)
            case AdoptBatches(_, batches):
                results = self.chain.adopt_batches(batches)
            case ResetChain():
                self.chain.reset_to_genesis()
                self.resets += 1
        effects: list[Effect] = []
        for result in results:
            if isinstance(result, Pushed):
                effects += self.feed(ChainChanged(result.events))
        return effects + self.feed(PushFinished(effect.id, results))

    def push_elsewhere(self, blocks: Sequence[Block]) -> None:
        """Let somebody else push blocks."""
        if not self.config.include_body:
            blocks = [block.without_body() for block in blocks]
        for result in self.chain.push(blocks):
            assert isinstance(result, Pushed), result

    def push_beside(self, block: Block) -> None:
        """Let a validator of this node push a block, and tell the machine what happened."""
        (result,) = self.chain.push([block])
        assert isinstance(result, Pushed), result
        self.feed(ChainChanged(result.events))

    # Looking.

    @property
    def height(self) -> int:
        """Height of the head."""
        return self.chain.head.number

    def list_of(self, peer: PeerId) -> PeerList | None:
        """Return the list that a peer is in, checking that there is only one."""
        lists = self.machine.status.peers
        found = [which for which, members in lists.items() if peer in members]
        assert len(found) <= 1
        return found[0] if found else None

    def verdicts_of(self, messages: Iterable[MessageId]) -> set[Verdict | None]:
        """Return the verdicts of messages; None stands for none so far."""
        return {self.verdicts.get(message) for message in messages}

    def take_events(self) -> list[SyncEvent]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events

    def _claim_of(self, head: HeadResponse) -> MacroChainResponse:
        """Return what a node with this head claims, if our branch is a part of its chain."""
        policy, ours = self.chain.policy, self.chain.macro_head.number
        first = policy.election_after(ours)
        heights = range(first, head.macro_number + 1, policy.epoch_length)
        has_checkpoint = head.macro_number > ours and not policy.is_election(head.macro_number)
        return MacroChainResponse(
            epochs=tuple(self.builder.block_at(height).hash for height in heights),
            checkpoint=Checkpoint(head.macro_number, head.macro_hash) if has_checkpoint else None,
        )

    def _answered(self, answer: Answer) -> list[Effect]:
        # A test may answer too late on purpose: then there is nothing to forget.
        self.requests.pop(answer.id, None)
        return self.feed(answer)

    def _message(self) -> MessageId:
        message = MessageId(len(self.announced).to_bytes(8, "big"))
        self.announced.append(message)
        return message

    def _judge(self, message: MessageId, verdict: Verdict) -> None:
        assert message not in self.verdicts, "a second verdict"
        assert message in self.announced
        self.verdicts[message] = verdict

    def _note(self, effect: Effect) -> None:
        match effect:
            case SendRequest(ticket):
                self._note_ticket(ticket)
                self.requests[ticket] = effect
            case CancelRequest(ticket):
                self.requests.pop(ticket, None)
            case Resolve(message, verdict):
                self._judge(message, verdict)
            case AdoptMacroBlocks() | AdoptBatches() | ResetChain():
                self._note_ticket(effect.id)
                self.adoptions.append(effect)
            case CheckQuorum() | PushBlocks() | ReportPeer() | DisconnectPeer() | Emit():
                self._collect(effect)

    def _note_ticket(self, ticket: TicketId) -> None:
        # The task of a cancelled request may still be ending when the next one starts.
        assert ticket not in self._tickets, "the name of another request"
        self._tickets.add(ticket)

    def _collect(
        self, effect: CheckQuorum | PushBlocks | ReportPeer | DisconnectPeer | Emit
    ) -> None:
        match effect:
            case CheckQuorum():
                self.checks.append(effect)
            case PushBlocks():
                self.pushes.append(effect)
            case ReportPeer(peer, fault):
                self.reports.append((peer, fault))
            case DisconnectPeer():
                self.disconnects.append(effect)
            case Emit(event):
                self.events.append(event)


def served(sent: SendRequest, chain: Chain) -> Answer:
    """Return what an honest node with this chain answers, through the wire form."""
    routes: dict[type[Request], Callable[[Any, Chain], Any]] = {
        HeadRequest: serve_head,
        BlockRequest: serve_block,
        MissingBlocksRequest: serve_missing_blocks,
        MacroChainRequest: serve_macro_chain,
        BatchSetRequest: serve_batch_set,
        HistoryChunkRequest: serve_history_chunk,
    }
    response = routes[type(sent.request)](sent.request, chain)
    return decode_answer(sent, response.encode())


def head_of(chain: Chain) -> HeadResponse:
    """Return what an honest node with this chain says of its head."""
    return serve_head(HeadRequest(), chain)
