"""Blake2b-256, the only hash of the chain."""

from hashlib import blake2b

from protocols.types import Address, Hash32

ZERO_HASH = Hash32(bytes(32))


def hash32(content: bytes) -> Hash32:
    """Return the Blake2b-256 of `content`."""
    return Hash32(blake2b(content, digest_size=32).digest())


def address_of(signing_key: bytes) -> Address:
    """Return the account address of an Ed25519 public key."""
    return Address(hash32(signing_key)[:20])
