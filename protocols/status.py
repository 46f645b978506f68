"""How a request ended, in the first field of every response.

    response   [0, content...]     the request was served
               [status]            it was not, and this is why

Numbers are never reused. A reader refuses a number that it does not know: a new one comes with a
new version of the protocol.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, TypeAlias

from protocols.codec import FieldReader, Value, pack, unpack
from protocols.errors import WireError


class ResponseStatus(IntEnum):
    """Named outcomes of a request."""

    OK = 0
    """Served; the content follows."""
    BAD_REQUEST = 1
    """The request does not decode. The only one that costs the asking peer score by itself."""
    RATE_LIMITED = 2
    """More requests of this protocol than the limit; ask again later."""
    BUSY = 3
    """Too many requests of this peer, or of all, wait for their turn; ask somebody else."""
    NOT_FOUND = 4
    """The block is not stored."""
    BODIES_NOT_STORED = 5
    """A body was asked for, and the node keeps none."""
    TARGET_NOT_FOUND = 6
    """The target is not stored."""
    TARGET_NOT_ON_MAIN_CHAIN = 7
    """The target is stored on a fork, and a forward answer follows the main chain only."""
    UNKNOWN_LOCATORS = 8
    """No locator is on the answering node's main chain. Forward only: a backward answer ends at a
    macro block anyway."""
    TOO_MANY_LOCATORS = 9
    """More than MAX_LOCATORS."""
    PRUNED = 10
    """The node had it and no longer keeps it; a node that keeps more may be asked."""
    NOT_A_MACRO_BLOCK = 11
    """The hash is not that of a macro block on the answering node's main chain."""
    OUT_OF_RANGE = 12
    """Nothing is there: a leaf behind the last one, a height above the head."""
    HISTORY_NOT_STORED = 13
    """Something of the history of transactions was asked for, and the node keeps none."""
    PROOF_TOO_LARGE = 14
    """The proof would not fit into a response; less, or from a nearer start, may be asked for."""
    STATE_NOT_STORED = 15
    """Something of the account state was asked for, and the node keeps none."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The response of a node that does not serve a request. Wire: [status: uint 1..15]."""

    status: ResponseStatus

    def __post_init__(self) -> None:
        """A served request is never a refusal."""
        assert self.status is not ResponseStatus.OK

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([int(self.status)])


Opened: TypeAlias = FieldReader | Refusal


def encode_success(*content: Value) -> bytes:
    """Return the response of a served request: status OK, then the content."""
    return pack([int(ResponseStatus.OK), *content])


def open_response(kind: str, payload: bytes, *, arity: int) -> Opened:
    """Read the status and return a reader that stands at the content, or the refusal.

    Args:
        kind: Name for errors.
        payload: The whole response, already capped by the frames that carried it.
        arity: Number of fields of the content, without the status.

    Raises:
        WireError: Not an array, an unknown status, or not the fields that belong to the status.
    """
    value: Any = unpack(kind, payload)
    if not isinstance(value, list) or not value:
        raise WireError(kind, "not an array that starts with its status")
    is_success = type(value[0]) is int and value[0] == ResponseStatus.OK
    fields = FieldReader.of(kind, value, arity=1 + arity if is_success else 1)
    status = ResponseStatus(fields.uint(maximum=max(ResponseStatus)))
    return fields if status is ResponseStatus.OK else Refusal(status)
