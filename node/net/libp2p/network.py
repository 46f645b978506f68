"""`node.net.network.Network` over libp2p.

Life of a connection, seen from here:

    UP --hello checked--> JOINED --any end--> gone
    UP --no hello in time, wrong network, no room--> gone

PeerJoined is sent when the first connection of a peer joins, PeerLeft when its last one is gone.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from node.clock import WallClock
from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.libp2p import requests, wellknown
from node.net.libp2p.addresses import format_address, parse_address
from node.net.libp2p.budget import AnswerBudget
from node.net.libp2p.connection import Connection
from node.net.libp2p.failures import NegotiationError
from node.net.libp2p.gossip import Gossip
from node.net.libp2p.handshake import difference
from node.net.libp2p.identity import Identity, decode_peer_id
from node.net.libp2p.limits import DEFAULT_LIMITS, NetworkLimits
from node.net.libp2p.logs import LineLimiter
from node.net.libp2p.muxer import Muxer
from node.net.libp2p.peers import JoinedPeer, PeerTable
from node.net.libp2p.router import MESHSUB
from node.net.libp2p.stream import Stream
from node.net.libp2p.switch import StreamHandler, Switch
from node.net.libp2p.tcp import raise_file_limit
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
from node.net.scores import ScoreBook
from protocols.errors import WireError
from protocols.ids import RequestProtocol, Topic, protocol_id
from protocols.messages.handshake import Hello
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.types import Hash32, PeerId

SEQNO_SHIFT: Final = 20
"""A million numbers per millisecond: more than are ever used before a restart."""

RECONNECTIONS: Final = RateLimit(capacity=3, refill_s=60.0)
"""That replace a connection which still stands. A peer that has lost one without our noticing does
so once; two nodes with one key take the place from each other every few seconds."""

PROTOCOL_PREFIX: Final = "/headway/"
"""Of every protocol id of this software, whatever the network."""


class Libp2pNetwork:
    """The real network. Runs once; build another to run again."""

    def __init__(
        self,
        seed: bytes,
        *,
        listen: Sequence[str],
        genesis: Hash32,
        hello: Callable[[], Hello],
        clock: WallClock,
        limits: NetworkLimits = DEFAULT_LIMITS,
    ) -> None:
        """Prepare; no socket and no thread before `run`.

        Args:
            seed: 32 bytes, the secret of our peer id.
            listen: Multiaddrs without peer id; port 0 lets the system choose.
            genesis: Its first digits are part of every protocol id and topic.
            hello: Returns what we say of ourselves at this moment.
            clock: Gossip numbers its messages by it, so that they rise across restarts.
            limits: Counts and timeouts.

        Raises:
            ValueError: An address to listen on is malformed.
        """
        self._answers = AnswerBudget(
            per_peer=limits.max_answer_bytes_per_peer, in_all=limits.max_answer_bytes
        )
        self._identity = Identity.from_seed(seed)
        self._peer_id = self._identity.peer_id
        self._listen = [parse_address(address)[0] for address in listen]
        self._genesis = genesis
        self._hello = hello
        self._clock = clock
        self._limits = limits
        self._lines = LineLimiter()
        self._scores = ScoreBook(limits.score)
        self._reconnections = RateLimiter[PeerId](RECONNECTIONS, max_keys=limits.max_peers)
        self._table = PeerTable[Connection](self._peer_id)
        self._dialling: dict[PeerId, trio.Lock] = {}
        self._events, self._event_reader = trio.open_memory_channel[NetworkEvent](
            limits.events_size
        )
        self._gossip = Gossip(self._identity, genesis, limits, report=self.report)
        handshake = protocol_id(genesis, RequestProtocol.HANDSHAKE)
        self._handlers: dict[str, StreamHandler] = {
            handshake: self._serve_handshake,
            MESHSUB: self._serve_gossip,
            wellknown.IDENTIFY: self._serve_identify,
            wellknown.PING: self._serve_ping,
        }
        self._switch = Switch(self._identity, limits, self._handlers, self)
        self._nursery: trio.Nursery | None = None

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        return self._peer_id

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddrs with peer id that we really listen on. Empty before `run` has started."""
        return tuple(format_address(place, self._peer_id) for place in self._switch.listening)

    @property
    def events(self) -> trio.MemoryReceiveChannel[NetworkEvent]:
        """Peers that join and leave, in order. One reader."""
        return self._event_reader

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        """The peers that have joined and not left, as they are now."""
        return {joined.active.peer: self._record(joined) for joined in self._table}

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Listen and serve until cancelled; started once every listener is bound.

        Raises:
            ListenError: A port is taken.
        """
        raise_file_limit()
        # Before any nursery, which would wrap the error.
        await self._switch.listen(self._listen)
        first_seqno = self._clock.now_ms() << SEQNO_SHIFT
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                async with self._gossip.running(self, first_seqno=first_seqno):
                    await nursery.start(self._switch.run)
                    task_status.started()
                    await trio.sleep_forever()
        finally:
            self._nursery = None
            self._switch.close()

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        """Answer requests of this protocol with `handler`. Before `run`."""
        name = protocol_id(self._genesis, protocol)
        assert name not in self._handlers, "one handler per protocol"
        self._handlers[name] = partial(self._serve_request, protocol, handler)

    def subscribe(self, topic: Topic) -> trio.MemoryReceiveChannel[GossipMessage]:
        """Join a topic. Before `run`; once per topic."""
        return self._gossip.subscribe(topic)

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        """Give a message its verdict. A message whose time ran out has been ignored already."""
        self._gossip.resolve(message, verdict)

    async def publish(self, topic: Topic, payload: bytes) -> None:
        """Announce a message of ours to all peers. Our own subscription does not get it.

        Raises:
            ValueError: The payload is larger than gossip carries.
        """
        await self._gossip.publish(topic, payload)

    async def request(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        """Ask one peer and return its whole response payload.

        Cancel-safe: a cancelled request closes its stream. Ends within the protocol's timeout.

        Raises:
            UnavailableError: Not connected, no such protocol there, timed out or reset.
            PeerFaultError: The response broke the framing or the size limit.
        """
        joined = self._table.get(peer)
        if joined is None:
            raise UnavailableError(f"not connected to {peer}")
        try:
            with trio.fail_after(protocol.limits.timeout_s):
                async with joined.active.asking:
                    return await self._ask(joined.active, protocol, payload)
        except trio.TooSlowError as error:
            self.report(peer, Fault.TOO_SLOW)
            raise UnavailableError(f"{peer} did not answer in time") from error
        except WireError as error:
            raise PeerFaultError(peer, Fault.MALFORMED) from error

    async def connect(self, address: str) -> PeerId:
        """Dial a multiaddr that ends in a peer id and finish the handshake.

        Raises:
            UnavailableError: Nobody there, refused, banned, or of another network.
        """
        try:
            target, peer = parse_address(address)
            if peer is None:
                raise UnavailableError(f"no peer id at the end: {address}")
            decode_peer_id(peer)
        except ValueError as error:
            raise UnavailableError(str(error)) from error
        lock = self._dialling.setdefault(peer, trio.Lock())
        try:
            with trio.fail_after(self._limits.dial_timeout_s):
                # A second dial to a peer waits for the first, and finds it done.
                async with lock:
                    if self._table.get(peer) is None:
                        self._check_wanted(peer, target.host)
                        connection = await self._switch.dial(target, peer)
                        await self._introduce(connection)
        except trio.TooSlowError as error:
            raise UnavailableError(f"no handshake in time: {address}") from error
        finally:
            if not lock.statistics().tasks_waiting and not lock.locked():
                self._dialling.pop(peer, None)
        return peer

    async def disconnect(self, peer: PeerId) -> None:
        """Close every connection to a peer."""
        await self._drop(peer, LeaveReason.DISCONNECTED)

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Take score from a peer. At the limit it is disconnected and banned for ten minutes."""
        links = self._links_of(peer)
        self._judge(peer, fault, links[0].remote.host if links else None)

    def muxer_of(self, peer: PeerId) -> Muxer | None:
        """Return where gossip opens its stream to a peer."""
        joined = self._table.get(peer)
        return None if joined is None else joined.active.muxer

    def admits_host(self, host: str) -> bool:
        """Tell whether anybody may connect from this address."""
        return not self._scores.is_host_banned(host, trio.current_time())

    def admits_peer(self, peer: PeerId) -> bool:
        """Tell whether this peer may connect."""
        return peer != self._peer_id and not self._scores.is_banned(peer, trio.current_time())

    def on_refused(self, connection: Connection, protocol: str) -> None:
        """Drop a peer that asks for a protocol of another network of ours."""
        ours = protocol_id(self._genesis, RequestProtocol.HANDSHAKE).rsplit("/", 2)[0]
        is_another = not protocol.startswith(ours + "/")
        if protocol.startswith(PROTOCOL_PREFIX) and is_another and not connection.joined.is_set():
            self._refuse_network(connection, f"asks for {protocol}")

    def on_fault(self, connection: Connection, fault: Fault) -> None:
        """Count a fault that was seen on a connection, which may be gone by now."""
        self._judge(connection.peer, fault, connection.remote.host)

    def on_end(self, connection: Connection) -> None:
        """JOINED -> gone, when it was the peer's last connection."""
        if self._table.leave(connection):
            self._send_left(connection.peer, LeaveReason.CLOSED)
        elif connection.joined.is_set() and self._table.get(connection.peer) is not None:
            # Pubsub's streams may have been on the one that ended.
            self._gossip.announce()

    def _judge(self, peer: PeerId, fault: Fault, host: str | None) -> None:
        now = trio.current_time()
        if self._scores.is_banned(peer, now) or not self._scores.report(peer, fault, now):
            return
        self._scores.ban(peer, host, now)
        self._lines.info("peer_banned", peer=peer, host=host, fault=fault.value)
        self._leave(peer, LeaveReason.BANNED)
        for link in self._links_of(peer):
            link.muxer.abort("banned")

    def _links_of(self, peer: PeerId) -> list[Connection]:
        """Return all connections of a peer, joined or not."""
        return [link for link in self._switch.connections if link.peer == peer]

    def _record(self, joined: JoinedPeer[Connection]) -> PeerRecord:
        active = joined.active
        return PeerRecord(
            peer=active.peer,
            address=active.address,
            is_inbound=active.is_inbound,
            hello=joined.hello,
            score=self._scores.points(active.peer, trio.current_time()),
            bytes_in=sum(link.bytes_in for link in joined.links),
            bytes_out=sum(link.bytes_out for link in joined.links),
        )

    async def _ask(
        self, connection: Connection, protocol: RequestProtocol, payload: bytes
    ) -> bytes:
        return await requests.ask(
            connection.muxer,
            protocol_id(self._genesis, protocol),
            payload,
            max_response_bytes=protocol.limits.max_response_bytes,
        )

    def _check_wanted(self, peer: PeerId, host: str) -> None:
        if peer == self._peer_id:
            raise UnavailableError("that is us")
        if not self.admits_peer(peer) or not self.admits_host(host):
            raise UnavailableError(f"{peer} is banned")
        if len(self._table) >= self._limits.max_peers:
            raise UnavailableError("enough peers")

    async def _introduce(self, connection: Connection) -> None:
        """UP -> JOINED as the dialler: send our hello and check the answer."""
        try:
            with trio.fail_after(self._limits.hello_timeout_s):
                answer = await self._ask(
                    connection, RequestProtocol.HANDSHAKE, self._hello().encode()
                )
            theirs = Hello.decode(answer)
        except WireError as error:
            self.report(connection.peer, Fault.MALFORMED)
            connection.muxer.abort("malformed handshake")
            raise UnavailableError(f"malformed handshake: {error}") from error
        except NegotiationError as error:
            self._refuse_network(connection, str(error))
            raise
        except BaseException:
            connection.muxer.abort("no handshake")
            raise
        reason = difference(self._hello(), theirs)
        if reason is not None:
            self._refuse_network(connection, reason)
            raise UnavailableError(f"another network: {reason}")
        if not self._join(connection, theirs):
            connection.muxer.abort("no room")
            raise UnavailableError("no room for another peer, or it is gone already")

    async def _serve_handshake(self, connection: Connection, stream: Stream) -> None:
        """UP -> JOINED as the listener: check the hello and answer with ours."""
        limits = RequestProtocol.HANDSHAKE.limits
        with trio.fail_after(limits.timeout_s):
            payload = await requests.read_payload(stream, maximum=limits.max_request_bytes)
        theirs = Hello.decode(payload)
        ours = self._hello()
        reason = difference(ours, theirs)
        if reason is None and not self._join(connection, theirs):
            connection.muxer.abort("no room")
            return
        with trio.fail_after(limits.timeout_s):
            await requests.answer(stream, ours.encode())
        if reason is not None:
            self._refuse_network(connection, reason)

    async def _serve_request(
        self, protocol: RequestProtocol, handler: Handler, connection: Connection, stream: Stream
    ) -> None:
        limits = protocol.limits
        with trio.fail_after(limits.timeout_s):
            # Whoever asks may have joined a moment before us. One that never joins is cut off.
            await connection.joined.wait()
            payload = await requests.read_payload(stream, maximum=limits.max_request_bytes)
        response = await handler(connection.peer, payload)
        if not self._answers.take(connection.peer, len(response)):
            self._lines.info("answer_refused", peer=connection.peer, bytes=len(response))
            stream.reset()
            return
        try:
            with trio.fail_after(limits.timeout_s):
                await requests.answer(stream, response)
        except trio.TooSlowError:
            self.report(connection.peer, Fault.TOO_SLOW)
            raise
        finally:
            self._answers.give_back(connection.peer, len(response))

    async def _serve_gossip(self, connection: Connection, stream: Stream) -> None:
        # A peer may open its stream before our side of the handshake is done.
        await connection.joined.wait()
        await self._gossip.serve(stream)

    async def _serve_identify(self, _connection: Connection, stream: Stream) -> None:
        message = wellknown.identify_message(self._identity, self._hello().agent, self._handlers)
        await wellknown.serve_identify(stream, message)

    async def _serve_ping(self, _connection: Connection, stream: Stream) -> None:
        await wellknown.serve_ping(stream)

    def _join(self, connection: Connection, hello: Hello) -> bool:
        """UP -> JOINED. Returns whether there was room, and the connection still lives."""
        if connection.muxer.lost is not None or not self.admits_peer(connection.peer):
            return False
        if connection.joined.is_set():
            return True
        if self._table.get(connection.peer) is None and not self._has_room(connection):
            self._lines.info("peer_refused", remote=connection.address, reason="no room")
            return False
        change = self._table.join(connection, hello)
        connection.joined.set()
        if change.is_new:
            self._events.send_nowait(PeerJoined(connection.peer, hello))
            self._gossip.peer_joined(decode_peer_id(connection.peer))
        elif change.superfluous is not None and self._nursery is not None:
            self._watch_for_twins(connection, change.superfluous)
            self._nursery.start_soon(self._retire, change.superfluous)
        return True

    def _watch_for_twins(self, newer: Connection, older: Connection) -> None:
        """Say so when a peer connects so often that there must be two of it."""
        is_again = newer.is_inbound == older.is_inbound
        if is_again and not self._reconnections.take(newer.peer, trio.current_time()):
            self._lines.warning(
                "two_nodes_with_one_key",
                peer=newer.peer,
                remote=newer.address,
                other=older.address,
            )

    def _has_room(self, connection: Connection) -> bool:
        if len(self._table) >= self._limits.max_peers:
            return False
        if connection.is_inbound and self._table.inbound() >= self._limits.max_inbound_peers:
            return False
        # Room for this join, and for the leave of everybody: a leave is never lost.
        unread = self._events.statistics().current_buffer_used
        return unread + 2 + len(self._table) <= self._limits.events_size

    async def _retire(self, superfluous: Connection) -> None:
        """Close one of two connections after both sides had time to choose."""
        await trio.sleep(self._limits.duplicate_grace_s)
        await superfluous.muxer.close()

    def _refuse_network(self, connection: Connection, reason: str) -> None:
        """UP -> gone for a peer of another network, which is banned."""
        self._lines.warning("wrong_network", remote=connection.address, reason=reason)
        assert self._nursery is not None
        self._nursery.start_soon(self._close_and_report, connection, Fault.WRONG_NETWORK)

    async def _close_and_report(self, connection: Connection, fault: Fault) -> None:
        # It gets to read our answer first, so that its operator sees why.
        await connection.muxer.close()
        self._judge(connection.peer, fault, connection.remote.host)

    async def _drop(self, peer: PeerId, reason: LeaveReason) -> None:
        self._leave(peer, reason)
        async with trio.open_nursery() as nursery:
            for link in self._links_of(peer):
                nursery.start_soon(link.muxer.close)

    def _leave(self, peer: PeerId, reason: LeaveReason) -> None:
        """JOINED -> gone at once, before the sockets are closed."""
        if self._table.remove(peer):
            self._send_left(peer, reason)

    def _send_left(self, peer: PeerId, reason: LeaveReason) -> None:
        # Never full: `_join` keeps room for it.
        self._events.send_nowait(PeerLeft(peer, reason))
        self._gossip.peer_left(decode_peer_id(peer))
