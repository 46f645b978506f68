"""What every part above the transport knows of the network.

Two implementations: real libp2p (`node.net.libp2p`) and a simulated one in virtual time
(`node.net.simulated`). Everything above runs unchanged on either.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import NewType, Protocol, TypeAlias

import trio

from node.errors import Fault
from protocols.ids import RequestProtocol, Topic
from protocols.messages.handshake import Hello
from protocols.types import PeerId

MessageId = NewType("MessageId", bytes)
"""Publisher and sequence number: unique for one publication."""

Handler: TypeAlias = Callable[[PeerId, bytes], Awaitable[bytes]]
"""Serves one request of a peer: payload in, response payload out. Runs in a task of its own."""


class Verdict(Enum):
    """What becomes of an announced message. Every message gets exactly one."""

    ACCEPT = "accept"
    """Relay it."""
    IGNORE = "ignore"
    """Do not relay it; nobody is to blame."""
    REJECT = "reject"
    """Do not relay it; the peer that sent it loses score."""


class LeaveReason(Enum):
    """Why a peer is gone."""

    CLOSED = "closed"
    """The connection ended on its side or under it."""
    BANNED = "banned"
    """Its score ran out."""
    DISCONNECTED = "disconnected"
    """We ended it on purpose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GossipMessage:
    """One announced message, waiting for its verdict."""

    id: MessageId
    topic: Topic
    payload: bytes
    sender: PeerId
    """The peer that gave it to us; a reject costs this one."""
    source: PeerId
    """The peer that published and signed it."""


@dataclass(frozen=True, slots=True)
class PeerJoined:
    """A peer is connected and its handshake has been checked."""

    peer: PeerId
    hello: Hello


@dataclass(frozen=True, slots=True)
class PeerLeft:
    """A peer that had joined is gone."""

    peer: PeerId
    reason: LeaveReason


NetworkEvent: TypeAlias = PeerJoined | PeerLeft


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRecord:
    """What is known of a connected peer, for status commands."""

    peer: PeerId
    address: str
    """Multiaddr of the remote end."""
    is_inbound: bool
    hello: Hello
    score: int
    """0 is clean; a ban comes at the limit."""
    bytes_in: int
    bytes_out: int


class Network(Protocol):
    """Connections to peers: requests, gossip, and who is there.

    Configure (`serve`, `subscribe`) before `run`. All methods belong to the trio thread.
    """

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        ...

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddrs with peer id that we really listen on. Empty before `run` has started."""
        ...

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Peers that join and leave, in order. One reader."""
        ...

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        """The peers that have joined and not left."""
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled; started once every listener is bound.

        Raises:
            ListenError: A port is taken.
        """
        ...

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        """Answer requests of this protocol with `handler`. Before `run`."""
        ...

    def subscribe(self, topic: Topic) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Join a topic. Before `run`; once per topic.

        The channel is bounded: what a slow reader cannot take is ignored, as gossip may be.
        """
        ...

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        """Give a message its verdict. A message whose time ran out has been ignored already."""
        ...

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Announce a message of ours to all peers. Our own subscription does not get it.

        Raises:
            ValueError: The payload is larger than gossip carries.
        """
        ...

    async def request(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Ask one peer and return its whole response payload.

        Cancel-safe: a cancelled request closes its stream. Ends within the protocol's timeout.

        Raises:
            UnavailableError: Not connected, no such protocol there, timed out or reset.
            PeerFaultError: The response broke the framing or the size limit.
        """
        ...

    async def connect(self, address: str) -> PeerId:
        """Dial a multiaddr that ends in a peer id and finish the handshake.

        Raises:
            UnavailableError: Nobody there, refused, banned, or of another network.
        """
        ...

    async def disconnect(self, peer: PeerId) -> None:
        """Close every connection to a peer."""
        ...

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Take score from a peer. At the limit it is disconnected and banned for ten minutes."""
        ...
