"""What becomes of a transaction, from gossip or from a client of ours.

    [REJECT] It decodes, is of this network, moves an amount that exists, and its sender signed it.
    [IGNORE] Its window includes the next block, or will soon; it is in no block of the window.
    [IGNORE] Its sender can pay it beside everything of its own that waits.

Only for nodes that keep state.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from node.accounts.account import Account
from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.signatures import SIGNED
from node.chain.view import ChainView
from node.net.network import Verdict
from node.validator.mempool import AddOutcome, Mempool
from protocols.errors import WireError
from protocols.rate_limit import RateLimit
from protocols.types import Address, Hash32

TRANSACTIONS_PER_PEER: Final = RateLimit(capacity=5000)
"""A peer relays everybody's: a few times what blocks can hold in ten seconds."""


class StateView(ChainView, Protocol):
    """What the verdicts need of a chain with state."""

    def account(self, address: Address) -> Account:
        """Return an account as of the head."""
        ...

    def contains_transaction(self, transaction: Hash32) -> bool:
        """Tell whether the main chain holds a transaction, inside its validity window."""
        ...


class Refusal(StrEnum):
    """Why a transaction is not taken. The text is shown to whoever submitted it."""

    WRONG_NETWORK = "wrong_network"
    WRONG_AMOUNT = "wrong_amount"
    """Value and fee together are more than all coins."""
    WRONG_SIGNATURE = "wrong_signature"
    EXPIRED = "expired"
    TOO_EARLY = "too_early"
    """Its window starts further ahead than a window's length."""
    KNOWN = "known"
    """It waits, or is in a block."""
    INSUFFICIENT_FUNDS = "insufficient_funds"
    SENDER_FULL = "sender_full"
    FULL = "full"
    NO_STATE = "no_state"
    """The node does not have the state yet that it would be checked against."""

    @property
    def is_a_fault(self) -> bool:
        """Whether no honest peer relays such a transaction, whatever its head is."""
        return self in _FAULTS


_FAULTS: Final = {Refusal.WRONG_NETWORK, Refusal.WRONG_AMOUNT, Refusal.WRONG_SIGNATURE}

_REFUSALS: Final = {
    AddOutcome.KNOWN: Refusal.KNOWN,
    AddOutcome.EXPIRED: Refusal.EXPIRED,
    AddOutcome.SENDER_FULL: Refusal.SENDER_FULL,
    AddOutcome.FULL: Refusal.FULL,
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a transaction, and why it is not accepted."""

    verdict: Verdict
    refusal: Refusal | None = None
    """None with a reject: it does not decode."""


def judge_transaction(payload: bytes, chain: StateView, mempool: Mempool) -> Judgement:
    """Give a message of the TRANSACTIONS topic its verdict; an accepted one waits from now on."""
    try:
        transaction = Transaction.decode(payload)
    except WireError:
        return Judgement(Verdict.REJECT)
    refusal = admit(transaction, chain, mempool)
    if refusal is None:
        return Judgement(Verdict.ACCEPT)
    return Judgement(Verdict.REJECT if refusal.is_a_fault else Verdict.IGNORE, refusal)


def admit(transaction: Transaction, chain: StateView, mempool: Mempool) -> Refusal | None:
    """Let a transaction wait in the mempool, or say why not. Cheap checks come first."""
    refusal = _check_alone(transaction, chain, mempool)
    if refusal is not None:
        return refusal
    # Ed25519 over the hash: 50 microseconds, so still on the calling thread.
    if not SIGNED.is_signed(transaction):
        return Refusal.WRONG_SIGNATURE
    if chain.contains_transaction(transaction.hash):
        return Refusal.KNOWN
    needed = mempool.spent_by(transaction.sender) + transaction.value + transaction.fee
    if chain.account(transaction.sender).balance < needed:
        return Refusal.INSUFFICIENT_FUNDS
    outcome = mempool.add(transaction)
    if outcome is AddOutcome.ADDED:
        SIGNED.note(transaction)
    return _REFUSALS.get(outcome)


def _check_alone(transaction: Transaction, chain: StateView, mempool: Mempool) -> Refusal | None:
    next_height, window = chain.head.number + 1, chain.policy.validity_window_blocks
    if transaction.network != chain.network:
        return Refusal.WRONG_NETWORK
    if transaction.value + transaction.fee > MAX_COINS:
        return Refusal.WRONG_AMOUNT
    if transaction.hash in mempool:
        return Refusal.KNOWN
    if transaction.validity_start + window < next_height:
        return Refusal.EXPIRED
    if transaction.validity_start > next_height + window:
        return Refusal.TOO_EARLY
    return None
