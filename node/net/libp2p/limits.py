"""Bounds of the real network. Every wait, queue and count of this package is one of them."""

from dataclasses import dataclass, field
from typing import Final

from node.net.scores import ScoreLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkLimits:
    """How much a node takes from the network, and how long it waits for it."""

    max_peers: int = 100
    """Joined peers. A local network of a hundred nodes can still be a full mesh."""
    max_inbound_peers: int = 75
    """Joined peers that dialled us: whoever fills them all leaves us room for our own dials."""
    max_pending: int = 64
    """Inbound connections that have not joined. Beyond it the oldest goes, so a crowd of idle
    connections cannot keep a quick newcomer out, as it can when the newest is refused."""
    max_connections_per_host: int = 16
    """Inbound connections per IP address; loopback is exempt, a local network shares it."""
    dial_timeout_s: float = 10.0
    """TCP, Noise, Yamux and hello together. py-libp2p waits for 100 s and more."""
    upgrade_timeout_s: float = 5.0
    """From accept to Yamux on an inbound connection; an honest peer needs milliseconds."""
    hello_timeout_s: float = 5.0
    """From Yamux to a checked hello, the limit of the handshake protocol."""
    negotiation_timeout_s: float = 10.0
    """For the name of the protocol at the start of an inbound stream."""
    write_stall_s: float = 6.0
    """A peer that takes no byte from its socket for so long is cut off: while it stalls, all
    streams to it do."""
    window_stall_s: float = 60.0
    """A peer that reads its socket but not a stream may take longer: other streams still flow."""
    idle_ping_s: float = 10.0
    """Silence after which we ask whether the peer is still there."""
    silence_s: float = 25.0
    """Silence that ends a connection. Longer than a node on a busy machine is ever paused."""
    max_inbound_streams: int = 64
    """Streams of one peer open at the same time; more are reset. 64 x 256 KiB bounds what they can
    make us hold."""
    max_answer_bytes_per_peer: int = 64 * 1024 * 1024
    """Answers that one peer has asked for and not read yet. It may have five requests for missing
    blocks open, of up to 10 MiB each; a further answer is given up, and it asks somebody else."""
    max_answer_bytes: int = 256 * 1024 * 1024
    """The same over all peers: a crowd that does not read cannot fill the memory."""
    max_requests_per_peer: int = 32
    """Requests of ours to one peer at the same time, below the inbound limit of the other side."""
    subscription_size: int = 256
    """Messages that wait for a reader of one topic."""
    verdict_timeout_s: float = 10.0
    """A message without verdict is ignored after this; relaying it then would be too late."""
    max_undecided: int = 512
    """Messages that wait for a verdict, over all peers."""
    max_undecided_per_peer: int = 64
    """Of those, from one forwarder: one that floods does not use up the others' share."""
    announce_interval_s: float = 5.0
    """Our subscriptions are repeated this often: py-libp2p forgets those of a peer when one of two
    connections to it closes, and nothing else would bring them back."""
    publish_gap_s: float = 0.001
    """Between two messages of ours: the queue towards a peer holds 32 and drops in silence."""
    duplicate_grace_s: float = 1.0
    """A superfluous second connection is closed after this: both sides have chosen by then."""
    close_timeout_s: float = 2.0
    """From the end of `run` to the last socket closed, whatever peers do."""
    events_size: int = 1024
    """Join and leave events that wait for their reader."""
    score: ScoreLimits = field(default_factory=ScoreLimits)

    def __post_init__(self) -> None:
        """Refuse bounds that contradict each other."""
        assert self.max_inbound_peers <= self.max_peers
        assert self.idle_ping_s < self.silence_s
        # Every joined peer may still have to leave; see `Libp2pNetwork._has_room`.
        assert self.events_size >= 2 * self.max_peers


DEFAULT_LIMITS: Final = NetworkLimits()
"""What a node runs with."""
