"""Request 204: transactions of an epoch, proven against the history root of a macro block."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.messages.batch_set import MAX_LEAVES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32

CHUNK_LEAVES: Final = 1024
"""Transactions in one response: at most 300 KB, checked in a few milliseconds."""

MAX_TRANSACTION_BYTES: Final = 512
"""A transaction with the most data, and room."""

MAX_PROOF_HASHES: Final = 128
"""Both edges of a range in a tree of 2^40 leaves, and its peaks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryChunkRequest:
    """Asks for a range of an epoch's transactions.

    Wire: [verifier: bin 32, first: uint 0..2^40, limit: uint 1..1024].
    """

    verifier: Hash32
    """Macro block whose history root the answer is proven against: in the epoch or at its end."""
    first: int
    """Leaf index of the first transaction, counted from 0 in each epoch."""
    limit: int = CHUNK_LEAVES

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.verifier, self.first, self.limit])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one history-chunk request.
        """
        fields = FieldReader.unpack("HistoryChunkRequest", payload, arity=3)
        return cls(
            verifier=fields.hash32(),
            first=fields.uint(maximum=MAX_LEAVES),
            limit=fields.uint(minimum=1, maximum=CHUNK_LEAVES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryChunkResponse:
    """Wire: [0, transactions: array 1..1024 of bin, leaves: uint 0..2^40, proof: array of bin 32].

    Exactly as many transactions as were asked for, or up to the last leaf.
    """

    transactions: tuple[bytes, ...]
    """Encodings, in the order of the leaves."""
    leaf_count: int
    """Of the tree at the verifier; the root commits to it."""
    proof: tuple[Hash32, ...]
    """Nodes that lead from these leaves to the root, in the order that section 10 gives."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.transactions, self.leaf_count, self.proof)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. Transactions and proof are not looked at.

        Raises:
            WireError: The payload is not exactly one history-chunk response.
        """
        fields = open_response("HistoryChunkResponse", payload, arity=3)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            transactions=fields.items(_read_transaction, minimum=1, maximum=CHUNK_LEAVES),
            leaf_count=fields.uint(maximum=MAX_LEAVES),
            proof=fields.hashes(maximum=MAX_PROOF_HASHES),
        )


def _read_transaction(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_TRANSACTION_BYTES:
        raise WireError("HistoryChunkResponse", f"not 1..{MAX_TRANSACTION_BYTES} bytes")
    return value
