"""Identify and ping, served for peers of other implementations.

js-libp2p learns from identify which protocols a peer speaks and leaves it out of gossip without.
We ask neither of anybody: the handshake and Yamux's ping say more.
"""

from collections.abc import Iterable
from typing import Final

import trio
from libp2p.identity.identify.pb.identify_pb2 import Identify

from node.net.libp2p.identity import Identity
from node.net.libp2p.stream import Stream
from protocols.frames import encode_varint

IDENTIFY: Final = "/ipfs/id/1.0.0"
PING: Final = "/ipfs/ping/1.0.0"

PING_BYTES: Final = 32
MAX_PING_WAIT_S: Final = 60.0
"""A stream that pings more rarely is given up: it takes a place."""


def identify_message(identity: Identity, agent: str, protocols: Iterable[str]) -> bytes:
    """Return what we say to identify, length in front. Our addresses are in configurations."""
    message = Identify(
        protocol_version="headway",
        agent_version=agent,
        public_key=identity.key_pair.public_key.serialize(),
        protocols=sorted(protocols),
    ).SerializeToString()
    return encode_varint(len(message)) + message


async def serve_identify(stream: Stream, message: bytes) -> None:
    """Say who we are."""
    await stream.write(message)
    stream.finish()


async def serve_ping(stream: Stream) -> None:
    """Send back what comes, until it ends or pauses for too long."""
    while True:
        with trio.fail_after(MAX_PING_WAIT_S):
            await stream.write(await stream.read_exactly(PING_BYTES))
