"""Signatures of transactions, checked once where they come by gossip first and in a block later.

Whether a signature is good follows from it and from the hash alone, which covers the key, so one
memory serves every chain of a process. Only what the mempool takes comes in: neither a block of
unknown transactions nor junk that costs its sender nothing may push out those that wait.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock
from typing import Final

from node.accounts.transaction import Transaction
from node.crypto import ed25519
from protocols.types import Hash32

MAX_KNOWN: Final = 32_768
"""All that wait in a mempool, 20,000, and those of the last blocks. At 200 bytes each."""

SHARED_FROM: Final = 64
"""Signatures for which a second thread is worth its 0.2 ms: these take 4."""


class SignedTransactions:
    """Transactions whose signatures were found good, the newest. Usable from any thread."""

    def __init__(
        self,
        capacity: int = MAX_KNOWN,
        verify: Callable[[bytes, bytes, bytes], bool] = ed25519.verify,
    ) -> None:
        self._capacity = capacity
        self._verify = verify
        self._signatures: dict[Hash32, bytes] = {}
        self._lock = Lock()

    def __contains__(self, transaction: Transaction) -> bool:
        """Tell whether this signature of this transaction was found good and is still known."""
        return self._signatures.get(transaction.hash) == transaction.signature

    def is_signed(self, transaction: Transaction) -> bool:
        """Tell whether a transaction is signed. Slow unless it is known: 50 microseconds."""
        return transaction in self or self._verify(
            transaction.sender_key, transaction.hash, transaction.signature
        )

    def are_signed(self, transactions: Sequence[Transaction]) -> bool:
        """Tell whether all of a block's transactions are signed: on two processors if many.

        Checking a signature gives the interpreter away. A node shares its machine and takes no more
        than two, however many there are.
        """
        unknown = [each for each in transactions if each not in self]
        is_over = Event()
        if len(unknown) < SHARED_FROM:
            return self._are_good(unknown, is_over)
        half = len(unknown) // 2
        with ThreadPoolExecutor(1, thread_name_prefix="signatures") as pool:
            others = pool.submit(self._are_good, unknown[half:], is_over)
            return self._are_good(unknown[:half], is_over) and others.result()

    def _are_good(self, transactions: Sequence[Transaction], is_over: Event) -> bool:
        for each in transactions:
            # The other half has a bad one.
            if is_over.is_set():
                return False
            if not self._verify(each.sender_key, each.hash, each.signature):
                is_over.set()
                return False
        return True

    def note(self, transaction: Transaction) -> None:
        """Know a transaction whose signature was found good."""
        with self._lock:
            self._signatures[transaction.hash] = transaction.signature
            if len(self._signatures) > self._capacity:
                del self._signatures[next(iter(self._signatures))]


SIGNED: Final = SignedTransactions()
