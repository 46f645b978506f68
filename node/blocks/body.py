"""Block bodies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self, TypeAlias

from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.header import MICRO, MicroHeader, decode_header
from node.crypto.hashes import hash32
from protocols.codec import FieldReader, join_array, pack, small_packer, unpack
from protocols.errors import WireError
from protocols.limits import MAX_BODY_BYTES, MAX_SLOTS
from protocols.types import ED25519_SIGNATURE_BYTES, Address, Hash32

MAX_EQUIVOCATION_PROOFS: Final = 64
MAX_TRANSACTIONS: Final = 60_000


@dataclass(frozen=True, kw_only=True)
class EquivocationProof:
    """Two different micro headers of one height and parent seed, both signed by its producer.

    Wire: [header 1: bin, signature 1: bin 64, header 2: bin, signature 2: bin 64], the header
    with the lower hash first.
    """

    header1: MicroHeader
    signature1: bytes
    header2: MicroHeader
    signature2: bytes

    def to_wire(self) -> list[Any]:
        """Return the fields of the wire form, for nesting."""
        return [self.header1.encoded, self.signature1, self.header2.encoded, self.signature2]

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Read a proof nested in a body. Signatures are not checked here.

        Raises:
            WireError: The value is not a proof, or its headers are not in order.
        """
        fields = FieldReader.of("EquivocationProof", value, arity=4)
        header1 = _micro(fields.blob(maximum=1024))
        signature1 = fields.exactly(ED25519_SIGNATURE_BYTES)
        header2 = _micro(fields.blob(maximum=1024))
        signature2 = fields.exactly(ED25519_SIGNATURE_BYTES)
        if header1.hash >= header2.hash:
            raise WireError("EquivocationProof", "headers not in order of their hashes")
        return cls(header1=header1, signature1=signature1, header2=header2, signature2=signature2)


def _micro(payload: bytes) -> MicroHeader:
    header = decode_header(payload)
    if not isinstance(header, MicroHeader):
        raise WireError("EquivocationProof", "not a micro header")
    return header


@dataclass(frozen=True, slots=True)
class Reward:
    """Coins paid to a validator by a macro block. Wire: [recipient: bin 20, value: uint]."""

    recipient: Address
    value: int

    def to_wire(self) -> list[Any]:
        """Return the fields of the wire form, for nesting."""
        return [self.recipient, self.value]

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Read a reward nested in a body.

        Raises:
            WireError: The value is not a reward.
        """
        fields = FieldReader.of("Reward", value, arity=2)
        return cls(fields.address(), fields.uint(maximum=MAX_COINS))


class _Rooted:
    """A body hashes as the bytes that it came in."""

    @cached_property
    def encoded(self) -> bytes:
        """The wire form."""
        return pack(self._fields())

    @cached_property
    def root(self) -> Hash32:
        """What the header's `body_root` must be."""
        return hash32(self.encoded)

    def _fields(self) -> list[Any]:
        raise NotImplementedError


@dataclass(frozen=True)
class MicroBody(_Rooted):
    """Body of a micro block. Wire: [0, equivocation proofs: array, transactions: array]."""

    equivocation_proofs: tuple[EquivocationProof, ...] = ()
    transactions: tuple[Transaction, ...] = ()

    def _fields(self) -> list[Any]:
        return [
            MICRO,
            [proof.to_wire() for proof in self.equivocation_proofs],
            [transaction.to_wire() for transaction in self.transactions],
        ]


@dataclass(frozen=True)
class MacroBody(_Rooted):
    """Body of a macro block. Wire: [1, rewards: array]."""

    rewards: tuple[Reward, ...] = ()

    def _fields(self) -> list[Any]:
        return [1, [reward.to_wire() for reward in self.rewards]]


Body: TypeAlias = MicroBody | MacroBody

EMPTY_MICRO_BODY: Final = MicroBody()

_BEFORE_TRANSACTIONS: Final = EMPTY_MICRO_BODY.encoded[:-1]
"""All of the encoding but the array of transactions, which is one byte when it is empty."""


def join_transactions(encodings: Sequence[bytes]) -> bytes:
    """Return the encoding of a micro body without proofs from those of its transactions."""
    return _BEFORE_TRANSACTIONS + join_array(encodings)


def _transaction_reader() -> Callable[[Any], Transaction]:
    encode = small_packer()
    return lambda value: Transaction.from_wire(value, encode)


def decode_body(payload: bytes) -> Body:
    """Read a body and keep its bytes.

    Raises:
        WireError: The payload is not exactly one body.
    """
    if len(payload) > MAX_BODY_BYTES:
        raise WireError("Body", f"more than {MAX_BODY_BYTES} bytes")
    value = unpack("Body", payload)
    if not isinstance(value, list) or not value or type(value[0]) is not int:
        raise WireError("Body", "not an array that starts with its type")
    body: Body
    if value[0] == MICRO:
        fields = FieldReader.of("MicroBody", value, arity=3)
        fields.raw()
        body = MicroBody(
            fields.items(EquivocationProof.from_wire, maximum=MAX_EQUIVOCATION_PROOFS),
            fields.items(_transaction_reader(), maximum=MAX_TRANSACTIONS),
        )
    elif value[0] == 1:
        fields = FieldReader.of("MacroBody", value, arity=2)
        fields.raw()
        body = MacroBody(fields.items(Reward.from_wire, maximum=MAX_SLOTS))
    else:
        raise WireError("Body", f"unknown type {value[0]}")
    body.__dict__["encoded"] = payload
    return body
