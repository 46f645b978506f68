"""Request 220: the peaks of an epoch's history tree after a block, which later blocks extend."""

from dataclasses import dataclass
from typing import Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32

MAX_LEAVES: Final = 1 << 40
"""Transactions of an epoch: far more than a chain has."""

MAX_PEAKS: Final = 41
"""One for each bit of the leaf count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPeaksRequest:
    """Asks for the history after a block. Wire: [verifier: bin 32]."""

    verifier: Hash32
    """Block of the main chain whose history root the answer is proven against."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.verifier])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one history-peaks request.
        """
        fields = FieldReader.unpack("HistoryPeaksRequest", payload, arity=1)
        return cls(verifier=fields.hash32())


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPeaksResponse:
    """Wire: [0, leaf count: uint 0..2^40, peaks: array 0..41 of bin 32].

    There are as many peaks as bits are set in the leaf count.
    """

    leaf_count: int
    """Transactions of the epoch up to the verifier."""
    peaks: tuple[Hash32, ...]
    """From left to right."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.leaf_count, self.peaks)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none.

        Raises:
            WireError: The payload is not exactly one history-peaks response.
        """
        fields = open_response("HistoryPeaksResponse", payload, arity=2)
        if isinstance(fields, Refusal):
            return fields
        leaf_count = fields.uint(maximum=MAX_LEAVES)
        peaks = fields.hashes(maximum=MAX_PEAKS)
        if len(peaks) != leaf_count.bit_count():
            raise WireError("HistoryPeaksResponse", "not one peak for each bit of the leaf count")
        return cls(leaf_count=leaf_count, peaks=peaks)
