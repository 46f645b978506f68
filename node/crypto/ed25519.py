"""Ed25519 signatures by libsodium's rule.

A verifier on another library must refuse what libsodium refuses, or nodes disagree on blocks:
the public key is canonical and not of small order, R is not of small order, S is below the
group order, and the equation is checked without the cofactor.
"""

from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from protocols.types import ED25519_KEY_BYTES, ED25519_SIGNATURE_BYTES

SEED_BYTES: Final = 32


class SigningKey:
    """A secret Ed25519 key, made from its 32-byte seed."""

    __slots__ = ("_secret", "public_key", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes: {len(seed)}")
        self.seed = seed
        self.public_key, self._secret = bindings.crypto_sign_seed_keypair(seed)

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 64 bytes."""
        return bindings.crypto_sign(message, self._secret)[:ED25519_SIGNATURE_BYTES]


def verify(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature is good. Bytes of any length and content may come in."""
    # libsodium reads fixed widths: it would read past the end of anything shorter.
    if len(public_key) != ED25519_KEY_BYTES or len(signature) != ED25519_SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(signature + message, public_key)
    except BadSignatureError:
        return False
    return True


def is_public_key(content: bytes) -> bool:
    """Tell whether bytes are a canonical point of prime order: what every honest key is."""
    return len(content) == ED25519_KEY_BYTES and bindings.crypto_core_ed25519_is_valid_point(
        content
    )
