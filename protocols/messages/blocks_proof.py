"""Request 216: proves that blocks are on the main chain of a known election block."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, Value, pack
from protocols.limits import MAX_HEADER_BYTES, MAX_JUSTIFICATION_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32, Height

MAX_PROVEN_BLOCKS: Final = 16
"""Blocks in one request. Each may need the headers of a whole batch."""

MAX_LINKS: Final = 1023
"""Headers between a block and its macro block, which a batch of 1024 blocks bounds."""

MAX_LINKS_IN_ALL: Final = 2048
"""Links of all blocks of one proof together. A request of a few bytes makes a node read them: two
blocks of the longest batches, or sixteen of common ones."""

MAX_ELECTIONS: Final = 256
"""Election headers of one proof. At most 65 KB each; the response's size comes first."""

_MAX_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksProofRequest:
    """Asks for a proof of some blocks of the main chain, by their heights.

    Wire: [election head: bin 32, numbers: array 1..16 of uint 1..2^32-1].
    """

    election_head: Hash32
    """Election block that the asking node knows, at or above the one before each block's batch."""
    numbers: tuple[Height, ...]
    """Heights of the blocks, which are answered in the same order. Genesis needs no proof."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.election_head, self.numbers])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one blocks-proof request.
        """
        fields = FieldReader.unpack("BlocksProofRequest", payload, arity=2)
        return cls(
            election_head=fields.hash32(),
            numbers=fields.items(_read_number, minimum=1, maximum=MAX_PROVEN_BLOCKS),
        )


@dataclass(frozen=True, slots=True)
class ProvenBlock:
    """How one block hangs from a macro block.

    Wire: [header: bin 1..65536, justification: bin 1..256, links: array 0..1023 of bin 1..65536].
    """

    header: bytes
    """Of the first macro block at or above the block."""
    justification: bytes
    """The quorum that has signed it."""
    links: tuple[bytes, ...]
    """Headers from its parent down to the block. None if the block is the macro block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlocksProofResponse:
    """Headers that lead from the election block named to each block.

    Wire: [0, elections: array 0..256 of bin 1..65536, blocks: array 1..16 of [header: bin 1..65536,
    justification: bin 1..256, links: array 0..1023 of bin 1..65536]].
    """

    elections: tuple[bytes, ...]
    """Election headers from the parent election of the named one down to the oldest needed."""
    blocks: tuple[ProvenBlock, ...]
    """One for each number, in the order of the request."""

    def encode(self) -> bytes:
        """Return the wire form."""
        blocks: list[Value] = [
            [each.header, each.justification, each.links] for each in self.blocks
        ]
        return encode_success(self.elections, blocks)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. Headers are not looked at.

        Raises:
            WireError: The payload is not exactly one blocks-proof response.
        """
        fields = open_response("BlocksProofResponse", payload, arity=2)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            elections=fields.items(_read_header, maximum=MAX_ELECTIONS),
            blocks=fields.items(_read_block, minimum=1, maximum=MAX_PROVEN_BLOCKS),
        )


def _read_number(value: Any) -> Height:
    return FieldReader.of("BlocksProofRequest", [value], arity=1).uint(
        minimum=1, maximum=_MAX_UINT32
    )


def _read_header(value: Any) -> bytes:
    return FieldReader.of("BlocksProofResponse", [value], arity=1).blob(
        minimum=1, maximum=MAX_HEADER_BYTES
    )


def _read_block(value: Any) -> ProvenBlock:
    fields = FieldReader.of("ProvenBlock", value, arity=3)
    return ProvenBlock(
        fields.blob(minimum=1, maximum=MAX_HEADER_BYTES),
        fields.blob(minimum=1, maximum=MAX_JUSTIFICATION_BYTES),
        fields.items(_read_header, maximum=MAX_LINKS),
    )
