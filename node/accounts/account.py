"""An account and its one encoding.

    +---------+--------------------------+
    | kind: 0 | balance: 8 bytes, big-e. |      9 bytes
    +---------+--------------------------+

An account without coins is not stored at all, so a state has one set of keys whatever happened
before, and a value is never empty.
"""

from dataclasses import dataclass
from typing import Final, Self

from node.accounts.transaction import MAX_COINS
from protocols.errors import WireError
from protocols.types import ADDRESS_BYTES, Address

REWARD_POT: Final = Address(bytes(ADDRESS_BYTES))
"""Fees collect here and macro blocks pay rewards from it. No key has this address."""

BASIC: Final = 0
"""The only kind so far. Other kinds carry more than a balance."""

ACCOUNT_BYTES: Final = 9


@dataclass(frozen=True, slots=True)
class Account:
    """What an address owns."""

    balance: int
    """Coins, 0..MAX_COINS. Only accounts with coins are stored."""

    def encode(self) -> bytes:
        """Return the stored form of an account that has coins."""
        return encode_balance(self.balance)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a stored account.

        Raises:
            WireError: Not exactly one account, or one without coins.
        """
        return cls(decode_balance(payload))


def encode_balance(balance: int) -> bytes:
    """Return the stored form of an account with some coins, 1..MAX_COINS."""
    assert 0 < balance <= MAX_COINS
    # The kind is the first byte.
    return balance.to_bytes(ACCOUNT_BYTES, "big")


def decode_balance(payload: bytes) -> int:
    """Return the coins of a stored account.

    Raises:
        WireError: Not exactly one account, or one without coins.
    """
    if len(payload) != ACCOUNT_BYTES or payload[0] != BASIC:
        raise WireError("Account", f"not {ACCOUNT_BYTES} bytes of kind {BASIC}")
    balance = int.from_bytes(payload, "big")
    if not 0 < balance <= MAX_COINS:
        raise WireError("Account", "balance out of range")
    return balance
