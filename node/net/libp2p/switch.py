"""Connections: listening, dialling, upgrading, and a task per stream of a peer.

    accepted --Noise, Yamux within upgrade_timeout_s--> up --hello in time--> joined
    dialled  --all of it within dial_timeout_s------------------------------> joined
    each of them ends in `on_end`, whatever ended it

Every task of a connection lives in the connection's nursery and every connection in that of `run`:
cancelling `run` ends them all at once, and no socket is left open.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeAlias

import trio

from node.errors import Fault, UnavailableError
from node.net.libp2p import multistream
from node.net.libp2p.addresses import HostPort
from node.net.libp2p.connection import Connection, upgrade_inbound, upgrade_outbound
from node.net.libp2p.failures import ConnectionLostError
from node.net.libp2p.identity import Identity
from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.logs import LineLimiter
from node.net.libp2p.secure import SecureChannel
from node.net.libp2p.stream import Stream
from node.net.libp2p.tcp import TcpStream, bind, bound_address, open_tcp, wrap
from node.net.scores import is_loopback
from protocols.errors import WireError
from protocols.types import PeerId

StreamHandler: TypeAlias = Callable[[Connection, Stream], Awaitable[None]]
"""Serves one stream of a peer. May raise UnavailableError, WireError and TooSlowError."""


class Gate(Protocol):
    """Who decides about connections, and is told of them."""

    def admits_host(self, host: str) -> bool:
        """Tell whether anybody may connect from this address."""
        ...

    def admits_peer(self, peer: PeerId) -> bool:
        """Tell whether this peer may connect."""
        ...

    def on_refused(self, connection: Connection, protocol: str) -> None:
        """Hear that a peer asked for a protocol that we do not know."""
        ...

    def on_fault(self, connection: Connection, fault: Fault) -> None:
        """Hear that a peer broke a rule."""
        ...

    def on_end(self, connection: Connection) -> None:
        """Hear that a connection is over. Called once for each that was up."""
        ...


class Switch:
    """All connections of one node."""

    def __init__(
        self,
        identity: Identity,
        limits: NetworkLimits,
        handlers: Mapping[str, StreamHandler],
        gate: Gate,
    ) -> None:
        """Prepare; nothing is bound before `listen`.

        Args:
            identity: Our keys.
            limits: Counts and timeouts.
            handlers: By protocol id; looked up when a stream comes.
            gate: Decides about connections.
        """
        self._identity = identity
        self._limits = limits
        self._handlers = handlers
        self._gate = gate
        self._nursery: trio.Nursery | None = None
        self._pending: dict[TcpStream, None] = {}
        """Accepted and not joined, oldest first."""
        self._accepted: dict[str, int] = {}
        """Inbound connections per host."""
        self._lines = LineLimiter()
        self._listeners: list[trio.SocketListener] = []
        self.connections: dict[Connection, None] = {}
        """All that are up, joined or not, oldest first."""
        self.listening: tuple[HostPort, ...] = ()

    async def listen(self, addresses: Sequence[HostPort]) -> None:
        """Bind every address, or none.

        Raises:
            ListenError: A port is taken.
        """
        try:
            for address in addresses:
                self._listeners.append(await bind(address))
        except BaseException:
            self.close()
            raise
        self.listening = tuple(map(bound_address, self._listeners))

    def close(self) -> None:
        """Stop listening; does nothing the second time."""
        for listener in self._listeners:
            listener.socket.close()
        self._listeners.clear()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once connections are accepted."""
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                task_status.started()
                if self._listeners:
                    await trio.serve_listeners(
                        self._accept, self._listeners, handler_nursery=nursery
                    )
                await trio.sleep_forever()
        finally:
            self._nursery = None

    async def dial(self, target: HostPort, peer: PeerId) -> Connection:
        """Connect to a peer up to Yamux. The connection is served until it ends.

        Raises:
            UnavailableError: Nobody there, refused, or somebody else.
        """
        tcp = await open_tcp(target)
        try:
            channel = await upgrade_outbound(tcp, self._identity, peer)
        except BaseException:
            tcp.abort()
            raise
        # Looked at late: much may have changed while we waited.
        if self._nursery is None or not self._gate.admits_peer(peer):
            tcp.abort()
            raise ConnectionLostError("not wanted any more")
        connection = self._start(channel, is_inbound=False)
        self._nursery.start_soon(self._serve, connection)
        return connection

    async def _accept(self, socket: trio.SocketStream) -> None:
        """Serve one inbound connection from accept to its end. Never raises."""
        try:
            tcp = wrap(socket)
        except ConnectionLostError:
            return
        host = tcp.remote.host
        if not self._may_enter(host):
            tcp.abort()
            return
        self._accepted[host] = self._accepted.get(host, 0) + 1
        try:
            await self._serve_inbound(tcp)
        finally:
            tcp.abort()
            self._pending.pop(tcp, None)
            self._accepted[host] -= 1
            if not self._accepted[host]:
                del self._accepted[host]

    def _may_enter(self, host: str) -> bool:
        if not self._gate.admits_host(host):
            return False
        limit = self._limits.max_connections_per_host
        return is_loopback(host) or self._accepted.get(host, 0) < limit

    async def _serve_inbound(self, tcp: TcpStream) -> None:
        self._pending[tcp] = None
        if len(self._pending) > self._limits.max_pending:
            oldest = next(iter(self._pending))
            del self._pending[oldest]
            oldest.abort()
        try:
            with trio.fail_after(self._limits.upgrade_timeout_s):
                channel = await upgrade_inbound(tcp, self._identity)
        except (UnavailableError, trio.TooSlowError) as error:
            self._lines.info("inbound_failed", remote=tcp.remote.host, reason=_reason(error))
            return
        if not self._gate.admits_peer(channel.peer):
            return
        connection = self._start(channel, is_inbound=True)
        await self._serve(connection)

    def _start(self, channel: SecureChannel, *, is_inbound: bool) -> Connection:
        connection = Connection(
            channel, self._limits, is_inbound=is_inbound, on_stream=self._on_stream
        )
        self.connections[connection] = None
        return connection

    async def _serve(self, connection: Connection) -> None:
        """Run a connection to its end, with all tasks that belong to it."""
        try:
            async with trio.open_nursery() as nursery:
                connection.nursery = nursery
                if connection.is_inbound:
                    nursery.start_soon(self._expect_hello, connection)
                await connection.muxer.run()
                nursery.cancel_scope.cancel()
        finally:
            del self.connections[connection]
            lost = connection.muxer.lost
            if lost is not None and lost.fault is not None:
                self._gate.on_fault(connection, lost.fault)
            self._gate.on_end(connection)

    async def _expect_hello(self, connection: Connection) -> None:
        """Cut off a peer that dialled us and does not introduce itself in time."""
        with trio.move_on_after(self._limits.hello_timeout_s) as waiting:
            await connection.joined.wait()
        if waiting.cancelled_caught and not connection.joined.is_set():
            self._lines.info("peer_dropped", remote=connection.address, reason="no handshake")
            connection.muxer.abort("no handshake")
        self._pending.pop(connection.tcp, None)

    def _on_stream(self, connection: Connection, stream: Stream) -> None:
        connection.nursery.start_soon(self._serve_stream, connection, stream)

    async def _serve_stream(self, connection: Connection, stream: Stream) -> None:
        """Serve one stream of a peer: whatever it does there ends here."""
        try:
            with trio.fail_after(self._limits.negotiation_timeout_s):
                name = await multistream.accept(
                    stream,
                    self._handlers,
                    on_refused=lambda protocol: self._gate.on_refused(connection, protocol),
                )
            await self._handlers[name](connection, stream)
        except (UnavailableError, trio.TooSlowError):
            # The stream or the connection is gone, or not worth keeping; it was the peer's.
            pass
        except WireError as error:
            self._lines.info("bad_stream", remote=connection.address, reason=str(error))
            self._gate.on_fault(connection, Fault.MALFORMED)
        finally:
            stream.reset()
            connection.release_stream()


def _reason(error: Exception) -> str:
    return "too slow" if isinstance(error, trio.TooSlowError) else str(error)
