"""Request 213: proves that transactions are in the history of an epoch."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, Value, pack
from protocols.messages.batch_set import MAX_LEAVES
from protocols.messages.history_chunk import MAX_TRANSACTION_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import HASH_BYTES, Hash32

MAX_PROVEN_TRANSACTIONS: Final = 64
"""Hashes in one request. Leaves far from each other share no nodes: 40 nodes for each."""

MAX_PROVEN_NODES: Final = 2560
"""Nodes that lead from 64 leaves of a tree of 2^40 to its root, and room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionsProofRequest:
    """Asks for a proof of some transactions of one epoch.

    Wire: [transactions: array 1..64 of bin 32, verifier: bin 32 | nil].
    """

    transactions: tuple[Hash32, ...]
    """Hashes. All of one epoch; once or more often, in any order."""
    verifier: Hash32 | None = None
    """Macro block whose history root the answer is proven against. None: the election block that
    ends the epoch of the first transaction, or the newest macro block while it goes on."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.transactions, self.verifier])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one transactions-proof request.
        """
        fields = FieldReader.unpack("TransactionsProofRequest", payload, arity=2)
        transactions = fields.hashes(minimum=1, maximum=MAX_PROVEN_TRANSACTIONS)
        verifier = fields.optional_blob(minimum=HASH_BYTES, maximum=HASH_BYTES)
        return cls(
            transactions=transactions, verifier=None if verifier is None else Hash32(verifier)
        )


@dataclass(frozen=True, slots=True)
class ProvenTransaction:
    """A transaction in its place. Wire: [leaf index: uint 0..2^40, transaction: bin 1..512]."""

    index: int
    transaction: bytes
    """Its encoding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransactionsProofResponse:
    """The transactions that were asked for, by leaf index, each once, and their proof.

    Wire: [0, verifier: bin 32, leaf count: uint 0..2^40, transactions: array 1..64 of
    [leaf index: uint 0..2^40, transaction: bin 1..512], proof: array 0..2560 of bin 32].
    """

    verifier: Hash32
    """Macro block with the history root; its header must be known or fetched."""
    leaf_count: int
    """Of the tree at the verifier; the root commits to it."""
    transactions: tuple[ProvenTransaction, ...]
    """Ascending by index."""
    proof: tuple[Hash32, ...]
    """As in a history chunk."""

    def encode(self) -> bytes:
        """Return the wire form."""
        transactions: list[Value] = [[each.index, each.transaction] for each in self.transactions]
        return encode_success(self.verifier, self.leaf_count, transactions, self.proof)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. Transactions and proof are not looked at.

        Raises:
            WireError: The payload is not exactly one transactions-proof response.
        """
        fields = open_response("TransactionsProofResponse", payload, arity=4)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            verifier=fields.hash32(),
            leaf_count=fields.uint(maximum=MAX_LEAVES),
            transactions=fields.items(_read_proven, minimum=1, maximum=MAX_PROVEN_TRANSACTIONS),
            proof=fields.hashes(maximum=MAX_PROVEN_NODES),
        )


def _read_proven(value: Any) -> ProvenTransaction:
    fields = FieldReader.of("ProvenTransaction", value, arity=2)
    return ProvenTransaction(
        fields.uint(maximum=MAX_LEAVES), fields.blob(minimum=1, maximum=MAX_TRANSACTION_BYTES)
    )
