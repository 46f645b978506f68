"""TCP sockets: bound without SO_REUSEPORT, read exactly, counted, and cut off at any moment."""

import resource
from typing import Final, NoReturn

import trio

from node.errors import ListenError
from node.net.libp2p.addresses import HostPort, format_address
from node.net.libp2p.failures import ConnectionLostError

READ_BYTES: Final = 65_537
"""One Noise message with its length prefix: most arrive in one system call."""

BACKLOG: Final = 128
"""Connections that the kernel keeps while we are busy."""

WANTED_FILES: Final = 4096
"""Open files for a full set of peers, their dials, the database and the API."""


class TcpStream:
    """One TCP connection in the shape that py-libp2p's Noise handshake expects.

    `read` returns exactly what was asked for: py-libp2p's `read_exactly` (io/utils.py 8) gives up
    after 101 pieces, which small segments reach.
    """

    is_initiator = False

    def __init__(self, stream: trio.SocketStream, remote: HostPort) -> None:
        self._stream = stream
        self._buffer = bytearray()
        self.remote = remote
        self.bytes_in = 0
        self.bytes_out = 0

    async def read(self, n: int | None = None) -> bytes:
        """Return exactly `n` bytes, or what there is without `n`.

        Raises:
            ConnectionLostError: The connection ended before so many bytes.
        """
        while len(self._buffer) < (1 if n is None else n):
            try:
                chunk = await self._stream.receive_some(READ_BYTES)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise ConnectionLostError("reading failed") from error
            if not chunk:
                raise ConnectionLostError("closed by the peer")
            self.bytes_in += len(chunk)
            self._buffer += chunk
        size = len(self._buffer) if n is None else n
        taken = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return taken

    async def read_exactly(self, size: int) -> bytes:
        """Return exactly so many bytes, as a channel to negotiate on does."""
        return await self.read(size)

    async def write(self, data: bytes) -> None:
        """Write all of it. Cancelled half-way, the connection is of no more use.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionLostError("writing failed") from error
        self.bytes_out += len(data)

    async def close(self) -> None:
        """Close at once; never waits."""
        self.abort()
        await trio.lowlevel.checkpoint()

    def abort(self) -> None:
        """Close at once. Tasks that read or write wake with `ConnectionLostError`."""
        self._stream.socket.close()

    def get_remote_address(self) -> tuple[str, int]:
        """Return the other end as py-libp2p wants it."""
        return (self.remote.host, self.remote.port)


async def open_tcp(target: HostPort) -> TcpStream:
    """Connect; names are resolved.

    Raises:
        ConnectionLostError: Nobody listens there.
    """
    try:
        stream = await trio.open_tcp_stream(target.host, target.port)
    except OSError as error:
        raise ConnectionLostError(f"cannot connect to {target.host}:{target.port}") from error
    return wrap(stream)


def wrap(stream: trio.SocketStream) -> TcpStream:
    """Return a stream of ours around a connected socket.

    Raises:
        ConnectionLostError: It has been reset already.
    """
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError as error:
        raise ConnectionLostError("reset before it was looked at") from error
    return TcpStream(stream, HostPort(host, port))


async def bind(address: HostPort) -> trio.SocketListener:
    """Listen on an address; port 0 lets the system choose.

    py-libp2p sets SO_REUSEPORT (transport/tcp/tcp.py 46), so a second daemon on the same port
    starts and takes half of the connections, and a port taken otherwise goes unnoticed.

    Raises:
        ListenError: The port is taken, or the address is not of this machine.
    """
    family = trio.socket.AF_INET6 if ":" in address.host else trio.socket.AF_INET
    listening = trio.socket.socket(family, trio.socket.SOCK_STREAM)
    try:
        listening.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_REUSEADDR, 1)
        if family == trio.socket.AF_INET6:
            listening.setsockopt(trio.socket.IPPROTO_IPV6, trio.socket.IPV6_V6ONLY, 1)
        await listening.bind((address.host, address.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        _cannot_listen(address, error)
    return trio.SocketListener(listening)


def bound_address(listener: trio.SocketListener) -> HostPort:
    """Return where a listener really listens."""
    host, port = listener.socket.getsockname()[:2]
    return HostPort(host, port)


def raise_file_limit() -> None:
    """Allow this process more open files, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED_FILES if hard == resource.RLIM_INFINITY else min(WANTED_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _cannot_listen(address: HostPort, error: OSError) -> NoReturn:
    reason = error.strerror or str(error)
    raise ListenError(f"cannot listen on {format_address(address)}: {reason}") from error
