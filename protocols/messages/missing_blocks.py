"""Request 209: the blocks between what the asking node has and a block that it wants."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.limits import MAX_BLOCK_BYTES, MAX_BLOCKS_PER_RESPONSE, MAX_REQUEST_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import HASH_BYTES, Direction, Hash32

MAX_READ_LOCATORS: Final = MAX_REQUEST_BYTES // (HASH_BYTES + 2)
"""As many as fit into a request. More than MAX_LOCATORS is readable on purpose: it gets the named
error TOO_MANY_LOCATORS and not the one for garbage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlocksRequest:
    """Asks for the blocks between the newest locator that the answering node knows and a target.

    Wire: [target: bin 32, with body: bool, locators: array 0..255 of bin 32, direction: 0|1].
    """

    target: Hash32
    with_body: bool
    locators: tuple[Hash32, ...]
    """Hashes of the asking node's main chain, newest first, the last macro block at the end."""
    direction: Direction

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.target, self.with_body, self.locators, int(self.direction)])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request; one with too many locators is still one.

        Raises:
            WireError: The payload is not exactly one missing-blocks request.
        """
        fields = FieldReader.unpack("MissingBlocksRequest", payload, arity=4)
        return cls(
            target=fields.hash32(),
            with_body=fields.flag(),
            locators=fields.hashes(maximum=MAX_READ_LOCATORS),
            direction=Direction(fields.uint(maximum=max(Direction))),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingBlocksResponse:
    """The blocks. Wire: [0, blocks: array 0..65535 of bin 1..MAX_BLOCK_BYTES].

    Forward they ascend from the block after the locator, backward they descend from the target.
    """

    blocks: tuple[bytes, ...]
    """Each in the encoding of a block, with a body exactly when bodies were asked for."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.blocks)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The blocks in it are not looked at.

        Raises:
            WireError: The payload is not exactly one missing-blocks response.
        """
        fields = open_response("MissingBlocksResponse", payload, arity=1)
        if isinstance(fields, Refusal):
            return fields
        return cls(blocks=fields.items(_read_block, maximum=MAX_BLOCKS_PER_RESPONSE))


def _read_block(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 1 <= len(value) <= MAX_BLOCK_BYTES:
        raise WireError("MissingBlocksResponse", f"not a block of 1..{MAX_BLOCK_BYTES} bytes")
    return value
