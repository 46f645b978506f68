"""A verifiable random function: ECVRF-EDWARDS25519-SHA512-TAI on libsodium's group operations.

Source: RFC 9381, section 5 with suite 0x03 of section 5.5. Stricter than the RFC: the public key
and Gamma must be canonical encodings of points of prime order, and neither the challenge nor the
scalar may be zero. libsodium refuses to multiply anything else, and an honest prover makes
nothing else.

    proof (pi)  = Gamma (32) || c (16) || s (32)
    output (beta) = SHA-512(3 || 3 || 8 * Gamma || 0), 64 bytes
"""

from functools import lru_cache
from hashlib import sha512
from typing import Final

from nacl import bindings
from nacl.exceptions import RuntimeError as SodiumRefusal

from node.crypto.ed25519 import SigningKey
from protocols.types import ED25519_KEY_BYTES, SEED_BYTES

_SUITE: Final = b"\x03"
_FIELD_PRIME: Final = 2**255 - 19
_GROUP_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_IDENTITY: Final = (1).to_bytes(32, "little")
_POINT_BYTES: Final = 32
_CHALLENGE_BYTES: Final = 16


def prove(key: SigningKey, alpha: bytes) -> bytes:
    """Return the proof of `alpha` under a key, 80 bytes. The same input gives the same proof."""
    scalar, nonce_key = _expand(key.seed)
    point = _encode_to_curve(key.public_key, alpha)
    gamma = bindings.crypto_scalarmult_ed25519_noclamp(scalar, point)
    nonce = bindings.crypto_core_ed25519_scalar_reduce(sha512(nonce_key + point).digest())
    commitment = bindings.crypto_scalarmult_ed25519_base_noclamp(nonce)
    commitment_at_point = bindings.crypto_scalarmult_ed25519_noclamp(nonce, point)
    challenge = _challenge(key.public_key, point, gamma, commitment, commitment_at_point)
    response = bindings.crypto_core_ed25519_scalar_add(
        nonce, bindings.crypto_core_ed25519_scalar_mul(_widen(challenge), scalar)
    )
    return gamma + challenge + response


def verify(public_key: bytes, alpha: bytes, proof: bytes) -> bytes | None:
    """Return the output (64 bytes) that a proof proves for `alpha`, or None for a bad proof.

    Bytes of any length and content may come in.
    """
    if len(public_key) != ED25519_KEY_BYTES or len(proof) != SEED_BYTES:
        return None
    gamma, challenge, response = _split(proof)
    if int.from_bytes(response, "little") >= _GROUP_ORDER:
        return None
    try:
        expected = _recompute(public_key, alpha, gamma, challenge, response)
    except SodiumRefusal:
        return None
    return proof_to_hash(proof) if expected == challenge else None


@lru_cache(maxsize=64)
def proof_to_hash(proof: bytes) -> bytes | None:
    """Return the output (64 bytes) of a proof without checking it; None if it is no proof at all.

    Cached: a seed is read when it is verified, then for its successor and for each draw of slots.
    """
    if len(proof) != SEED_BYTES:
        return None
    try:
        point = _clear_cofactor(_split(proof)[0])
    except SodiumRefusal:
        return None
    return sha512(_SUITE + b"\x03" + point + b"\x00").digest()


def _recompute(
    public_key: bytes, alpha: bytes, gamma: bytes, challenge: bytes, response: bytes
) -> bytes:
    """Return the challenge that the equations U = sB - cY and V = sH - c Gamma lead to."""
    point = _encode_to_curve(public_key, alpha)
    wide = _widen(challenge)
    u = bindings.crypto_core_ed25519_sub(
        bindings.crypto_scalarmult_ed25519_base_noclamp(response),
        bindings.crypto_scalarmult_ed25519_noclamp(wide, public_key),
    )
    v = bindings.crypto_core_ed25519_sub(
        bindings.crypto_scalarmult_ed25519_noclamp(response, point),
        bindings.crypto_scalarmult_ed25519_noclamp(wide, gamma),
    )
    return _challenge(public_key, point, gamma, u, v)


def _encode_to_curve(public_key: bytes, alpha: bytes) -> bytes:
    """Try and increment: hash with a counter until the hash is a point; half of them are."""
    prefix = _SUITE + b"\x01" + public_key + alpha
    for counter in range(256):
        candidate = sha512(prefix + bytes((counter, 0))).digest()[:_POINT_BYTES]
        # libsodium reads a y above the field prime as its remainder; the RFC says it is no point.
        if int.from_bytes(candidate, "little") % 2**255 >= _FIELD_PRIME:
            continue
        try:
            point = _clear_cofactor(candidate)
        except SodiumRefusal:
            continue
        if point != _IDENTITY:
            return point
    raise AssertionError("256 hashes in a row that are no point have odds of 2^-256")


def _clear_cofactor(point: bytes) -> bytes:
    """Multiply by 8 by doubling: a scalar multiplication refuses points of mixed order."""
    for _ in range(3):
        point = bindings.crypto_core_ed25519_add(point, point)
    return point


def _challenge(*points: bytes) -> bytes:
    return sha512(_SUITE + b"\x02" + b"".join(points) + b"\x00").digest()[:_CHALLENGE_BYTES]


def _widen(challenge: bytes) -> bytes:
    """Make a scalar of a challenge, little-endian."""
    return challenge.ljust(_POINT_BYTES, b"\x00")


def _split(proof: bytes) -> tuple[bytes, bytes, bytes]:
    return proof[:32], proof[32:48], proof[48:]


def _expand(seed: bytes) -> tuple[bytes, bytes]:
    """Return the clamped secret scalar and the key of the nonces, as Ed25519 makes them."""
    digest = bytearray(sha512(seed).digest())
    digest[0] &= 0xF8
    digest[31] = digest[31] & 0x7F | 0x40
    return bytes(digest[:32]), bytes(digest[32:])
