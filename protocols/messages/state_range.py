"""Request 212: accounts of a key range in the state after a block, with one proof of them all."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Address, Hash32, Height

MAX_RANGE_LEAVES: Final = 4096
"""Accounts in one response: 127 KB, verified in two milliseconds."""

MAX_LEAVES_BYTES: Final = 256 * 1024
"""Their bytes; with larger accounts there are fewer."""

MAX_RANGE_PROOF_BYTES: Final = 128 * 1024
"""Three paths of 39 branches and a page at the end of each are 77 KB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRangeRequest:
    """Asks for the accounts from one key to another, both included.

    Wire: [target: bin 32, start: bin 20, end: bin 20, limit: uint 1..4096]. The start is not above
    the end.
    """

    target: Hash32
    """Block of the main chain whose state root the answer is proven against."""
    start: Address
    end: Address
    limit: int = MAX_RANGE_LEAVES
    """Most accounts of the answer."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.target, self.start, self.end, self.limit])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one state-range request.
        """
        fields = FieldReader.unpack("StateRangeRequest", payload, arity=4)
        request = cls(
            target=fields.hash32(),
            start=fields.address(),
            end=fields.address(),
            limit=fields.uint(minimum=1, maximum=MAX_RANGE_LEAVES),
        )
        if request.start > request.end:
            raise WireError("StateRangeRequest", "the start is above the end")
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRange:
    """Accounts and their proof. Wire: [leaves: bin 0..262144, proof: bin 0..131072]."""

    leaves: bytes
    """Records of the accounts, ascending by address."""
    proof: bytes
    """Nodes of the trie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateRangeResponse:
    """Wire: [0, oldest: uint 32, newest: uint 32, answer: nil | [leaves: bin, proof: bin]].

    No answer: the target is not on the main chain between these heights, so its state cannot be
    proven by this node. The heights say which can.
    """

    oldest: Height
    newest: Height
    answer: ProvenRange | None

    def encode(self) -> bytes:
        """Return the wire form."""
        answer = None if self.answer is None else (self.answer.leaves, self.answer.proof)
        return encode_success(self.oldest, self.newest, answer)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. Leaves and proof are not looked at.

        Raises:
            WireError: The payload is not exactly one state-range response.
        """
        fields = open_response("StateRangeResponse", payload, arity=3)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            oldest=fields.uint(maximum=0xFFFF_FFFF),
            newest=fields.uint(maximum=0xFFFF_FFFF),
            answer=_read_answer(fields.raw()),
        )


def _read_answer(value: Any) -> ProvenRange | None:
    if value is None:
        return None
    fields = FieldReader.of("StateRangeResponse", value, arity=2)
    return ProvenRange(
        leaves=fields.blob(maximum=MAX_LEAVES_BYTES),
        proof=fields.blob(maximum=MAX_RANGE_PROOF_BYTES),
    )
