"""The Noise channel: py-libp2p's handshake, our own reading and writing behind it.

message  length (2) | ciphertext with a tag of 16 bytes, at most 65,535 in all
"""

from typing import Final, Protocol

from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport as NoiseTransport
from noise.exceptions import NoiseInvalidMessage  # type: ignore[import-untyped]

from node.errors import Fault
from node.net.libp2p import multistream
from node.net.libp2p.failures import ConnectionLostError
from node.net.libp2p.identity import Identity, peer_id_of
from node.net.libp2p.tcp import TcpStream
from protocols.types import PeerId

NOISE: Final = "/noise"

MAX_PLAINTEXT_BYTES: Final = 65_535 - 16
"""Of one Noise message."""

_LENGTH_BYTES: Final = 2


class _CipherState(Protocol):
    """What a finished Noise handshake offers."""

    def encrypt(self, data: bytes) -> bytes: ...

    def decrypt(self, data: bytes) -> bytes: ...


class SecureChannel:
    """An authenticated and encrypted connection. One task reads, one writes."""

    def __init__(self, tcp: TcpStream, cipher: _CipherState, peer: PeerId) -> None:
        self._cipher = cipher
        self._rest = b""
        """Of the last message, not yet asked for."""
        self.tcp = tcp
        self.peer = peer

    async def read_some(self) -> bytes:
        """Return the next bytes, at most one message, at least one byte.

        Raises:
            ConnectionLostError: The connection ended, or the bytes are not the peer's.
        """
        while not self._rest:
            length = int.from_bytes(await self.tcp.read(_LENGTH_BYTES), "big")
            ciphertext = await self.tcp.read(length)
            try:
                self._rest = self._cipher.decrypt(ciphertext)
            except NoiseInvalidMessage as error:
                raise ConnectionLostError("broken encryption", Fault.MALFORMED) from error
        taken, self._rest = self._rest, b""
        return taken

    async def read_exactly(self, size: int) -> bytes:
        """Return exactly so many bytes."""
        taken = b""
        while len(taken) < size:
            taken += await self.read_some()
        taken, self._rest = taken[:size], taken[size:]
        return taken

    async def write(self, data: bytes) -> None:
        """Write all of it in as few messages as possible, in one go.

        Cancelled half-way, the connection is of no more use.

        Raises:
            ConnectionLostError: The connection has ended.
        """
        messages = []
        for start in range(0, len(data), MAX_PLAINTEXT_BYTES):
            ciphertext = self._cipher.encrypt(data[start : start + MAX_PLAINTEXT_BYTES])
            messages += [len(ciphertext).to_bytes(_LENGTH_BYTES, "big"), ciphertext]
        await self.tcp.write(b"".join(messages))


async def secure_inbound(tcp: TcpStream, identity: Identity) -> SecureChannel:
    """Finish the handshake as the listener.

    Raises:
        ConnectionLostError: Whatever went wrong.
        NegotiationError: The peer does not speak Noise.
    """
    await multistream.accept(tcp, {NOISE})
    return await _handshake(tcp, identity, expected=None)


async def secure_outbound(tcp: TcpStream, identity: Identity, expected: ID) -> SecureChannel:
    """Finish the handshake as the dialler.

    Raises:
        ConnectionLostError: Whatever went wrong, another peer than the expected one included.
        NegotiationError: The peer does not speak Noise.
    """
    await multistream.propose(tcp, NOISE)
    return await _handshake(tcp, identity, expected=expected)


async def _handshake(tcp: TcpStream, identity: Identity, expected: ID | None) -> SecureChannel:
    transport = NoiseTransport(identity.key_pair, identity.noise_key)
    try:
        if expected is None:
            session = await transport.secure_inbound(tcp)
        else:
            session = await transport.secure_outbound(tcp, expected)
        return SecureChannel(tcp, session.conn.noise_state, peer_id_of(session.get_remote_peer()))
    except ConnectionLostError:
        raise
    # What a stranger sends here goes through five libraries, each with errors of its own
    # (protobuf, cryptography, nacl, noiseprotocol, libp2p). Whichever it is: this peer failed.
    except Exception as error:
        raise ConnectionLostError(f"Noise handshake failed: {type(error).__name__}") from error
