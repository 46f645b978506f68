"""Executing blocks: which accounts change, and the roots that follow.

Everything is computed over a reader and written later or never. Signatures, validity windows and
duplicates are not looked at here: the block's verification does that first.

Coins never exceed `MAX_COINS` in one account. A transaction that would break this is invalid;
a fee or reward that would is cut, because a network must not halt over its own rewards.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from node.accounts.account import REWARD_POT, decode_balance, encode_balance
from node.accounts.diff import Change, Diff
from node.accounts.transaction import MAX_COINS, Transaction
from node.accounts.trie import TrieUpdate, plan, update
from node.blocks.body import MacroBody, MicroBody, Reward
from node.blocks.validators import SignerSet, Validators
from node.chain.results import BlockError
from node.policy import Policy
from node.storage.store import Reader, Table, Writer
from protocols.types import Address, Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChange:
    """What a block does to the state. Write it only over the state that it was computed from."""

    diff: Diff
    diff_root: Hash32
    trie: TrieUpdate

    @property
    def state_root(self) -> Hash32:
        """Root of the accounts trie after the block."""
        return self.trie.root

    def write(self, writer: Writer) -> None:
        """Carry it out."""
        self.trie.write(writer)


class Ledger:
    """Balances as they stand in the middle of a block. A proposer fills its block with this."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._stored: dict[Address, bytes | None] = {}
        self._balances: dict[Address, int] = {}

    def balance(self, address: Address) -> int:
        """Return the coins of an account, 0 if there is none."""
        balance = self._balances.get(address)
        if balance is None:
            stored = self._reader.get(Table.ACCOUNTS, address)
            balance = 0 if stored is None else decode_balance(stored)
            self._stored[address] = stored
            self._balances[address] = balance
        return balance

    def pay(self, transaction: Transaction) -> BlockError | None:
        """Apply one transaction, or change nothing and say why it cannot be applied."""
        sender, recipient = transaction.sender, transaction.recipient
        left = self.balance(sender) - transaction.value - transaction.fee
        if left < 0:
            return BlockError.INSUFFICIENT_FUNDS
        received = transaction.value + (left if recipient == sender else self.balance(recipient))
        if received > MAX_COINS:
            return BlockError.INVALID_TRANSACTION
        self._balances[sender] = left
        self._balances[recipient] = received
        self._credit(REWARD_POT, transaction.fee)
        return None

    def pay_out(self, rewards: Sequence[Reward], policy: Policy) -> None:
        """Apply the rewards of a macro block, which must be no more than what is there."""
        left = _payable(self.balance(REWARD_POT), policy) - sum(reward.value for reward in rewards)
        assert left >= 0
        self._balances[REWARD_POT] = left
        for reward in rewards:
            self._credit(reward.recipient, reward.value)

    def diff(self) -> Diff:
        """Return all changes so far."""
        entries = []
        for address, balance in sorted(self._balances.items()):
            old = self._stored[address]
            new = encode_balance(balance) if balance else None
            if old != new:
                entries.append(Change(address, old, new))
        return Diff(tuple(entries))

    def _credit(self, address: Address, value: int) -> None:
        self._balances[address] = min(self.balance(address) + value, MAX_COINS)


def execute_micro(reader: Reader, body: MicroBody) -> StateChange | BlockError:
    """Execute the transactions of a micro block in their order."""
    ledger = Ledger(reader)
    for transaction in body.transactions:
        error = ledger.pay(transaction)
        if error is not None:
            return error
    return state_change(reader, ledger.diff())


def execute_macro(
    reader: Reader,
    body: MacroBody,
    *,
    policy: Policy,
    validators: Validators,
    punished: SignerSet,
) -> StateChange | BlockError:
    """Execute the rewards of a macro block, which must be exactly those that are due.

    Args:
        reader: The state before the block.
        body: Its rewards.
        policy: For the new coins of a batch.
        validators: Of the epoch that the block belongs to.
        punished: Slots that are not rewarded.
    """
    ledger = Ledger(reader)
    pot = ledger.balance(REWARD_POT)
    if body.rewards != expected_rewards(pot, policy, validators, punished):
        return BlockError.WRONG_REWARDS
    ledger.pay_out(body.rewards, policy)
    return state_change(reader, ledger.diff())


def expected_rewards(
    pot: int, policy: Policy, validators: Validators, punished: SignerSet
) -> tuple[Reward, ...]:
    """Split the pot and a batch's new coins over the slots that are not punished.

    Every slot gets the same and the remainder stays in the pot. An address is paid once, at the
    position of its first validator. Shares of 0 are left out.
    """
    slots_by_address: dict[Address, int] = {}
    for index, member in enumerate(validators.members):
        rewarded = sum(slot not in punished for slot in validators.band(index))
        slots_by_address[member.address] = slots_by_address.get(member.address, 0) + rewarded
    slots = sum(slots_by_address.values())
    share = _payable(pot, policy) // slots if slots else 0
    return tuple(
        Reward(address, share * rewarded)
        for address, rewarded in slots_by_address.items()
        if share * rewarded
    )


def _payable(pot: int, policy: Policy) -> int:
    """Return the coins that a macro block may pay; an amount above the limit has no encoding."""
    return min(pot + policy.batch_reward, MAX_COINS)


def pot_balance(reader: Reader) -> int:
    """Return the coins that wait for the next macro block."""
    return Ledger(reader).balance(REWARD_POT)


def state_change(reader: Reader, diff: Diff) -> StateChange:
    """Find the roots that a diff leads to."""
    return StateChange(diff=diff, diff_root=diff.root, trie=plan(reader, diff.changes))


def revert(writer: Writer, diff: Diff) -> Hash32:
    """Undo the newest block's diff and return the root before it."""
    return update(writer, diff.inverse().changes)
