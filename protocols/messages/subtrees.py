"""Request 219: single nodes of the state's trie after a block, to find where two states differ."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.status import Refusal, encode_success, open_response
from protocols.types import ADDRESS_BYTES, Hash32, Height

MAX_PLACES: Final = 64
"""Nodes in one response: 126 KB if all of them are full pages."""

MAX_NODE_BYTES: Final = 4096
"""A page of 64 accounts is 1985 bytes, a branch 641."""

_MAX_DEPTH: Final = 2 * ADDRESS_BYTES
"""Nibbles of an address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtreesRequest:
    """Asks for nodes. Wire: [target: bin 32, places: array 1..64 of bin 1..21].

    A place is its depth (one byte, 0..40 nibbles) and the prefix that leads to it, two nibbles in a
    byte; an odd last one stands in the high half and the low half is zero.
    """

    target: Hash32
    """Block of the main chain whose state it is."""
    places: tuple[bytes, ...]
    """In the order in which their nodes are wanted."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.target, self.places])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one subtrees request.
        """
        fields = FieldReader.unpack("SubtreesRequest", payload, arity=2)
        return cls(
            target=fields.hash32(),
            places=fields.items(_read_place, minimum=1, maximum=MAX_PLACES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SubtreesResponse:
    """Wire: [0, oldest: uint 32, newest: uint 32, nodes: nil | array 1..64 of bin 1..4096].

    No nodes: the target is not on the main chain between these heights, so its state cannot be
    presented by this node. The heights say which can.
    """

    oldest: Height
    newest: Height
    nodes: tuple[bytes, ...] | None
    """One for each place, as the bytes that its hash covers."""

    def encode(self) -> bytes:
        """Return the wire form."""
        return encode_success(self.oldest, self.newest, self.nodes)

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none. The nodes are not looked at.

        Raises:
            WireError: The payload is not exactly one subtrees response.
        """
        fields = open_response("SubtreesResponse", payload, arity=3)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            oldest=fields.uint(maximum=0xFFFF_FFFF),
            newest=fields.uint(maximum=0xFFFF_FFFF),
            nodes=fields.optional_items(_read_node, minimum=1, maximum=MAX_PLACES),
        )


def _read_place(value: Any) -> bytes:
    if not isinstance(value, bytes) or not value or value[0] > _MAX_DEPTH:
        raise WireError("SubtreesRequest", "not a depth of the trie")
    if len(value) != 1 + (value[0] + 1) // 2 or (value[0] % 2 and value[-1] & 0x0F):
        raise WireError("SubtreesRequest", "not a prefix as long as the depth says")
    return value


def _read_node(value: Any) -> bytes:
    if not isinstance(value, bytes) or not 0 < len(value) <= MAX_NODE_BYTES:
        raise WireError("SubtreesResponse", "not a node of the trie")
    return value
