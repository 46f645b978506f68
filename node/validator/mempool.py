"""Transactions that wait for a block: bounded, best fee per byte first.

Pure: knows neither chain nor clock. Whoever adds has checked signature, network and funds.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple, TypeVar

from node.accounts.transaction import Transaction
from protocols.types import Address, Hash32, Height


@dataclass(frozen=True, slots=True, kw_only=True)
class MempoolLimits:
    """Bounds of the pool."""

    max_transactions: int = 20_000
    """More than a minute of full blocks at the default body size."""
    max_bytes: int = 5_000_000
    """Encoded; some 25,000 small ones. Objects in memory take about eight times as much."""
    max_per_sender: int = 500
    """One account cannot crowd out the others."""


class AddOutcome(StrEnum):
    """What became of a transaction. The text is shown to whoever submitted it."""

    ADDED = "added"
    KNOWN = "known"
    """It waits already."""
    EXPIRED = "expired"
    """Its validity window has passed."""
    SENDER_FULL = "sender_full"
    """Too many of its sender's wait already."""
    FULL = "full"
    """The pool is full of transactions that pay at least as much."""


class _Entry(NamedTuple):
    """Sorts best first: by fee per byte, then by age, which no two share."""

    cost: float
    """Minus the fee per byte."""
    arrival: int
    transaction: Transaction
    size: int


class Mempool:
    """Waiting transactions by hash, and their order."""

    def __init__(self, *, validity_window_blocks: int, limits: MempoolLimits | None = None) -> None:
        self._window: Final = validity_window_blocks
        self._limits = limits or MempoolLimits()
        self._by_hash: dict[Hash32, _Entry] = {}
        self._ordered: list[_Entry] = []
        self._by_sender: dict[Address, dict[Hash32, Transaction]] = {}
        self._by_last_height: dict[Height, dict[Hash32, None]] = {}
        self._bytes = 0
        self._arrivals = 0
        self._next_height: Height = 1

    def __len__(self) -> int:
        """Count the waiting transactions."""
        return len(self._by_hash)

    def __contains__(self, transaction: Hash32) -> bool:
        """Tell whether a transaction waits, by its hash."""
        return transaction in self._by_hash

    @property
    def size_bytes(self) -> int:
        """Encoded size of everything that waits."""
        return self._bytes

    def get(self, transaction: Hash32) -> Transaction | None:
        """Return a waiting transaction by its hash."""
        entry = self._by_hash.get(transaction)
        return None if entry is None else entry.transaction

    def spent_by(self, sender: Address) -> int:
        """Return what the waiting transactions of a sender take from its account."""
        return sum(t.value + t.fee for t in self._by_sender.get(sender, {}).values())

    def add(self, transaction: Transaction) -> AddOutcome:
        """Let a transaction wait; worse-paying ones make room for it."""
        if transaction.hash in self._by_hash:
            return AddOutcome.KNOWN
        if self._last_height(transaction) < self._next_height:
            return AddOutcome.EXPIRED
        if len(self._by_sender.get(transaction.sender, ())) >= self._limits.max_per_sender:
            return AddOutcome.SENDER_FULL
        size = len(transaction.encode())
        entry = _Entry(-transaction.fee / size, self._arrivals, transaction, size)
        if not self._make_room(entry):
            return AddOutcome.FULL
        self._arrivals += 1
        self._insert(entry)
        return AddOutcome.ADDED

    def remove(self, transactions: Iterable[Hash32]) -> None:
        """Forget transactions: they are in a block, or cannot be."""
        for transaction in transactions:
            entry = self._by_hash.get(transaction)
            if entry is not None:
                self._delete(entry)

    def on_head(self, number: Height) -> None:
        """Forget what can no longer stand in the block after the head."""
        self._next_height = number + 1
        for height in sorted(h for h in self._by_last_height if h <= number):
            self.remove(list(self._by_last_height[height]))

    def select(self, *, max_bytes: int) -> tuple[Transaction, ...]:
        """Return the best transactions for the next block, as many as fit."""
        selected: list[Transaction] = []
        for entry in self._ordered:
            if max_bytes < entry.size:
                break
            if entry.transaction.validity_start <= self._next_height:
                selected.append(entry.transaction)
                max_bytes -= entry.size
        return tuple(selected)

    def _make_room(self, entry: _Entry) -> bool:
        """Evict the worst until the entry fits; False, and nothing evicted, if it is the worst."""
        limits, count, size = self._limits, len(self._ordered) + 1, self._bytes + entry.size
        evicted = 0
        while count - evicted > limits.max_transactions or size > limits.max_bytes:
            if evicted == len(self._ordered):
                return False
            worst = self._ordered[-1 - evicted]
            if worst < entry:
                return False
            size -= worst.size
            evicted += 1
        for worst in self._ordered[len(self._ordered) - evicted :]:
            self._delete(worst)
        return True

    def _insert(self, entry: _Entry) -> None:
        transaction = entry.transaction
        insort(self._ordered, entry)
        self._by_hash[transaction.hash] = entry
        self._by_sender.setdefault(transaction.sender, {})[transaction.hash] = transaction
        last = self._last_height(transaction)
        self._by_last_height.setdefault(last, {})[transaction.hash] = None
        self._bytes += entry.size

    def _delete(self, entry: _Entry) -> None:
        transaction = entry.transaction
        del self._ordered[bisect_left(self._ordered, entry)]
        del self._by_hash[transaction.hash]
        _discard(self._by_sender, transaction.sender, transaction.hash)
        _discard(self._by_last_height, self._last_height(transaction), transaction.hash)
        self._bytes -= entry.size

    def _last_height(self, transaction: Transaction) -> Height:
        return transaction.validity_start + self._window


Key = TypeVar("Key")
Value = TypeVar("Value")


def _discard(index: dict[Key, dict[Hash32, Value]], key: Key, transaction: Hash32) -> None:
    """Take a transaction out of an index, and the key with its last one."""
    del index[key][transaction]
    if not index[key]:
        del index[key]
