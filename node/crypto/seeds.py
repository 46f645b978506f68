"""The random seed of the chain: each block proves a new one from its parent's.

A seed is a VRF proof. The proof's bytes are not unique, its output is, so everything that is
drawn and the next seed depend on the output only: nobody can pick among several.
"""

from typing import Final

from node.crypto import vrf
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import hash32

_SEED_DOMAIN: Final = b"headway seed"
_ENTROPY_DOMAIN: Final = b"headway entropy"


def next_seed(key: SigningKey, parent_seed: bytes) -> bytes:
    """Return the seed (80 bytes) that the owner of `key` must put above `parent_seed`."""
    return vrf.prove(key, _alpha(parent_seed))


def verify_seed(public_key: bytes, parent_seed: bytes, seed: bytes) -> bool:
    """Tell whether `seed` is what the owner of `public_key` must put above `parent_seed`.

    Only `seed` may be any bytes: the parent has been verified.
    """
    return vrf.verify(public_key, _alpha(parent_seed), seed) is not None


def have_one_parent(one: bytes, other: bytes) -> bool:
    """Tell whether two seeds of one key continue the same parent seed. Any bytes may come in.

    The owner of the key says so: neither is verified here.
    """
    output = vrf.proof_to_hash(one)
    return output is not None and output == vrf.proof_to_hash(other)


def entropy(seed: bytes) -> bytes:
    """Return the 32 random bytes of a seed, for drawing slots.

    Args:
        seed: Of a block that has been verified.
    """
    return hash32(_ENTROPY_DOMAIN + _output(seed))


def _alpha(parent_seed: bytes) -> bytes:
    return _SEED_DOMAIN + _output(parent_seed)


def _output(seed: bytes) -> bytes:
    output = vrf.proof_to_hash(seed)
    assert output is not None, "the seed of a verified block is a proof"
    return output
