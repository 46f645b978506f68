"""Request 200: the macro blocks that lead from what the asking node has to the newest one."""

from dataclasses import dataclass
from typing import Any, Final, Self

from protocols.codec import FieldReader, pack
from protocols.status import Refusal, encode_success, open_response
from protocols.types import Hash32, Height

MAX_MACRO_LOCATORS: Final = 8
"""A checkpoint and the election blocks below it: two are asked with, more tell forks apart."""

MAX_EPOCHS: Final = 1000
"""Election hashes in one response: 33 KB. Whoever lacks more asks again."""

MAX_READ_EPOCHS: Final = 1900
"""Election hashes that are read: what fits into the largest response. One too many is read and not
believed, so that it is judged as the claim that it is and not as a slip in the encoding."""

_MAX_UINT32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroChainRequest:
    """Asks for the election blocks after the first locator that the answering node has.

    Wire: [locators: array 1..8 of bin 32, max epochs: uint 1..1000].
    """

    locators: tuple[Hash32, ...]
    """Macro blocks of the asking node, newest first: its macro head, its election head."""
    max_epochs: int = MAX_EPOCHS

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.locators, self.max_epochs])

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a request.

        Raises:
            WireError: The payload is not exactly one macro-chain request.
        """
        fields = FieldReader.unpack("MacroChainRequest", payload, arity=2)
        return cls(
            locators=fields.hashes(minimum=1, maximum=MAX_MACRO_LOCATORS),
            max_epochs=fields.uint(minimum=1, maximum=MAX_EPOCHS),
        )


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The newest macro block, when it is no election block. Wire: [number: uint 32, hash: bin 32].

    The number lets the asking node see how far it leads; it counts only once the block is there.
    """

    number: Height
    hash: Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroChainResponse:
    """Wire: [0, epochs: array 0..1000 of bin 32, checkpoint: nil | Checkpoint].

    Both empty: the asking node has the newest macro block.
    """

    epochs: tuple[Hash32, ...]
    """Election blocks after the locator, ascending. More than MAX_EPOCHS are a false claim."""
    checkpoint: Checkpoint | None
    """Above all of `epochs` and above the locator. Nil when epochs were left out."""

    def encode(self) -> bytes:
        """Return the wire form."""
        newest = self.checkpoint
        return encode_success(self.epochs, None if newest is None else [newest.number, newest.hash])

    @classmethod
    def decode(cls, payload: bytes) -> Self | Refusal:
        """Read a response, or why there is none.

        Raises:
            WireError: The payload is not exactly one macro-chain response.
        """
        fields = open_response("MacroChainResponse", payload, arity=2)
        if isinstance(fields, Refusal):
            return fields
        return cls(
            epochs=fields.hashes(maximum=MAX_READ_EPOCHS), checkpoint=_read_checkpoint(fields.raw())
        )


def _read_checkpoint(value: Any) -> Checkpoint | None:
    if value is None:
        return None
    fields = FieldReader.of("Checkpoint", value, arity=2)
    return Checkpoint(fields.uint(maximum=_MAX_UINT32), fields.hash32())
