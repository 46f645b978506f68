"""Transactions between accounts.

Full blocks hold hundreds of them and every node reads them all, so they are read in one step each
and keep their encoding: their hash and the history need it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, Self, TypeGuard

from node.crypto.hashes import address_of, hash32
from protocols.codec import Value, pack, unpack
from protocols.errors import WireError
from protocols.limits import MAX_TRANSACTION_DATA_BYTES
from protocols.types import (
    ADDRESS_BYTES,
    ED25519_KEY_BYTES,
    ED25519_SIGNATURE_BYTES,
    Address,
    Hash32,
    Height,
)

MAX_COINS = 2**53 - 1
"""Largest amount: exact in every language's numbers."""

REMEMBERED_SENDERS: Final = 8192
"""Keys with their accounts, 250 bytes each. A transaction is read on its way to the mempool and in
its block, and who has sent one sends more; a key that was forgotten costs a microsecond."""

_FIELDS: Final = 8
_MAX_UINT32: Final = 0xFFFF_FFFF
_MAX_NETWORK: Final = 0xFF

_CONTENT_START: Final = b"\x97"
"""Array of seven: how the content begins, and differs in that from the whole."""
_SIGNATURE_FIELD_BYTES: Final = 2 + ED25519_SIGNATURE_BYTES
"""With kind and length."""


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
        return hash_of_encoded(self._encoded)

    @property
    def sender(self) -> Address:
        """Account that pays."""
        return _account_of(self.sender_key)

    @cached_property
    def _encoded(self) -> bytes:
        return pack(self.to_wire())

    def encode(self) -> bytes:
        """Return the wire form."""
        return self._encoded

    def to_wire(self) -> list[Any]:
        """Return the fields of the wire form, for nesting."""
        return [
            self.sender_key,
            self.recipient,
            self.value,
            self.fee,
            self.validity_start,
            self.network,
            self.data,
            self.signature,
        ]

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a transaction. Its signature is not checked here.

        Raises:
            WireError: The payload is not exactly one transaction.
        """
        return cls.from_wire(unpack("Transaction", payload), lambda _: payload)

    @classmethod
    def from_wire(cls, value: Any, encode: Callable[[Value], bytes] = pack) -> Self:
        """Read a transaction nested in another message.

        Args:
            value: As it was unpacked.
            encode: A packer of who reads many.

        Raises:
            WireError: The value is not a transaction.
        """
        if not _is_transaction(value):
            raise WireError("Transaction", f"not {_FIELDS} fields of the right kinds and sizes")
        encoded = encode(value)
        key, recipient, amount, fee, validity_start, network, data, signature = value
        read = cls.__new__(cls)
        # Past the constructor, which costs more than all of the checks.
        read.__dict__.update(
            sender_key=key,
            recipient=recipient,
            value=amount,
            fee=fee,
            validity_start=validity_start,
            network=network,
            data=data,
            signature=signature,
            _encoded=encoded,
            hash=hash_of_encoded(encoded),
        )
        return read


_account_of = lru_cache(maxsize=REMEMBERED_SENDERS)(address_of)


def hash_of_encoded(encoded: bytes) -> Hash32:
    """Return the hash of a transaction from its wire form, which was read before."""
    return hash32(_CONTENT_START + encoded[1:-_SIGNATURE_FIELD_BYTES])


def _is_transaction(value: Any) -> TypeGuard[list[Value]]:
    if type(value) is not list or len(value) != _FIELDS:
        return False
    key, recipient, amount, fee, validity_start, network, data, signature = value
    return (
        type(key) is type(recipient) is type(data) is type(signature) is bytes
        and type(amount) is type(fee) is type(validity_start) is type(network) is int
        and len(key) == ED25519_KEY_BYTES
        and len(recipient) == ADDRESS_BYTES
        and 0 <= amount <= MAX_COINS
        and 0 <= fee <= MAX_COINS
        and 0 <= validity_start <= _MAX_UINT32
        and 0 <= network <= _MAX_NETWORK
        and len(data) <= MAX_TRANSACTION_DATA_BYTES
        and len(signature) == ED25519_SIGNATURE_BYTES
    )
