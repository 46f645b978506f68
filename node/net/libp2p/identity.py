"""Who we are to libp2p, and what a peer id says: always an Ed25519 public key.

peer id   0x00 (identity) 0x24 (36 bytes) | protobuf of the key: 08 01 12 20 | key (32)
"""

from dataclasses import dataclass
from typing import Final

import base58
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.keys import KeyPair, PrivateKey
from libp2p.crypto.x25519 import create_new_key_pair as create_new_noise_key_pair
from libp2p.peer.id import ID

from node.net.libp2p.failures import ConnectionLostError
from protocols.types import ED25519_KEY_BYTES, PeerId

_PREFIX: Final = bytes.fromhex("002408011220")
_PEER_ID_BYTES: Final = len(_PREFIX) + ED25519_KEY_BYTES


@dataclass(frozen=True, slots=True)
class Identity:
    """Our keys: one for ever, one for this run."""

    key_pair: KeyPair
    noise_key: PrivateKey
    """Static key of the Noise handshake; the other signs it."""

    @classmethod
    def from_seed(cls, seed: bytes) -> "Identity":
        """Build from the 32-byte seed of an Ed25519 key."""
        assert len(seed) == ED25519_KEY_BYTES
        return cls(create_new_key_pair(seed), create_new_noise_key_pair().private_key)

    @property
    def id(self) -> ID:
        """Our peer id as py-libp2p has it."""
        return ID.from_pubkey(self.key_pair.public_key)

    @property
    def peer_id(self) -> PeerId:
        """Our peer id as everybody else here has it."""
        return PeerId(self.id.to_base58())


def public_key_of(peer_id: bytes) -> bytes | None:
    """Return the Ed25519 key inside a peer id, or None when there is none."""
    if len(peer_id) != _PEER_ID_BYTES or not peer_id.startswith(_PREFIX):
        return None
    return peer_id[len(_PREFIX) :]


def peer_id_of(remote: ID) -> PeerId:
    """Return a peer's id in text form.

    Raises:
        ConnectionLostError: Its key is not an Ed25519 key; those of other kinds are slow to check
            or break py-libp2p.
    """
    if public_key_of(remote.to_bytes()) is None:
        raise ConnectionLostError("identity key is not Ed25519")
    return PeerId(remote.to_base58())


def decode_peer_id(peer: PeerId) -> ID:
    """Read a peer id that somebody typed.

    Raises:
        ValueError: Not base58, or not of an Ed25519 key.
    """
    decoded = base58.b58decode(peer)
    if public_key_of(decoded) is None:
        raise ValueError(f"not the id of an Ed25519 key: {peer}")
    return ID(decoded)
