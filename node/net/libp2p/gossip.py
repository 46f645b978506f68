"""Gossip: what comes in is checked, gets exactly one verdict, and is relayed if accepted.

    RPC -> parsed, bounded -> subscriptions and control: to Pubsub and its router
                           -> messages: well formed, new, room, signed -> seen -> verdict -> relayed

Between looking whether a message is new and marking it as seen nothing waits, so a message that
comes from many peers at once is validated once.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio
from google.protobuf.message import DecodeError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.tools.anyio_service import background_trio_service

from node.crypto import ed25519
from node.errors import Fault
from node.net.libp2p.delimited import DelimitedReader
from node.net.libp2p.identity import Identity, public_key_of
from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.pubsub import Links, SafePubsub
from node.net.libp2p.router import bound_control
from node.net.libp2p.stream import Stream
from node.net.libp2p.verdicts import Undecided
from node.net.network import GossipMessage, MessageId, Verdict
from protocols.errors import WireError
from protocols.ids import Topic, topic_id
from protocols.limits import MAX_GOSSIP_BYTES
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.types import Hash32, PeerId

MAX_RPC_BYTES: Final = 1024 * 1024
"""What py-libp2p sends at most and takes at most."""

MAX_SUBSCRIPTIONS: Final = 64
"""Of one RPC. We have four topics; a peer may be on other networks too."""

SUBSCRIBING: Final = RateLimit(capacity=32)
"""Changes of one peer's subscriptions: Pubsub answers each new one with all recent messages."""

MESSAGES: Final = RateLimit(capacity=10_000)
"""New messages of one forwarder, whose signatures take a tenth of a core at this rate."""

MAX_RATED: Final = 1024
"""Peers whose rates are remembered: ten times as many as can be joined."""

SEQNO_BYTES: Final = 8

YIELD_EVERY: Final = 16
"""Messages of one RPC between two moments for other tasks: a signature takes about 0.1 ms, and an
RPC holds thousands of small messages."""

_SIGNED_PREFIX: Final = b"libp2p-pubsub:"

_REJECT_FAULTS: Final = {
    Topic.HEADERS: Fault.INVALID_BLOCK,
    Topic.BODIES: Fault.INVALID_BLOCK,
    Topic.VOTES: Fault.INVALID_VOTE,
    Topic.TRANSACTIONS: Fault.INVALID_TRANSACTION,
}


class Gossip:
    """The gossip of one node."""

    def __init__(
        self,
        identity: Identity,
        genesis: Hash32,
        limits: NetworkLimits,
        *,
        report: Callable[[PeerId, Fault], None],
    ) -> None:
        """Prepare; nothing runs and no thread starts before `running`.

        Args:
            identity: Signs what we publish.
            genesis: Its first digits are part of every topic's name.
            limits: Counts and timeouts.
            report: Is told of peers that break a rule.
        """
        self._identity = identity
        self._genesis = genesis
        self._limits = limits
        self._report = report
        self._own_id = identity.id.to_bytes()
        self._topics: dict[str, Topic] = {}
        self._readers: dict[Topic, trio.MemorySendChannel[GossipMessage]] = {}
        self._undecided = Undecided(limits)
        self._subscribing = RateLimiter[PeerId](SUBSCRIBING, max_keys=MAX_RATED)
        self._messages = RateLimiter[PeerId](MESSAGES, max_keys=MAX_RATED)
        self._streams: dict[PeerId, Stream] = {}
        """The stream on which each peer tells us, one per peer."""
        self._publishing = trio.Lock()
        self._pubsub: SafePubsub | None = None
        self._nursery: trio.Nursery | None = None

    def subscribe(self, topic: Topic) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Open the one channel of a topic. Before `running`."""
        assert self._pubsub is None, "subscribe before run"
        assert topic not in self._readers, "one subscription per topic"
        self._topics[topic_id(self._genesis, topic)] = topic
        send, receive = trio.open_memory_channel[GossipMessage](self._limits.subscription_size)
        self._readers[topic] = send
        return receive

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        """Give a message its verdict; too late is the same as never."""
        self._undecided.resolve(message, verdict)

    @asynccontextmanager
    async def running(self, links: Links, *, first_seqno: int) -> AsyncIterator[None]:
        """Run Pubsub and its router around the body.

        Args:
            links: Where the connections of joined peers are.
            first_seqno: Above every number that this identity used before.
        """
        names = frozenset(topic_id(self._genesis, topic) for topic in Topic)
        pubsub = SafePubsub(self._identity, links, names, first_seqno=first_seqno)
        async with (
            background_trio_service(pubsub),
            background_trio_service(pubsub.router),
            trio.open_nursery() as nursery,
        ):
            self._pubsub, self._nursery = pubsub, nursery
            for name in self._topics:
                await pubsub.subscribe(name)
            nursery.start_soon(self._announce, pubsub)
            try:
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Announce a message of ours.

        Raises:
            ValueError: It is larger than gossip carries.
        """
        if len(payload) > MAX_GOSSIP_BYTES:
            raise ValueError(f"gossip carries {MAX_GOSSIP_BYTES} bytes, not {len(payload)}")
        assert self._pubsub is not None, "publish while running"
        # One after the other, with a gap: queues towards peers drop in silence when full.
        async with self._publishing:
            await self._pubsub.publish(topic_id(self._genesis, topic), payload)
            await trio.sleep(self._limits.publish_gap_s)

    def peer_joined(self, peer: ID) -> None:
        """Open our stream to a peer."""
        if self._nursery is not None and self._pubsub is not None:
            self._nursery.start_soon(self._pubsub.add_peer, peer)

    def peer_left(self, peer: ID) -> None:
        """Forget a peer."""
        self._streams.pop(PeerId(peer.to_base58()), None)
        if self._pubsub is not None:
            self._pubsub.remove_peer(peer)

    def announce(self) -> None:
        """Repeat our subscriptions at once, after a connection was replaced by another."""
        if self._pubsub is not None:
            self._pubsub.announce()

    async def serve(self, stream: Stream) -> None:
        """Read what a peer tells us until it ends the stream.

        Raises:
            UnavailableError: The stream or the connection is gone.
            WireError: The peer sent something that is not gossip.
        """
        older, self._streams[stream.peer] = self._streams.get(stream.peer), stream
        if older is not None:
            older.reset()
        reader = DelimitedReader(maximum=MAX_RPC_BYTES)
        # Base58 is slow: once for a stream, not for each message.
        forwarder = ID.from_base58(stream.peer)
        while chunk := await stream.read_some():
            for message in reader.feed(chunk):
                await self._take(forwarder, message)

    async def _announce(self, pubsub: SafePubsub) -> None:
        while True:
            await trio.sleep(self._limits.announce_interval_s)
            pubsub.announce()

    async def _take(self, forwarder: ID, encoded: bytes) -> None:
        if self._pubsub is None:
            return
        rpc = rpc_pb2.RPC()
        try:
            rpc.ParseFromString(encoded)
        except DecodeError as error:
            raise WireError("Gossip", "not an RPC") from error
        for change in rpc.subscriptions[:MAX_SUBSCRIPTIONS]:
            self._take_subscription(forwarder, change)
        if rpc.HasField("control"):
            await self._take_control(forwarder, rpc.control)
        await self._take_messages(forwarder, rpc.publish)

    def _take_subscription(self, forwarder: ID, change: rpc_pb2.RPC.SubOpts) -> None:
        assert self._pubsub is not None
        if change.topicid not in self._topics:
            return
        is_subscribed = forwarder in self._pubsub.peer_topics.get(change.topicid, ())
        peer = PeerId(forwarder.to_base58())
        # Beyond the limit a change is lost until the peer announces itself again.
        if change.subscribe != is_subscribed and self._subscribing.take(peer, trio.current_time()):
            self._pubsub.handle_subscription(forwarder, change)

    async def _take_control(self, forwarder: ID, control: rpc_pb2.ControlMessage) -> None:
        assert self._pubsub is not None
        bounded = rpc_pb2.RPC(control=bound_control(control, self._topics))
        try:
            await self._pubsub.router.handle_rpc(bounded, forwarder)
        # Whatever the router stumbles over, this peer sent it.
        except Exception as error:
            raise WireError("Gossip", f"control: {type(error).__name__}") from error

    async def _take_messages(self, forwarder: ID, messages: Iterable[Any]) -> None:
        for index, message in enumerate(messages):
            if index % YIELD_EVERY == YIELD_EVERY - 1:
                await trio.lowlevel.checkpoint()
            self._take_message(forwarder, message)

    def _take_message(self, forwarder: ID, message: rpc_pb2.Message) -> None:
        """Check a message and hand it to its reader, or drop it."""
        assert self._pubsub is not None
        topic = self._topics.get(message.topicIDs[0]) if len(message.topicIDs) == 1 else None
        message_id = MessageId(message.from_id + message.seqno)
        if topic is None:
            return
        if self._pubsub.seen_messages.has(message_id):
            if message_id in self._undecided:
                self._pubsub.router.note_holder(forwarder, message_id)
            return
        sender = PeerId(forwarder.to_base58())
        if not self._undecided.has_room(sender):
            return
        if not self._messages.take(sender, trio.current_time()):
            return
        if not _is_signed(message):
            self._report(sender, Fault.MALFORMED)
            return
        self._pubsub.seen_messages.add(message_id)
        # A message of ours from before a restart comes back: nothing new, nobody's fault.
        if message.from_id == self._own_id:
            return
        announced = GossipMessage(
            id=message_id,
            topic=topic,
            payload=message.data,
            sender=sender,
            source=PeerId(ID(message.from_id).to_base58()),
        )
        self._hand_over(forwarder, announced, message)

    def _hand_over(self, forwarder: ID, announced: GossipMessage, message: rpc_pb2.Message) -> None:
        assert self._nursery is not None
        self._undecided.open(announced)
        self._nursery.start_soon(self._decide, forwarder, announced, message)
        try:
            self._readers[announced.topic].send_nowait(announced)
        except trio.WouldBlock:
            # The reader cannot keep up: the message is ignored, as gossip may be.
            self._undecided.resolve(announced.id, Verdict.IGNORE)

    async def _decide(
        self, forwarder: ID, announced: GossipMessage, message: rpc_pb2.Message
    ) -> None:
        match await self._undecided.wait(announced):
            case Verdict.ACCEPT:
                assert self._pubsub is not None
                await self._pubsub.relay(forwarder, message)
            case Verdict.REJECT:
                self._report(announced.sender, _REJECT_FAULTS[announced.topic])
            case Verdict.IGNORE:
                pass


def _is_signed(message: rpc_pb2.Message) -> bool:
    """Tell whether the publisher's key, which is inside its peer id, signed this message."""
    public_key = public_key_of(message.from_id)
    if public_key is None or len(message.seqno) != SEQNO_BYTES:
        return False
    # Peers of other implementations refuse a message with a key that is not the publisher's.
    if message.key and message.key != message.from_id[2:]:
        return False
    signed = rpc_pb2.Message(
        data=message.data,
        topicIDs=message.topicIDs,
        from_id=message.from_id,
        seqno=message.seqno,
    )
    payload = _SIGNED_PREFIX + signed.SerializeToString()
    return ed25519.verify(public_key, payload, message.signature)
