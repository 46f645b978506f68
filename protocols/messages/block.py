"""Request 207: one block by its hash."""

from dataclasses import dataclass
from typing import Self

from protocols.codec import FieldReader, pack
from protocols.limits import MAX_BLOCK_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRequest:
    """Asks for one block, on the main chain or a fork. Wire: [hash: bin 32, with body: bool]."""

    hash: Hash32
    with_body: bool

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.hash, self.with_body])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one block request.
        """
        fields = FieldReader.unpack("BlockRequest", payload, arity=2)
        return cls(hash=fields.hash32(), with_body=fields.flag())


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockResponse:
    """The block. Wire: [0, block: bin 1..MAX_BLOCK_BYTES]."""

    block: bytes
    """In the encoding of a block, with a body exactly when one was asked for."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.block)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The block in it is not looked at.

        Raises:
            WireError: The payload is not exactly one block response.
        """
        fields = open_response("BlockResponse", payload, arity=1)
        if isinstance(fields, Refusal):
            return fields
        return cls(block=fields.blob(minimum=1, maximum=MAX_BLOCK_BYTES))
