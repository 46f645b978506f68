"""The network in virtual time: the same promises as libp2p, without sockets.

Life of a connection, seen from one end:

    dialling --handshake fits--> linked --closed, cut off, banned, node gone--> left

Gossip floods: an accepted message goes to every linked peer that follows its topic and does not
have it. Nothing is repaired, so what a link loses is lost, as gossip may lose it. A node's
incoming traffic is one queue ordered by time of arrival, emptied by the task in `run`.
"""

import contextlib
import heapq
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

import trio

from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.announcements import Announcements, Blame, Relay
from node.net.hub import Arrival, Hub, LinkConditions
from node.net.network import (
    GossipMessage,
    Handler,
    LeaveReason,
    MessageId,
    NetworkEvent,
    PeerJoined,
    PeerLeft,
    PeerRecord,
    Verdict,
)
from node.net.scores import ScoreBook, ScoreLimits
from protocols.ids import RequestProtocol, Topic
from protocols.limits import MAX_GOSSIP_BYTES
from protocols.messages.handshake import Hello
from protocols.types import PeerId

__all__ = ["Hub", "LinkConditions", "SimulatedNetwork"]

DIAL_TIMEOUT_S: Final = 10.0
"""For a whole dial with its handshake."""

EVENT_CAPACITY: Final = 1024
"""Joins and leaves that nobody has read yet: a reader that is so far behind is our bug."""

SUBSCRIPTION_CAPACITY: Final = 256
"""Announcements that a slow reader has not taken yet; more are ignored."""

_REJECT_FAULTS: Final = {
    Topic.HEADERS: Fault.INVALID_BLOCK,
    Topic.BODIES: Fault.INVALID_BLOCK,
    Topic.VOTES: Fault.INVALID_VOTE,
    Topic.TRANSACTIONS: Fault.INVALID_TRANSACTION,
}


@dataclass(eq=False, slots=True)
class _Pending:
    """A request that waits for its response."""

    done: trio.Event = field(default_factory=trio.Event)
    response: bytes | None = None
    failure: str = "timed out"

    def succeed(self, response: bytes) -> None:
        self.response = response
        self.done.set()

    def fail(self, reason: str) -> None:
        self.failure = reason
        self.done.set()


@dataclass(eq=False, slots=True, kw_only=True)
class _Link:
    """One end of a connection."""

    remote: "SimulatedNetwork"
    is_inbound: bool
    hello: Hello
    bytes_in: int = 0
    bytes_out: int = 0
    is_open: bool = True
    pending: dict[_Pending, None] = field(default_factory=dict)
    """Our requests over it, oldest first."""

    @property
    def peer(self) -> PeerId:
        return self.remote.peer_id


class SimulatedNetwork:
    """One node's end of a `Hub`. Implements `node.net.network.Network`.

    A node that starts again gets a new object with the same hub and id. Bans are by peer id.
    """

    def __init__(
        self,
        hub: Hub,
        peer_id: PeerId,
        hello: Callable[[], Hello],
        *,
        score_limits: ScoreLimits | None = None,
    ) -> None:
        self._hub = hub
        self._peer_id = peer_id
        self._hello = hello
        self._scores = ScoreBook(score_limits or ScoreLimits())
        self._links: dict[PeerId, _Link] = {}
        self._handlers: dict[RequestProtocol, Handler] = {}
        self._subscriptions: dict[Topic, trio.MemorySendChannel[GossipMessage]] = {}
        self._announcements = Announcements()
        self._arrivals: list[tuple[Arrival, int, Callable[[], None]]] = []
        self._scheduled = 0
        self._wakeup = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._event_sender, self._events = trio.open_memory_channel[NetworkEvent](EVENT_CAPACITY)

    # What every network offers.

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        return self._peer_id

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Our one address, while running."""
        return (simulated_address(self._peer_id),) if self.is_running else ()

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Peers that join and leave, in order."""
        return self._events

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        """The peers that have joined and not left."""
        return {peer: self._record(link) for peer, link in self._links.items()}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled, or killed by the hub. A dead node stays dead."""
        self._hub.add(self)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                await self._deliver_arrivals()
        finally:
            self._stop()

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        """Answer requests of this protocol with `handler`."""
        assert not self.is_running
        assert protocol not in self._handlers
        self._handlers[protocol] = handler

    def subscribe(self, topic: Topic) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Join a topic."""
        assert not self.is_running
        assert topic not in self._subscriptions
        sender, receiver = trio.open_memory_channel[GossipMessage](SUBSCRIPTION_CAPACITY)
        self._subscriptions[topic] = sender
        return receiver

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        """Give a message its verdict. A second one for the same message is our bug."""
        match self._announcements.resolve(message, verdict, trio.current_time()):
            case Relay(accepted, holders):
                self._flood(accepted, holders)
            case Blame(rejected):
                self.report(rejected.sender, _REJECT_FAULTS[rejected.topic])
            case None:
                pass

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Announce a message of ours to all peers that follow the topic."""
        if len(payload) > MAX_GOSSIP_BYTES:
            raise ValueError(f"{len(payload)} bytes are more than gossip carries")
        number = self._hub.next_sequence_number(self._peer_id)
        message = GossipMessage(
            id=MessageId(self._peer_id.encode() + number.to_bytes(8, "big")),
            topic=topic,
            payload=payload,
            sender=self._peer_id,
            source=self._peer_id,
        )
        # So that a copy that comes back is not delivered to ourselves.
        self._announcements.arrive(message, trio.current_time())
        self._announcements.ignore(message.id)
        self._flood(message, ())
        await trio.lowlevel.checkpoint()

    async def request(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Ask one peer and return its whole response payload."""
        link = self._links.get(peer)
        if link is None:
            await trio.lowlevel.checkpoint()
            raise UnavailableError(f"{peer} is not connected")
        pending = _Pending()
        link.pending[pending] = None
        try:
            patience = self._send_request(link, protocol, payload, pending)
            with trio.move_on_after(protocol.limits.timeout_s + patience):
                await pending.done.wait()
        finally:
            link.pending.pop(pending, None)
        if not pending.done.is_set():
            self.report(peer, Fault.TOO_SLOW)
        if pending.response is None:
            raise UnavailableError(f"{peer} {protocol.value}: {pending.failure}")
        if len(pending.response) > protocol.limits.max_response_bytes:
            raise PeerFaultError(peer, Fault.MALFORMED)
        return pending.response

    async def connect(self, address: str) -> PeerId:
        """Dial an address that ends in a peer id and finish the handshake."""
        peer = PeerId(address.rpartition("/")[2])
        if peer not in self._links:
            with trio.move_on_after(DIAL_TIMEOUT_S) as scope:
                await self._dial(peer)
            if scope.cancelled_caught:
                raise UnavailableError(f"{peer}: dial timed out")
        await trio.lowlevel.checkpoint()
        return peer

    async def disconnect(self, peer: PeerId) -> None:
        """Close the connection to a peer."""
        self._unlink(peer, LeaveReason.DISCONNECTED)
        await trio.lowlevel.checkpoint()

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Take score from a peer. At the limit it is disconnected and banned."""
        now = trio.current_time()
        if self._scores.report(peer, fault, now):
            self._scores.ban(peer, None, now)
            self._unlink(peer, LeaveReason.BANNED)

    # What the hub and the tests need besides.

    @property
    def is_running(self) -> bool:
        """Whether `run` has started and neither ended nor been killed."""
        return self._nursery is not None

    @property
    def linked(self) -> tuple[PeerId, ...]:
        """The peers that we have a connection to."""
        return tuple(self._links)

    @property
    def unresolved(self) -> tuple[GossipMessage, ...]:
        """The announced messages without a verdict. Empty when everybody has done its part."""
        return self._announcements.waiting()

    @property
    def open_requests(self) -> int:
        """Requests that were started and neither answered nor cancelled."""
        return sum(len(link.pending) for link in self._links.values())

    def schedule(self, arrival: Arrival, action: Callable[[], None]) -> None:
        """Run `action` in our own task at that time, unless we stop before."""
        if not self.is_running:
            return
        self._scheduled += 1
        heapq.heappush(self._arrivals, (arrival, self._scheduled, action))
        if self._arrivals[0][0] == arrival:
            self._wakeup.set()

    def lose_link(self, peer: PeerId) -> None:
        """Lose the connection to a peer as if the line had been cut, on both sides."""
        self._unlink(peer, LeaveReason.CLOSED)

    def die(self) -> None:
        """Stop at once, without a word to anybody."""
        nursery = self._nursery
        self._stop()
        if nursery is not None:
            nursery.cancel_scope.cancel()

    # Time.

    async def _deliver_arrivals(self) -> None:
        while True:
            self._wakeup = trio.Event()
            next_at = self._arrivals[0][0].at if self._arrivals else math.inf
            with trio.move_on_at(next_at):
                await self._wakeup.wait()
            while self._arrivals and self._arrivals[0][0].at <= trio.current_time():
                heapq.heappop(self._arrivals)[2]()

    def _stop(self) -> None:
        """Leave the hub and lose every connection. Does nothing the second time."""
        self._nursery = None
        self._arrivals.clear()
        self._hub.remove(self)
        for peer in tuple(self._links):
            self._unlink(peer, LeaveReason.CLOSED)

    # Connections.

    async def _dial(self, peer: PeerId) -> None:
        if not self.is_running or peer == self._peer_id or not self.admits(peer):
            raise UnavailableError(f"{peer} is not to be dialled")
        await self._travel(self._peer_id, peer)
        remote = self._remote(peer)
        if remote is None or not remote.admits(self._peer_id):
            raise UnavailableError(f"{peer} refused")
        await self._travel(peer, self._peer_id)
        # Either side may be gone meanwhile, or the other's dial may have come first.
        if self._hub.station(self._peer_id) is not self or self._remote(peer) is not remote:
            raise UnavailableError(f"{peer} is gone")
        if peer not in self._links:
            self._shake_hands(remote)

    async def _travel(self, sender: PeerId, receiver: PeerId) -> None:
        """Wait for one step of a handshake. Lost packets are sent again by TCP, not by us."""
        arrival = self._hub.transmit(sender, receiver, b"handshake", size=0, lossless=True)
        await trio.sleep_until(math.inf if arrival is None else arrival.at)

    def _remote(self, peer: PeerId) -> "SimulatedNetwork | None":
        station = self._hub.station(peer)
        assert station is None or isinstance(station, SimulatedNetwork)
        return station

    def admits(self, peer: PeerId) -> bool:
        """Tell whether a peer may connect to us now."""
        return not self._scores.is_banned(peer, trio.current_time())

    def _shake_hands(self, remote: "SimulatedNetwork") -> None:
        ours, theirs = self.hello(), remote.hello()
        if _network_of(ours) != _network_of(theirs):
            self.report(remote.peer_id, Fault.WRONG_NETWORK)
            remote.report(self._peer_id, Fault.WRONG_NETWORK)
            raise UnavailableError(f"{remote.peer_id} is of another network")
        self.join(remote, theirs, is_inbound=False)
        remote.join(self, ours, is_inbound=True)

    def hello(self) -> Hello:
        """What we say of ourselves now."""
        return self._hello()

    def join(self, remote: "SimulatedNetwork", hello: Hello, *, is_inbound: bool) -> None:
        """Add our end of a new connection."""
        self._links[remote.peer_id] = _Link(remote=remote, is_inbound=is_inbound, hello=hello)
        self._emit(PeerJoined(remote.peer_id, hello))

    def _unlink(self, peer: PeerId, reason: LeaveReason) -> None:
        """Linked -> left. The other end loses its side in the same moment."""
        link = self._links.pop(peer, None)
        if link is None:
            return
        link.is_open = False
        for pending in link.pending:
            pending.fail("connection lost")
        self._emit(PeerLeft(peer, reason))
        link.remote.lose_link(self._peer_id)

    def _emit(self, event: NetworkEvent) -> None:
        # A node that shuts down may close its reader before its connections.
        with contextlib.suppress(trio.BrokenResourceError):
            self._event_sender.send_nowait(event)

    def _record(self, link: _Link) -> PeerRecord:
        return PeerRecord(
            peer=link.peer,
            address=simulated_address(link.peer),
            is_inbound=link.is_inbound,
            hello=link.hello,
            score=self._scores.points(link.peer, trio.current_time()),
            bytes_in=link.bytes_in,
            bytes_out=link.bytes_out,
        )

    def _send(self, link: _Link, key: bytes, payload: bytes, action: Callable[[], None]) -> None:
        """Let `action` happen at the other end when the payload arrives there, if it does."""
        link.bytes_out += len(payload)
        size = len(payload)
        arrival = self._hub.transmit(self._peer_id, link.peer, key, size=size)

        def arrive() -> None:
            if link.is_open:
                link.remote.count_received(self._peer_id, size)
                action()

        if arrival is not None:
            link.remote.schedule(arrival, arrive)

    def count_received(self, peer: PeerId, size: int) -> None:
        """Count bytes that have come from a peer."""
        self._links[peer].bytes_in += size

    # Requests.

    def _send_request(
        self, link: _Link, protocol: RequestProtocol, payload: bytes, pending: _Pending
    ) -> float:
        """Send a request and return what to add to its timeout."""
        key = protocol.value.encode() + blake2b(payload, digest_size=32).digest()

        def reply(response: bytes | None) -> None:
            if response is None:
                pending.fail("refused")
            else:
                pending.succeed(response)

        self._send(
            link,
            key,
            payload,
            lambda: link.remote.receive_request(self._peer_id, protocol, payload, reply),
        )
        return self._hub.draw_patience(self._peer_id, link.peer, key)

    def receive_request(
        self,
        peer: PeerId,
        protocol: RequestProtocol,
        payload: bytes,
        reply: Callable[[bytes | None], None],
    ) -> None:
        """Serve a request that has arrived; `reply` runs at the asking node, None is a refusal."""
        assert self._nursery is not None
        handler = self._handlers.get(protocol)
        if len(payload) > protocol.limits.max_request_bytes:
            self.report(peer, Fault.MALFORMED)
            reply(None)
        elif handler is None:
            reply(None)
        else:
            self._nursery.start_soon(self._serve, handler, self._links[peer], payload, reply)

    async def _serve(
        self,
        handler: Handler,
        link: _Link,
        payload: bytes,
        reply: Callable[[bytes | None], None],
    ) -> None:
        response = await handler(link.peer, payload)
        if link.is_open:
            key = b"response" + blake2b(payload, digest_size=32).digest()
            self._send(link, key, response, lambda: reply(response))

    # Gossip.

    def _flood(self, message: GossipMessage, holders: tuple[PeerId, ...]) -> None:
        for peer, link in tuple(self._links.items()):
            if peer not in holders and link.remote.follows(message.topic):
                self._send(link, message.id, message.payload, self._delivery(link, message))

    def _delivery(self, link: _Link, message: GossipMessage) -> Callable[[], None]:
        return lambda: link.remote.receive_gossip(self._peer_id, message)

    def follows(self, topic: Topic) -> bool:
        """Tell whether we have subscribed to a topic."""
        return topic in self._subscriptions

    def receive_gossip(self, sender: PeerId, relayed: GossipMessage) -> None:
        """Take a message from a peer: the first copy goes to the subscription."""
        message = GossipMessage(
            id=relayed.id,
            topic=relayed.topic,
            payload=relayed.payload,
            sender=sender,
            source=relayed.source,
        )
        if not self._announcements.arrive(message, trio.current_time()):
            return
        try:
            self._subscriptions[message.topic].send_nowait(message)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self._announcements.ignore(message.id)


def simulated_address(peer: PeerId) -> str:
    """Return the address that a simulated node of this id is dialled at."""
    return f"/memory/{peer}/p2p/{peer}"


def _network_of(hello: Hello) -> tuple[int, bytes, int]:
    """Return what two nodes must have in common."""
    return hello.network, hello.genesis, hello.version
