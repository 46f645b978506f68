"""Transactions between accounts."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from node.crypto.hashes import address_of, hash32
from protocols.codec import FieldReader, pack
from protocols.limits import MAX_TRANSACTION_DATA_BYTES
from protocols.types import (
    ED25519_KEY_BYTES,
    ED25519_SIGNATURE_BYTES,
    Address,
    Hash32,
    Height,
)

MAX_COINS = 2**53 - 1
"""Largest amount: exact in every language's numbers."""


@dataclass(frozen=True, kw_only=True)
class Transaction:
    """Moves `value` from the account of `sender_key` to `recipient` and pays `fee`.

    Wire: [sender key: bin 32, recipient: bin 20, value: uint, fee: uint, validity start: uint 32,
    network: uint 0..255, data: bin 0..64, signature: bin 64]. Value and fee are at most 2^53 - 1.
    The signature is Ed25519 over the hash, and the hash covers the first seven fields.
    """

    sender_key: bytes
    """Ed25519 public key, 32 bytes."""
    recipient: Address
    value: int
    fee: int
    validity_start: Height
    """First height at which it may be included; the last is a validity window later."""
    network: int
    data: bytes = b""
    signature: bytes = bytes(ED25519_SIGNATURE_BYTES)

    @cached_property
    def hash(self) -> Hash32:
        """Identity of the transaction: independent of its signature."""
        return hash32(pack(self._content()))

    @cached_property
    def sender(self) -> Address:
        """Account that pays."""
        return address_of(self.sender_key)

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack(self.to_wire())

    def to_wire(self) -> list[Any]:
        """Return the fields of the wire form, for nesting."""
        return [*self._content(), self.signature]

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a transaction. Its signature is not checked here.

        Raises:
            WireError: The payload is not exactly one transaction.
        """
        return cls._read(FieldReader.unpack("Transaction", payload, arity=8))

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Read a transaction nested in another message.

        Raises:
            WireError: The value is not a transaction.
        """
        return cls._read(FieldReader.of("Transaction", value, arity=8))

    @classmethod
    def _read(cls, fields: FieldReader) -> Self:
        return cls(
            sender_key=fields.exactly(ED25519_KEY_BYTES),
            recipient=fields.address(),
            value=fields.uint(maximum=MAX_COINS),
            fee=fields.uint(maximum=MAX_COINS),
            validity_start=fields.uint(maximum=0xFFFF_FFFF),
            network=fields.uint(maximum=0xFF),
            data=fields.blob(maximum=MAX_TRANSACTION_DATA_BYTES),
            signature=fields.exactly(ED25519_SIGNATURE_BYTES),
        )

    def _content(self) -> list[Any]:
        return [
            self.sender_key,
            self.recipient,
            self.value,
            self.fee,
            self.validity_start,
            self.network,
            self.data,
        ]
