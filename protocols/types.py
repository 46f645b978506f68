"""The names that both sides of the wire share."""

from enum import IntEnum, IntFlag
from typing import Final, NewType, TypeAlias

Hash32 = NewType("Hash32", bytes)
"""Blake2b-256 digest, 32 bytes."""

Address = NewType("Address", bytes)
"""Account address, 20 bytes: the first 20 bytes of the Blake2b-256 of the public key."""

PeerId = NewType("PeerId", str)
"""libp2p peer id in its base58 text form."""

Height: TypeAlias = int
"""Block number. Genesis is 0."""

HASH_BYTES: Final = 32
ADDRESS_BYTES: Final = 20
SEED_BYTES: Final = 80
"""An ECVRF-EDWARDS25519-SHA512-TAI proof (RFC 9381)."""
ED25519_KEY_BYTES: Final = 32
ED25519_SIGNATURE_BYTES: Final = 64
BLS_KEY_BYTES: Final = 48
"""Compressed BLS12-381 G1 point."""
BLS_SIGNATURE_BYTES: Final = 96
"""Compressed BLS12-381 G2 point."""


class Service(IntFlag):
    """What a peer says in its handshake that it can serve."""

    HEADERS = 1
    """Headers and justifications of the current batch, its head and its election chain."""
    BODIES = 2
    """Bodies of at least the validity window."""
    STATE = 4
    """Account proofs and ranges."""
    HISTORY = 8
    """Every block and transaction from genesis."""
    MACRO_CHAIN = 16
    """Every election block from genesis, and the newest macro block."""


class Direction(IntEnum):
    """Which way an answer to a missing-blocks request walks the chain."""

    FORWARD = 0
    """From the first known locator up to the target, main chain only."""
    BACKWARD = 1
    """From the target down to a locator or a macro block, forks allowed."""
