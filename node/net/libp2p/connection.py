"""One connection to one peer: TCP, Noise and Yamux under one name."""

from collections.abc import Callable
from typing import Final

import trio

from node.net.libp2p import multistream
from node.net.libp2p.addresses import HostPort, format_address
from node.net.libp2p.identity import Identity, decode_peer_id
from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.muxer import YAMUX, Muxer
from node.net.libp2p.secure import SecureChannel, secure_inbound, secure_outbound
from node.net.libp2p.stream import Stream
from node.net.libp2p.tcp import TcpStream
from protocols.types import PeerId


class Connection:
    """What belongs to one connection, from Yamux up to its end."""

    def __init__(
        self,
        channel: SecureChannel,
        limits: NetworkLimits,
        *,
        is_inbound: bool,
        on_stream: Callable[["Connection", Stream], None],
    ) -> None:
        """Take over a channel on which Yamux has been agreed.

        Args:
            channel: Nobody else may use it from now on.
            limits: Counts and timeouts.
            is_inbound: The peer dialled.
            on_stream: Is told each stream of the peer that gets a place.
        """
        self.tcp = channel.tcp
        self._limits = limits
        self._on_stream = on_stream
        self._serving = 0
        self.peer = channel.peer
        self.remote: HostPort = channel.tcp.remote
        self.address: Final = format_address(self.remote, self.peer)
        """Multiaddr of the other end with its peer id."""
        self.is_inbound = is_inbound
        self.muxer = Muxer(channel, limits, is_dialler=not is_inbound, on_stream=self._offer_stream)
        self.nursery: trio.Nursery
        """Everything that belongs to this connection runs here; set before the first stream."""
        self.joined = trio.Event()
        """The handshake is done."""
        self.asking = trio.Semaphore(limits.max_requests_per_peer)
        """Places for requests of ours."""

    @property
    def bytes_in(self) -> int:
        """Bytes received from the socket."""
        return self.tcp.bytes_in

    @property
    def bytes_out(self) -> int:
        """Bytes handed to the socket."""
        return self.tcp.bytes_out

    def release_stream(self) -> None:
        """Give back the place of a stream of the peer whose task has ended."""
        self._serving -= 1

    def _offer_stream(self, stream: Stream) -> bool:
        # Places are counted by tasks, not by open streams: opening and resetting in a loop would
        # otherwise start any number of tasks.
        if self._serving >= self._limits.max_inbound_streams:
            return False
        self._serving += 1
        self._on_stream(self, stream)
        return True


async def upgrade_inbound(tcp: TcpStream, identity: Identity) -> SecureChannel:
    """Agree on Noise and Yamux with a peer that dialled us; offers nothing else.

    Raises:
        ConnectionLostError: The peer went away, or its handshake is wrong.
        NegotiationError: It speaks something else.
    """
    channel = await secure_inbound(tcp, identity)
    await multistream.accept(channel, {YAMUX})
    return channel


async def upgrade_outbound(tcp: TcpStream, identity: Identity, peer: PeerId) -> SecureChannel:
    """Agree on Noise and Yamux with the peer we dialled.

    Raises:
        ConnectionLostError: The peer went away, its handshake is wrong, or it is somebody else.
        NegotiationError: It speaks something else.
        ValueError: The peer id is none.
    """
    channel = await secure_outbound(tcp, identity, decode_peer_id(peer))
    await multistream.propose(channel, YAMUX)
    return channel
