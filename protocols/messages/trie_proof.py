"""Request 215: accounts of the state after a block, present or absent, with their proof."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.status import Refusal, encode_success, open_response
from protocols.types import ADDRESS_BYTES, Address, Hash32

MAX_ADDRESSES: Final = 64
"""Accounts in one request: some hundred KB of proof in a state of millions."""

MAX_KEY_PROOF_BYTES: Final = 2_000_000
"""64 paths of 39 branches that share nothing are 1.64 MB. Only somebody who chose the addresses
for it could make a trie so deep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieProofRequest:
    """Asks for accounts. Wire: [target: bin 32, addresses: array 1..64 of bin 20, ascending]."""

    target: Hash32
    """Block of the main chain whose state root the answer is proven against."""
    addresses: tuple[Address, ...]
    """In ascending order, none twice."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.target, self.addresses])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one trie-proof request.
        """
        fields = FieldReader.unpack("TrieProofRequest", payload, arity=2)
        target = fields.hash32()
        addresses = fields.items(_read_address, minimum=1, maximum=MAX_ADDRESSES)
        if any(first >= second for first, second in pairwise(addresses)):
            raise WireError("TrieProofRequest", "addresses not ascending")
        return cls(target=target, addresses=addresses)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieProofResponse:
    """Wire: [0, proof: bin 1..2000000]."""

    proof: bytes
    """Nodes of the trie that prove exactly the accounts that were asked for."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.proof)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The proof is not looked at.

        Raises:
            WireError: The payload is not exactly one trie-proof response.
        """
        fields = open_response("TrieProofResponse", payload, arity=1)
        if isinstance(fields, Refusal):
            return fields
        return cls(proof=fields.blob(minimum=1, maximum=MAX_KEY_PROOF_BYTES))


def _read_address(value: Any) -> Address:
    if not isinstance(value, bytes) or len(value) != ADDRESS_BYTES:
        raise WireError("TrieProofRequest", "not a 20-byte address")
    return Address(value)
