"""A block: header, justification, and the body where it is wanted."""

from dataclasses import dataclass, replace
from typing import Self

from node.blocks.body import Body, decode_body
from node.blocks.header import Header, MacroHeader, decode_header
from node.blocks.justification import Justification, SkipProof, decode_justification
from protocols.codec import FieldReader, pack
from protocols.limits import MAX_BODY_BYTES, MAX_HEADER_BYTES, MAX_JUSTIFICATION_BYTES
from protocols.types import Hash32, Height


@dataclass(frozen=True)
class Block:
    """Wire: [header: bin, justification: bin, body: bin | nil], each in its own encoding."""

    header: Header
    justification: Justification
    body: Body | None

    @property
    def hash(self) -> Hash32:
        """Identity of the block: the hash of its header."""
        return self.header.hash

    @property
    def number(self) -> Height:
        """Height of the block."""
        return self.header.number

    @property
    def parent_hash(self) -> Hash32:
        """Hash of the block before it."""
        return self.header.parent_hash

    @property
    def is_macro(self) -> bool:
        """Whether it is a checkpoint or election block."""
        return isinstance(self.header, MacroHeader)

    @property
    def is_skip(self) -> bool:
        """Whether it says that a producer was silent."""
        return isinstance(self.justification, SkipProof)

    def without_body(self) -> Self:
        """Return header and justification only."""
        return self if self.body is None else replace(self, body=None)

    def encode(self) -> bytes:
        """Return the wire form."""
        body = None if self.body is None else self.body.encoded
        return pack([self.header.encoded, self.justification.encode(), body])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a block. Only its shape is checked: nothing is verified.

        Raises:
            WireError: The payload is not exactly one block.
        """
        fields = FieldReader.unpack("Block", payload, arity=3)
        header = decode_header(fields.blob(maximum=MAX_HEADER_BYTES))
        justification = decode_justification(fields.blob(maximum=MAX_JUSTIFICATION_BYTES))
        body = fields.optional_blob(maximum=MAX_BODY_BYTES)
        return cls(header, justification, None if body is None else decode_body(body))
