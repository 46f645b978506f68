"""Request 218: what consecutive blocks of the main chain change in the state."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32, Height

MAX_DIFFS: Final = 64
"""Blocks in one response: at 1000 changes each, 2 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieDiffsRequest:
    """Asks for the changes of the blocks up to a target. Wire: [first: uint 32, target: bin 32]."""

    first: Height
    """Of the first block whose changes are wanted."""
    target: Hash32
    """Last block whose changes are wanted, on the main chain."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.first, self.target])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one trie-diffs request.
        """
        fields = FieldReader.unpack("TrieDiffsRequest", payload, arity=2)
        return cls(first=fields.uint(maximum=0xFFFF_FFFF), target=fields.hash32())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrieDiffsResponse:
    """Wire: [0, changes: array 1..64 of bin].

    One for each block from the first on, up to the target unless it would be more than 64 or larger
    than a response may be.
    """

    changes: tuple[bytes, ...]
    """What each block's diff root commits to, without the byte in front; empty for no change."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.changes)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The changes are not looked at.

        Raises:
            WireError: The payload is not exactly one trie-diffs response.
        """
        fields = open_response("TrieDiffsResponse", payload, arity=1)
        if isinstance(fields, Refusal):
            return fields
        return cls(changes=fields.items(_read_changes, minimum=1, maximum=MAX_DIFFS))


def _read_changes(value: Any) -> bytes:
    if not isinstance(value, bytes) or len(value) > MAX_RESPONSE_BYTES:
        raise WireError("TrieDiffsResponse", "changes are not bytes")
    return value
