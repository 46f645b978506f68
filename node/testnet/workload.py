"""Which transactions the workload sends, and when. The same seed gives the same transactions."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b
from typing import Final

from node.accounts.transaction import Transaction
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import address_of, hash32
from protocols.types import ADDRESS_BYTES, Address, Height

BALANCE: Final = 10**12
"""Coins of each workload account at genesis: years of the fees below."""

FEE: Final = 10
MAX_BURST: Final = 1000
"""Transactions that are sent at once after a pause; what is beyond is not made up for."""


class Workload:
    """Transfers of a fixed set of funded accounts, one account after the other.

    They go to each other, or to holders, if there are any: one holder after the other.
    """

    def __init__(self, *, seed: int, network: int, accounts: int, holders: int = 0) -> None:
        """Prepare it.

        Args:
            seed: Of the network.
            network: Its id.
            accounts: That send, at least 2.
            holders: More accounts that only receive.
        """
        assert accounts >= 2
        self._keys = workload_keys(seed, accounts)
        self._addresses = [address_of(key.public_key) for key in self._keys]
        self._holder_at = holder_addresses(seed)
        self._holders = holders
        self._network = network
        self._sent = 0

    def take(self, count: int, height: Height) -> list[Transaction]:
        """Return the next `count` transactions, valid from `height` on."""
        return [self._next(height) for _ in range(count)]

    def _next(self, height: Height) -> Transaction:
        number = self._sent
        self._sent += 1
        sender = number % len(self._keys)
        transaction = Transaction(
            sender_key=self._keys[sender].public_key,
            recipient=self._recipient(number, sender),
            value=1 + number % 100,
            fee=FEE,
            validity_start=height,
            network=self._network,
            # The counter keeps two transfers of one pair and height apart.
            data=number.to_bytes(8, "big"),
        )
        return replace(transaction, signature=self._keys[sender].sign(transaction.hash))

    def _recipient(self, number: int, sender: int) -> Address:
        if self._holders:
            return self._holder_at(number % self._holders)
        count = len(self._keys)
        # Each round goes one account further, and never to the sender itself.
        return self._addresses[(sender + 1 + number // count % (count - 1)) % count]


class Pacer:
    """Turns a rate into counts. Time is an argument."""

    def __init__(self, rate: float, now: float) -> None:
        self._rate = rate
        self._start = now
        self._taken = 0

    def due(self, now: float) -> int:
        """Return how many have become due since the last call, at most a burst.

        Args:
            now: Monotonic clock, seconds.
        """
        total = int((now - self._start) * self._rate)
        count = total - self._taken
        self._taken = total
        return min(count, MAX_BURST)


def workload_keys(seed: int, accounts: int) -> list[SigningKey]:
    """Return the keys of the funded accounts of a network."""
    return [SigningKey(hash32(f"headway/{seed}/load/{i}".encode())) for i in range(accounts)]


def holder_addresses(seed: int) -> Callable[[int], Address]:
    """Return what gives the address of each holder by its number, from 0.

    It is a hash that is the address of no key.
    """
    begun = blake2b(f"headway/{seed}/holder/".encode(), digest_size=ADDRESS_BYTES)

    def address_at(index: int) -> Address:
        hashing = begun.copy()
        hashing.update(index.to_bytes(8, "big"))
        return Address(hashing.digest())

    return address_at


def workload_balances(seed: int, accounts: int) -> dict[Address, int]:
    """Return what the genesis must give to the funded accounts."""
    return {address_of(key.public_key): BALANCE for key in workload_keys(seed, accounts)}
