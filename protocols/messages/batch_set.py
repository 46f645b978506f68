"""Request 202: the macro blocks of an epoch, and how much history each batch has added."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.limits import MAX_HEADER_BYTES, MAX_JUSTIFICATION_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32, Height

MAX_BATCHES: Final = 8192
"""Batches in one response: an epoch of any network in use. The response's size comes first."""

MAX_MACRO_BYTES: Final = MAX_HEADER_BYTES + MAX_JUSTIFICATION_BYTES + 16
"""A macro block without its body."""

MAX_LEAVES: Final = 2**40
"""Most transactions of an epoch."""

_MAX_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class BatchSetRequest:
    """Asks for the macro blocks of one epoch. Wire: [target: bin 32, after: uint 32].

    The answering node must have the target as a macro block of its main chain.
    """

    target: Hash32
    """Election block that ends the epoch, or a checkpoint in it."""
    after: Height
    """Only macro blocks above this height, which need not be one of the epoch."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.target, self.after])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one batch-set request.
        """
        fields = FieldReader.unpack("BatchSetRequest", payload, arity=2)
        return cls(fields.hash32(), fields.uint(maximum=_MAX_UINT32))


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """One batch. Wire: [macro block: bin, history length: uint 0..2^40]."""

    macro_block: bytes
    """Encoding of a block, without its body."""
    history_length: int
    """Transactions of the epoch up to the end of this batch: leaves of its history tree."""


@dataclass(frozen=True, slots=True)
class BatchSetResponse:
    """Wire: [0, batches: array 0..8192 of [macro block: bin, history length: uint 0..2^40]].

    Ascending, the target last; fewer, cut off at the far end, when it would be too large.
    """

    batches: tuple[BatchInfo, ...]

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success([[each.macro_block, each.history_length] for each in self.batches])

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The blocks in it are not looked at.

        Raises:
            WireError: The payload is not exactly one batch-set response.
        """
        fields = open_response("BatchSetResponse", payload, arity=1)
        if isinstance(fields, Refusal):
            return fields
        return cls(fields.items(_read_batch, maximum=MAX_BATCHES))


def _read_batch(value: Any) -> BatchInfo:
    fields = FieldReader.of("BatchInfo", value, arity=2)
    return BatchInfo(
        fields.blob(minimum=1, maximum=MAX_MACRO_BYTES), fields.uint(maximum=MAX_LEAVES)
    )
