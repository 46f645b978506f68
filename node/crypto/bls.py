"""BLS12-381 votes that aggregate: keys in G1 (48 bytes), signatures in G2 (96 bytes).

Source: draft-irtf-cfrg-bls-signature, ciphersuite BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_.
Keys may only be aggregated when each has shown its proof of possession; those of validators have,
because the genesis file is not loaded otherwise.

Refused everywhere: the point at infinity (anybody can sign for it), points outside the subgroup,
and any encoding but the shortest. The library accepts infinity, even with junk behind its flag.
"""

import hmac
from collections.abc import Collection, Sequence
from functools import lru_cache, reduce
from hashlib import sha256
from operator import add, sub
from typing import Final

from py_arkworks_bls12381 import GT, G1Point, G2Point, Scalar

from node.crypto.lru import LruCache
from protocols.types import BLS_KEY_BYTES, BLS_SIGNATURE_BYTES

SECRET_BYTES: Final = 32
_SIGNATURE_DST: Final = b"BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_POSSESSION_DST: Final = b"BLS_POP_BLS12381G2_XMD:SHA-256_SSWU_RO_POP_"
_INFINITY_FLAG: Final = 0x40
_MINUS_GENERATOR: Final = -G1Point()
_NO_SUM: Final = (frozenset[bytes](), G1Point.identity())

AGGREGATES_CACHED: Final = 64
"""Signer sets of consecutive macro blocks repeat or differ by few; 64 hold an hour of batches."""


def derive_secret(material: bytes) -> bytes:
    """Return the secret key (32 bytes) for at least 32 bytes of key material.

    Source: KeyGen of the draft, with empty key information.
    """
    if len(material) < SECRET_BYTES:
        raise ValueError(f"key material has at least {SECRET_BYTES} bytes: {len(material)}")
    salt = b"BLS-SIG-KEYGEN-SALT-"
    while True:
        salt = sha256(salt).digest()
        extracted = hmac.digest(salt, material + b"\x00", "sha256")
        first = hmac.digest(extracted, b"\x00\x30\x01", "sha256")
        second = hmac.digest(extracted, first + b"\x00\x30\x02", "sha256")
        secret = Scalar.from_be_bytes_mod_order((first + second)[:48])
        if not secret.is_zero():
            return secret.to_be_bytes()


class VotingKey:
    """A secret voting key: 32 bytes, big-endian, above zero and below the group order.

    Raises:
        ValueError: The secret is not such a number.
    """

    __slots__ = ("_scalar", "public_key", "secret")

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise ValueError(f"a voting secret has {SECRET_BYTES} bytes: {len(secret)}")
        self._scalar = Scalar.from_be_bytes(secret)
        if self._scalar.is_zero():
            raise ValueError("a voting secret is not zero")
        self.secret = secret
        self.public_key = (G1Point() * self._scalar).to_compressed_bytes()

    def sign(self, message: bytes) -> bytes:
        """Return the signature, 96 bytes."""
        return self._sign(message, _SIGNATURE_DST)

    def proof_of_possession(self) -> bytes:
        """Return the proof that whoever publishes our public key knows its secret, 96 bytes."""
        return self._sign(self.public_key, _POSSESSION_DST)

    def _sign(self, message: bytes, domain: bytes) -> bytes:
        return (_hash_to_curve(message, domain) * self._scalar).to_compressed_bytes()


class KeyCache:
    """Decoded public keys, and their sums for whole signer sets. Callable from any thread.

    Decoding a key costs 20 times as much as adding it.
    """

    def __init__(self, capacity: int = 1000) -> None:
        self._keys: LruCache[bytes, G1Point] = LruCache(capacity)
        self._sums: LruCache[tuple[bytes, ...], G1Point] = LruCache(AGGREGATES_CACHED)
        self._newest = _NO_SUM
        """The sum made last: the signers of two blocks in a row differ by few."""

    def __len__(self) -> int:
        """Count the decoded keys."""
        return len(self._keys)

    def key(self, public_key: bytes) -> G1Point | None:
        """Return a decoded key, or None if the bytes are no key."""
        point = self._keys.get(public_key)
        if point is None:
            point = _decode_key(public_key)
            if point is not None:
                self._keys.put(public_key, point)
        return point

    def sum_of(self, public_keys: Sequence[bytes]) -> G1Point | None:
        """Return the sum of decoded keys, or None if there is none or one is no key."""
        members = tuple(public_keys)
        total = self._sums.get(members)
        if total is None and members:
            total = self._sum(members)
            if total is not None:
                self._sums.put(members, total)
        return total

    def _sum(self, members: tuple[bytes, ...]) -> G1Point | None:
        """Add all of them up, or what differs from the sum before, whichever is shorter."""
        wanted, (known, total) = frozenset(members), self._newest
        # A key that stands twice counts twice, which no set shows.
        is_set = len(wanted) == len(members)
        if not is_set or len(wanted ^ known) >= len(members):
            known, total = _NO_SUM
        added = self._points([member for member in members if member not in known])
        removed = self._points(known - wanted)
        if added is None or removed is None:
            return None
        total = reduce(sub, removed, reduce(add, added, total))
        if is_set:
            self._newest = wanted, total
        return total

    def _points(self, public_keys: Collection[bytes]) -> list[G1Point] | None:
        points = [point for each in public_keys if (point := self.key(each)) is not None]
        return points if len(points) == len(public_keys) else None


def aggregate(signatures: Sequence[bytes]) -> bytes:
    """Return the sum of at least one verified signature, 96 bytes.

    Raises:
        ValueError: No signature, or one that could not have been verified.
    """
    points = [point for each in signatures if (point := _decode_signature(each)) is not None]
    if not points or len(points) < len(signatures):
        raise ValueError("only verified signatures can be aggregated")
    return reduce(add, points).to_compressed_bytes()


def verify(public_key: bytes, message: bytes, signature: bytes, cache: KeyCache) -> bool:
    """Tell whether one key signed. Bytes of any length and content may come in."""
    return _check(cache.key(public_key), message, signature, _SIGNATURE_DST)


def verify_aggregate(
    public_keys: Sequence[bytes], message: bytes, signature: bytes, cache: KeyCache
) -> bool:
    """Tell whether all keys signed one message. No keys at all prove nothing: False.

    Each key has a checked proof of possession. Their order is part of the cache's key, so callers
    keep to the validators' order.
    """
    return _check(cache.sum_of(public_keys), message, signature, _SIGNATURE_DST)


def verify_possession(public_key: bytes, proof: bytes) -> bool:
    """Tell whether the owner of a public key has shown that it knows the secret."""
    return _check(_decode_key(public_key), public_key, proof, _POSSESSION_DST)


def _check(key: G1Point | None, message: bytes, signature: bytes, domain: bytes) -> bool:
    """Check e(key, H(message)) = e(generator, signature) as one product."""
    point = _decode_signature(signature)
    if key is None or point is None:
        return False
    # Keys of a sum may cancel out. Only infinity would then be a signature, and that is refused.
    return GT.pairing_check([key, _MINUS_GENERATOR], [_hash_to_curve(message, domain), point])


@lru_cache(maxsize=64)
def _hash_to_curve(message: bytes, domain: bytes) -> G2Point:
    """Hash a message. Cached: the votes of a round all sign the same one, our own among them."""
    return G2Point.hash_to_curve(message, domain)


def _decode_key(encoded: bytes) -> G1Point | None:
    if len(encoded) != BLS_KEY_BYTES or encoded[0] & _INFINITY_FLAG:
        return None
    try:
        return G1Point.from_compressed_bytes(encoded)
    except ValueError:
        return None


def _decode_signature(encoded: bytes) -> G2Point | None:
    if len(encoded) != BLS_SIGNATURE_BYTES or encoded[0] & _INFINITY_FLAG:
        return None
    try:
        return G2Point.from_compressed_bytes(encoded)
    except ValueError:
        return None
