"""Request 210: what a node's chain ends in."""

from dataclasses import dataclass
from typing import Self

from protocols.codec import FieldReader, pack
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32, Height

_MAX_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class HeadRequest:
    """Asks for the newest blocks of a node's main chain. Wire: []."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one head request.
        """
        FieldReader.unpack("HeadRequest", payload, arity=0)
        return cls()


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadResponse:
    """The newest block, macro block and election block of the main chain.

    Wire: [0, number: uint 32, hash: bin 32, macro number: uint 32, macro hash: bin 32,
    election number: uint 32, election hash: bin 32].
    """

    number: Height
    hash: Hash32
    macro_number: Height
    macro_hash: Hash32
    election_number: Height
    election_hash: Hash32

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(
            self.number,
            self.hash,
            self.macro_number,
            self.macro_hash,
            self.election_number,
            self.election_hash,
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none.

        Raises:
            WireError: The payload is not exactly one head response.
        """
        fields = open_response("HeadResponse", payload, arity=6)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            number=fields.uint(maximum=_MAX_UINT32),
            hash=fields.hash32(),
            macro_number=fields.uint(maximum=_MAX_UINT32),
            macro_hash=fields.hash32(),
            election_number=fields.uint(maximum=_MAX_UINT32),
            election_hash=fields.hash32(),
        )
