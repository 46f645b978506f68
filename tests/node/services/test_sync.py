"""The driver of the sync machines: backpressure, verdicts before the commit, cancelled requests."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import trio
import trio.lowlevel
from trio.testing import MockClock, wait_all_tasks_blocked

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import PushResult
from node.crypto.bls import KeyCache
from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.network import (
    GossipMessage,
    LeaveReason,
    MessageId,
    NetworkEvent,
    PeerJoined,
    PeerLeft,
    Verdict,
)
from node.profiles import MacroSyncKind
from node.serve.block import serve_block
from node.serve.head import serve_head
from node.services.chain_writer import ChainWriter
from node.services.sync import (
    BLOCK_CHANNEL_CAPACITY,
    EVENTS_CAPACITY,
    NEWS_CAPACITY,
    Lane,
    SyncService,
)
from node.sync.effects import SyncEvent
from node.sync.inputs import BlockLearnt
from node.sync.live.config import QueueConfig
from node.sync.live.events import AcceptedAnnouncedBlock, RejectedBlock
from node.sync.peers import DRIFT_TIMEOUT_S
from node.sync.tickets import Asker, TicketId
from protocols.ids import RequestProtocol, Topic
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.block import BlockRequest
from protocols.messages.head import HeadRequest
from protocols.messages.macro_chain import MacroChainResponse
from protocols.types import PeerId
from tests.build.chain import open_chain
from tests.build.clock import FixedClock
from tests.build.sync import ALICE, branch, make_hello

MANY = 4096
UNLIMITED = QueueConfig(include_body=True, announcements_per_10_s=100_000)

Answerer = Callable[[RequestProtocol, bytes], Awaitable[bytes]]


@dataclass
class FakeNetwork:
    """The part of `Network` that the sync uses, with one end in the test's hands."""

    answer: Answerer
    verdicts: dict[MessageId, Verdict] = field(default_factory=dict)
    reports: list[tuple[PeerId, Fault]] = field(default_factory=list)
    disconnected: list[PeerId] = field(default_factory=list)
    open_requests: int = 0

    def __post_init__(self) -> None:
        self.joins, self.events = trio.open_memory_channel[NetworkEvent](10)
        self.gossip: dict[Topic, trio.MemorySendChannel[GossipMessage]] = {}

    def subscribe(self, topic: Topic) -> trio.MemoryReceiveChannel[GossipMessage]:
        # Nothing is buffered here, so whoever sends waits for the sync itself.
        self.gossip[topic], receiver = trio.open_memory_channel[GossipMessage](0)
        return receiver

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        assert message not in self.verdicts, "a second verdict"
        self.verdicts[message] = verdict

    def report(self, peer: PeerId, fault: Fault) -> None:
        self.reports.append((peer, fault))

    async def disconnect(self, peer: PeerId) -> None:
        await trio.lowlevel.checkpoint()
        self.disconnected.append(peer)

    async def request(self, _: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        self.open_requests += 1
        try:
            return await self.answer(protocol, payload)
        finally:
            self.open_requests -= 1


async def silence(_: RequestProtocol, __: bytes) -> bytes:
    await trio.sleep_forever()
    raise AssertionError


NOTHING_NEW = MacroChainResponse(epochs=(), checkpoint=None).encode()
"""A peer that has no macro block above ours."""


@dataclass
class Rig:
    """A sync service between a fake network and a real chain."""

    answer: Answerer = silence
    config: QueueConfig = UNLIMITED
    open_genesis: Callable[[Genesis], Chain] = open_chain

    def __post_init__(self) -> None:
        self.network = FakeNetwork(self.answer)
        self.keys = KeyCache()
        self.chain = self.open_genesis(branch(20).genesis)
        self.writer = ChainWriter(self.chain, in_thread=False)
        self.sync = SyncService(
            self.network,  # type: ignore[arg-type]
            self.chain,
            self.writer,
            self.config,
            min_peers=1,
            clock=FixedClock(),
            keys=self.keys,
            in_thread=False,
            kind=MacroSyncKind.HISTORY,
        )
        self.sent = 0

    async def announce(self, block: Block) -> None:
        """Announce header and body, waiting until they have been taken."""
        header = HeaderAnnouncement(
            header=block.header.encoded, justification=block.justification.encode()
        )
        await self.gossip(Topic.HEADERS, header.encode())
        assert block.body is not None
        body = BodyAnnouncement(block=block.hash, body=block.body.encoded)
        await self.gossip(Topic.BODIES, body.encode())

    async def gossip(self, topic: Topic, payload: bytes) -> None:
        self.sent += 1
        message = MessageId(self.sent.to_bytes(8, "big"))
        await self.network.gossip[topic].send(
            GossipMessage(id=message, topic=topic, payload=payload, sender=ALICE, source=ALICE)
        )


def bad_block(index: int) -> Block:
    """Return one of many blocks of another network."""
    good = branch(20).block_at(1)
    header = replace(good.header, network=9, extra_data=index.to_bytes(4, "big"))
    return replace(good, header=header)


async def test_b17_stalled_consumer_holds_the_sender_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """4096 announcements while nobody takes the events: the sender waits, nothing is lost."""
    rig = Rig()
    events = rig.sync.events()
    await nursery.start(rig.sync.run)

    async def send_all() -> None:
        for index in range(MANY):
            header = bad_block(index).header
            payload = HeaderAnnouncement(
                header=header.encoded, justification=branch(20).block_at(1).justification.encode()
            )
            await rig.gossip(Topic.HEADERS, payload.encode())

    nursery.start_soon(send_all)
    await trio.sleep(10)
    # What fits into the events, the news lane, and the hands of the tasks between them.
    assert EVENTS_CAPACITY + NEWS_CAPACITY <= rig.sent <= EVENTS_CAPACITY + NEWS_CAPACITY + 4

    rejected = [await events.receive() for _ in range(MANY)]

    assert rig.sent == MANY
    assert {type(event) for event in rejected} == {RejectedBlock}
    assert len({event.hash for event in rejected if isinstance(event, RejectedBlock)}) == MANY
    assert set(rig.network.verdicts.values()) == {Verdict.REJECT}
    assert len(rig.network.verdicts) == MANY
    nursery.cancel_scope.cancel()


async def test_b17_512_invalid_blocks_through_the_block_channel(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It holds 256: the sender waits for the rest, and each of them is rejected."""
    rig = Rig()
    events = rig.sync.events()
    sent = []

    async def send_all() -> None:
        for index in range(512):
            learnt = BlockLearnt(TicketId(Asker.POLL_BLOCK, 0), bad_block(index), ALICE)
            await rig.sync._lanes.send(Lane.BLOCKS, learnt)
            sent.append(index)

    nursery.start_soon(send_all)
    await wait_all_tasks_blocked()
    assert len(sent) == BLOCK_CHANNEL_CAPACITY
    await nursery.start(rig.sync.run)

    rejected: list[SyncEvent] = [await events.receive() for _ in range(512)]

    assert {type(event) for event in rejected} == {RejectedBlock}
    assert len(set(rejected)) == 512
    nursery.cancel_scope.cancel()


async def test_verdict_comes_before_the_commit(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A block is relayed while it is being stored, not afterwards."""
    rig = Rig()
    heights_at_verdict: list[int] = []
    resolve = rig.network.resolve

    def note(message: MessageId, verdict: Verdict) -> None:
        heights_at_verdict.append(rig.chain.head.number)
        resolve(message, verdict)

    rig.network.resolve = note  # type: ignore[method-assign]
    await nursery.start(rig.sync.run)

    await rig.announce(branch(20).block_at(1))
    await trio.sleep(1)

    assert rig.chain.head.number == 1
    assert heights_at_verdict == [0, 0]
    assert set(rig.network.verdicts.values()) == {Verdict.ACCEPT}
    nursery.cancel_scope.cancel()


async def test_a_forged_copy_of_a_block_that_others_push_meanwhile_is_not_relayed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The push finds the block known; nobody has looked at this copy's signature."""
    rig = Rig()
    good = branch(20).block_at(1)
    forged = replace(good, justification=ProducerSignature(bytes(64)))
    await nursery.start(rig.sync.run)

    async with rig.writer._turn:
        await rig.announce(forged)
        await trio.sleep(1)
        rig.chain.push([good])
    await trio.sleep(1)

    assert list(rig.network.verdicts.values()) == [Verdict.IGNORE, Verdict.ACCEPT]
    assert rig.network.reports == []
    nursery.cancel_scope.cancel()


async def test_pushes_of_others_are_followed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A validator beside us pushes the parent of a buffered block."""
    rig = Rig()

    async def only_heads(protocol: RequestProtocol, payload: bytes) -> bytes:
        if protocol is RequestProtocol.MACRO_CHAIN:
            return NOTHING_NEW
        if protocol is not RequestProtocol.HEAD:
            return await silence(protocol, payload)
        return serve_head(HeadRequest(), rig.chain).encode()

    rig.network.answer = only_heads
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(1)

    await rig.announce(branch(20).block_at(2))
    await trio.sleep(1)
    assert rig.sync.status().live.buffered == 1
    await rig.writer.push([branch(20).block_at(1)])
    await trio.sleep(1)

    assert rig.chain.head.number == 2
    assert set(rig.network.verdicts.values()) == {Verdict.ACCEPT}
    assert rig.network.open_requests == 0
    nursery.cancel_scope.cancel()


async def test_requests_of_a_peer_that_is_gone_are_closed(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(1)
    assert rig.network.open_requests == 1

    rig.network.joins.send_nowait(PeerLeft(ALICE, LeaveReason.CLOSED))
    await trio.sleep(1)

    assert rig.network.open_requests == 0
    nursery.cancel_scope.cancel()


async def test_late_requests_are_closed_at_their_deadline(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))

    await trio.sleep(10.5)
    assert rig.network.open_requests == 0
    await trio.sleep(1)

    assert rig.network.open_requests == 1
    nursery.cancel_scope.cancel()


async def test_answers_that_do_not_decode_cost_the_peer(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def junk(_: RequestProtocol, __: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return b"junk"

    rig = Rig(answer=junk)
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(0.5)

    assert rig.network.reports == [(ALICE, Fault.MALFORMED)]
    nursery.cancel_scope.cancel()


async def test_broken_framing_costs_the_peer_and_absence_does_not(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    failures: list[Exception] = [
        UnavailableError("gone"),
        PeerFaultError(ALICE, Fault.MALFORMED),
    ]

    async def fail(_: RequestProtocol, __: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        raise failures.pop(0)

    rig = Rig(answer=fail)
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(0.5)
    assert rig.network.reports == []
    await trio.sleep(1)

    assert rig.network.reports == [(ALICE, Fault.MALFORMED)]
    nursery.cancel_scope.cancel()


async def test_a_pending_push_is_finished_before_the_next_block_is_taken(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Announcements wait in their lane while a push is under way."""
    rig = Rig()
    push = rig.writer.push

    async def slow_push(*args: Any, **kwargs: Any) -> tuple[PushResult, ...]:
        await trio.sleep(5)
        return await push(*args, **kwargs)

    rig.writer.push = slow_push  # type: ignore[method-assign]
    await nursery.start(rig.sync.run)
    for number in (1, 2):
        await rig.announce(branch(20).block_at(number))

    await trio.sleep(1)
    assert rig.sync.status().live.pending_pushes == 1
    assert rig.sync.status().live.buffered == 0
    assert rig.sync._lanes.waiting(Lane.NEWS) == 2
    await trio.sleep(10)

    assert rig.chain.head.number == 2
    nursery.cancel_scope.cancel()


async def test_voting_keys_are_decoded_before_the_first_push(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    await nursery.start(rig.sync.run)
    assert len(rig.keys) == 0

    await rig.announce(branch(20).block_at(1))
    await trio.sleep(1)

    assert len(rig.keys) == len(rig.chain.validators.members)
    nursery.cancel_scope.cancel()


async def test_head_that_we_do_not_know_comes_through_the_block_channel(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    server = branch(20).fork_from(branch(20).block_at(1).hash).chain

    async def serve(protocol: RequestProtocol, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if protocol is RequestProtocol.MACRO_CHAIN:
            return NOTHING_NEW
        if protocol is RequestProtocol.HEAD:
            return serve_head(HeadRequest(), server).encode()
        assert protocol is RequestProtocol.BLOCK
        return serve_block(BlockRequest.decode(payload), server).encode()

    rig.network.answer = serve
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(1)

    assert rig.chain.head.number == 1
    nursery.cancel_scope.cancel()


async def test_peer_that_drifts_is_disconnected(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))

    await trio.sleep(DRIFT_TIMEOUT_S + 1)

    assert rig.network.disconnected == [ALICE]
    nursery.cancel_scope.cancel()


async def test_closed_consumer_is_forgotten(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()
    gone, staying = rig.sync.events(), rig.sync.events()
    gone.close()
    await nursery.start(rig.sync.run)

    await rig.announce(branch(20).block_at(1))
    await trio.sleep(1)

    assert staying.receive_nowait() == AcceptedAnnouncedBlock(branch(20).block_at(1).hash)
    nursery.cancel_scope.cancel()


async def test_more_than_the_rate_is_ignored(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig(config=QueueConfig(include_body=True))
    await nursery.start(rig.sync.run)

    for index in range(25):
        payload = HeaderAnnouncement(
            header=bad_block(index).header.encoded,
            justification=branch(20).block_at(1).justification.encode(),
        )
        await rig.gossip(Topic.HEADERS, payload.encode())
    await trio.lowlevel.checkpoint()
    await wait_all_tasks_blocked()

    verdicts = list(rig.network.verdicts.values())
    assert verdicts.count(Verdict.REJECT) == 20
    assert verdicts.count(Verdict.IGNORE) == 5
    nursery.cancel_scope.cancel()


async def test_a_peer_with_our_head_brings_consensus(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    rig = Rig()

    async def agree(protocol: RequestProtocol, _: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if protocol is RequestProtocol.MACRO_CHAIN:
            return NOTHING_NEW
        assert protocol is RequestProtocol.HEAD
        return serve_head(HeadRequest(), rig.chain).encode()

    rig.network.answer = agree
    await nursery.start(rig.sync.run)
    rig.network.joins.send_nowait(PeerJoined(ALICE, make_hello(rig.chain)))
    await trio.sleep(1)

    assert rig.sync.is_established
    nursery.cancel_scope.cancel()
