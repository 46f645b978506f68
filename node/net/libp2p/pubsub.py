"""py-libp2p's Pubsub with its intake replaced, and the little of a host that it needs.

Pubsub keeps: whom it knows, who subscribes to what, the queue and the sending task of each peer.
Ours: reading streams, parsing, signatures, verdicts (`gossip.py`). Stock, one malformed RPC or one
message with a bad key ends the host (pubsub/pubsub.py 562 and 1747), and messages are marked as
seen after their validation (1774), so that they are validated and delivered several times.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import trio
from libp2p.network.exceptions import SwarmException
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub

from node.errors import UnavailableError
from node.net.libp2p import multistream
from node.net.libp2p.identity import Identity
from node.net.libp2p.muxer import Muxer
from node.net.libp2p.router import MESHSUB, Router
from node.net.libp2p.seen import SeenMessages
from node.net.libp2p.stream import Stream
from protocols.frames import encode_varint
from protocols.types import PeerId

NEGOTIATION_TIMEOUT_S: Final = 10.0
"""For the answer to the name of the protocol."""

BATCH_BYTES: Final = 64 * 1024
"""One Noise message: nothing is won by writing more at once."""


class Links(Protocol):
    """Where gossip finds the connections of joined peers."""

    def muxer_of(self, peer: PeerId) -> Muxer | None:
        """Return the muxer to open a stream on, or None when the peer is not there."""
        ...


class SafePubsub(Pubsub):  # type: ignore[misc]
    """What a host's other parts call of Pubsub, and what Pubsub calls back.

    Messages of others come in through `relay`, after their verdict; never through `push_msg`.
    """

    def __init__(
        self, identity: Identity, links: Links, topics: frozenset[str], *, first_seqno: int
    ) -> None:
        """Build it inside `trio.run` only: Pubsub starts a thread, which is stopped at once.

        Args:
            identity: Signs what we publish.
            links: Connections of joined peers.
            topics: Everything that may be subscribed to.
            first_seqno: Above every number this identity used before: a number that is used twice
                within two minutes is taken for a duplicate. Stock starts at the time in seconds.
        """
        router = Router()
        super().__init__(
            PubsubHost(identity, links), router, strict_signing=True, allowed_topics=topics
        )
        stock_cache: Any = vars(self)["seen_messages"]
        stock_cache.stop()
        self.seen_messages = SeenMessages(trio.current_time)
        self.counter = first_seqno

    async def add_peer(self, peer: ID) -> None:
        """Open our stream to a joined peer; tries again while it stays."""
        await self._handle_new_peer_with_retry(peer)

    def remove_peer(self, peer: ID) -> None:
        """Forget a peer that has left."""
        self._handle_dead_peer(peer)

    def announce(self) -> None:
        """Repeat our subscriptions to every peer."""
        for queue in self.peer_queues.values():
            queue.push(self.get_hello_packet())

    def get_hello_packet(self) -> rpc_pb2.RPC:
        """Return our subscriptions, without the signed record.

        The first one is not written by `write_msg` (935), and stock peers discard an RPC with an
        empty record.
        """
        packet: rpc_pb2.RPC = super().get_hello_packet()
        packet.ClearField("senderRecord")
        return packet

    async def relay(self, forwarder: ID, message: rpc_pb2.Message) -> None:
        """Pass an accepted message on to the mesh."""
        await self.router.publish(forwarder, message)

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Send a message of our own, without delivering it to ourselves."""
        assert msg_forwarder == self.my_id
        self.seen_messages.add(msg.from_id + msg.seqno)
        await self.router.publish(msg_forwarder, msg)

    async def handle_sending_messages(self, _peer: ID, stream: "GossipStream", queue: Any) -> None:
        """Write what waits for a peer, as much as there is at once, until the queue is closed.

        Stock writes each RPC by itself (1261): header and body of a block would be two frames, two
        system calls, and two moments at which the peer wakes up.
        """
        while (rpc := await queue.pop()) is not None:
            payload = _encode(rpc)
            while len(queue) and len(payload) < BATCH_BYTES:
                payload += _encode(await queue.pop())
            if not await self._write(stream, payload):
                return

    async def write_msg(self, stream: "GossipStream", rpc_msg: rpc_pb2.RPC) -> bool:
        """Write one RPC whole."""
        return await self._write(stream, _encode(rpc_msg))

    async def _write(self, stream: "GossipStream", payload: bytes) -> bool:
        try:
            await stream.write(payload)
        except UnavailableError:
            self._handle_dead_peer(stream.muxed_conn.peer_id)
            return False
        return True


def _encode(rpc: rpc_pb2.RPC) -> bytes:
    """Return an RPC with its length, without the signed record that nobody here reads.

    Stock peers verify that record with every RPC that carries it.
    """
    rpc.ClearField("senderRecord")
    payload: bytes = rpc.SerializeToString()
    return encode_varint(len(payload)) + payload


class GossipStream:
    """Our stream to one peer in the shape that Pubsub expects of a stream."""

    metric_send_channel = None

    def __init__(self, stream: Stream, peer: ID) -> None:
        self._stream = stream
        # Several tasks of Pubsub write to one stream (1008, 1150): a message must stay whole.
        self._lock = trio.Lock()
        self.muxed_conn = _PeerOnly(peer)

    def get_protocol(self) -> str:
        """Return the one protocol that is ever agreed on."""
        return str(MESHSUB)

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            UnavailableError: The stream or the connection is gone.
        """
        async with self._lock:
            await self._stream.write(data)

    async def reset(self) -> None:
        """Give it up."""
        self._stream.reset()
        await trio.lowlevel.checkpoint()


class _PeerOnly:
    """Stands for a connection: Pubsub asks it for its peer only."""

    is_closed = False

    def __init__(self, peer_id: ID) -> None:
        self.peer_id = peer_id
        self.muxed_conn = self


class PubsubHost:
    """What Pubsub and its router use of a host, a network and a peer store: this and no more."""

    def __init__(self, identity: Identity, links: Links) -> None:
        self._identity = identity
        self._links = links

    def get_id(self) -> ID:
        """Return our peer id."""
        return self._identity.id

    def get_private_key(self) -> Any:
        """Return the key that signs messages."""
        return self._identity.key_pair.private_key

    def get_public_key(self) -> Any:
        """Return the key that goes with a message."""
        return self._identity.key_pair.public_key

    def get_network(self) -> "PubsubHost":
        """Return what stands for the network."""
        return self

    def get_peerstore(self) -> "PubsubHost":
        """Return what stands for the peer store."""
        return self

    def register_notifee(self, _notifee: object) -> None:
        """Do nothing: `SafePubsub.add_peer` and `remove_peer` tell it of peers."""

    def set_stream_handler(self, _protocol: str, _handler: Callable[..., Any]) -> None:
        """Do nothing: streams of peers are read in `gossip.py`."""

    def get_addrs(self) -> list[Any]:
        """Return no addresses for the signed record, which is not sent."""
        return []

    def get_local_record(self) -> "_NoRecord":
        """Return a record that is up to date and empty."""
        return _NoRecord()

    def get_connections(self, peer: ID) -> list[_PeerOnly]:
        """Return whether a peer is there, as a list."""
        is_there = self._links.muxer_of(PeerId(peer.to_base58())) is not None
        return [_PeerOnly(peer)] if is_there else []

    async def new_stream(self, peer: ID, _protocols: object) -> GossipStream:
        """Open our gossip stream to a peer.

        Raises:
            SwarmException: It is gone or speaks no gossipsub; Pubsub tries again while it stays.
        """
        muxer = self._links.muxer_of(PeerId(peer.to_base58()))
        if muxer is None:
            raise SwarmException("not connected")
        stream = None
        try:
            stream = muxer.open()
            with trio.fail_after(NEGOTIATION_TIMEOUT_S):
                await multistream.propose(stream, MESHSUB)
        except (UnavailableError, trio.TooSlowError) as error:
            if stream is not None:
                stream.reset()
            raise SwarmException("no gossip stream") from error
        return GossipStream(stream, peer)


class _NoRecord:
    def _env_addrs_set(self) -> set[Any]:
        return set()

    def marshal_envelope(self) -> bytes:
        return b""
