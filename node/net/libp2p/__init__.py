"""The network over py-libp2p: TCP, Noise, Yamux, gossipsub.

py-libp2p 0.8.1 is kept where it is sound behind a guard (the Noise handshake, peer ids, the
gossipsub router) and replaced where one stream or one message of a stranger can end or wedge a
host: listening and dialling, protocol negotiation, the multiplexer, request streams, the intake of
gossip. What is overridden or relied on upstream is pinned by tests/integration/test_upstream.py.

Importing this package imports libp2p, about one second; nothing else in `node` may.
"""

from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.network import Libp2pNetwork

__all__ = ["Libp2pNetwork", "NetworkLimits"]
