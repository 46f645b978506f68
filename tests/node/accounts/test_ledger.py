from collections.abc import Mapping

import pytest

from node.accounts.account import REWARD_POT, Account
from node.accounts.diff import EMPTY_DIFF, Change, Diff
from node.accounts.ledger import (
    Ledger,
    StateChange,
    execute_macro,
    execute_micro,
    expected_rewards,
    pot_balance,
    revert,
)
from node.accounts.transaction import MAX_COINS, Transaction
from node.accounts.trie import root
from node.blocks.body import MacroBody, MicroBody, Reward
from node.blocks.validators import SignerSet, Validator, Validators
from node.chain.results import BlockError
from node.crypto.hashes import address_of
from node.policy import Policy
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from protocols.types import Address
from tests.build.accounts import fill
from tests.build.plain_trie import root_from_records

KEYS = [bytes([n]) * 32 for n in range(3)]
ALICE, BOB, CAROL = (address_of(key) for key in KEYS)
POLICY = Policy(batch_reward=1000)
NOBODY = SignerSet(0)


def band(*shares: tuple[Address, int]) -> Validators:
    return Validators(
        tuple(
            Validator(address=address, signing_key=bytes(32), voting_key=bytes(48), slots=slots)
            for address, slots in shares
        )
    )


ALICE_ALONE = band((ALICE, 4))


def state(balances: Mapping[Address, int]) -> Store:
    store = MemoryStore()
    with store.write() as writer:
        fill(writer, {who: Account(coins).encode() for who, coins in balances.items()})
    return store


def pay(sender: int, recipient: Address, value: int, fee: int = 0) -> Transaction:
    return Transaction(
        sender_key=KEYS[sender],
        recipient=recipient,
        value=value,
        fee=fee,
        validity_start=0,
        network=1,
    )


def micro(store: Store, *transactions: Transaction) -> StateChange | BlockError:
    with store.read() as reader:
        return execute_micro(reader, MicroBody((), transactions))


def macro(
    store: Store,
    *rewards: Reward,
    validators: Validators = ALICE_ALONE,
    punished: SignerSet = NOBODY,
) -> StateChange | BlockError:
    with store.read() as reader:
        return execute_macro(
            reader, MacroBody(rewards), policy=POLICY, validators=validators, punished=punished
        )


def after(store: Store, change: StateChange | BlockError) -> dict[Address, int]:
    """Write a change and return all balances, having checked its roots."""
    assert isinstance(change, StateChange)
    with store.write() as writer:
        change.write(writer)
        assert root(writer) == change.state_root
        items = [(Address(key), value) for key, value in writer.scan(Table.ACCOUNTS)]
    assert root_from_records(items) == change.state_root
    assert change.diff_root == change.diff.root
    return {address: Account.decode(value).balance for address, value in items}


def test_a_payment_moves_value_and_leaves_the_fee_in_the_pot() -> None:
    store = state({ALICE: 100, BOB: 5})
    change = micro(store, pay(0, BOB, 30, fee=2))
    assert after(store, change) == {ALICE: 68, BOB: 35, REWARD_POT: 2}


def test_the_diff_lists_each_account_once_in_order() -> None:
    store = state({ALICE: 100, BOB: 5})
    change = micro(store, pay(0, BOB, 30, fee=2), pay(1, CAROL, 35, fee=0), pay(0, CAROL, 1))
    assert isinstance(change, StateChange)
    entries = [
        Change(REWARD_POT, None, Account(2).encode()),
        Change(ALICE, Account(100).encode(), Account(67).encode()),
        Change(BOB, Account(5).encode(), None),
        Change(CAROL, None, Account(36).encode()),
    ]
    assert change.diff == Diff(tuple(sorted(entries)))


def test_an_account_without_coins_is_no_account() -> None:
    store = state({ALICE: 100})
    assert after(store, micro(store, pay(0, BOB, 99, fee=1))) == {BOB: 99, REWARD_POT: 1}


def test_transactions_see_those_before_them() -> None:
    store = state({ALICE: 100})
    change = micro(store, pay(0, BOB, 100), pay(1, CAROL, 100), pay(2, ALICE, 60))
    assert after(store, change) == {ALICE: 60, CAROL: 40}


@pytest.mark.parametrize(("value", "fee"), [(101, 0), (100, 1), (0, 101), (MAX_COINS, MAX_COINS)])
def test_nobody_pays_more_than_is_there(value: int, fee: int) -> None:
    assert micro(state({ALICE: 100}), pay(0, BOB, value, fee)) is BlockError.INSUFFICIENT_FUNDS


def test_one_bad_transaction_fails_the_block() -> None:
    store = state({ALICE: 100})
    assert micro(store, pay(0, BOB, 60), pay(0, BOB, 60)) is BlockError.INSUFFICIENT_FUNDS
    assert micro(store, pay(1, ALICE, 60), pay(0, BOB, 60)) is BlockError.INSUFFICIENT_FUNDS


def test_a_payment_to_oneself_costs_the_fee() -> None:
    store = state({ALICE: 100})
    assert after(store, micro(store, pay(0, ALICE, 99, fee=1))) == {ALICE: 99, REWARD_POT: 1}
    assert micro(store, pay(0, ALICE, 99, fee=1)) is BlockError.INSUFFICIENT_FUNDS


def test_a_payment_to_the_pot_is_kept_there() -> None:
    store = state({ALICE: 100, REWARD_POT: 1})
    assert after(store, micro(store, pay(0, REWARD_POT, 10, fee=2))) == {ALICE: 88, REWARD_POT: 13}


def test_no_account_exceeds_the_limit() -> None:
    store = state({ALICE: 100, BOB: MAX_COINS - 10})
    assert micro(store, pay(0, BOB, 11)) is BlockError.INVALID_TRANSACTION
    assert after(store, micro(store, pay(0, BOB, 10))) == {ALICE: 90, BOB: MAX_COINS}


def test_a_full_pot_cuts_the_fee() -> None:
    store = state({ALICE: 100, REWARD_POT: MAX_COINS - 1})
    expected = {ALICE: 80, BOB: 10, REWARD_POT: MAX_COINS}
    assert after(store, micro(store, pay(0, BOB, 10, fee=10))) == expected


def test_an_empty_block_changes_nothing() -> None:
    store = state({ALICE: 100})
    change = micro(store)
    assert isinstance(change, StateChange)
    assert change.diff == EMPTY_DIFF
    assert after(store, change) == {ALICE: 100}


def test_a_block_that_ends_where_it_began_has_an_empty_diff() -> None:
    store = state({ALICE: 100, BOB: 100})
    change = micro(store, pay(0, BOB, 7), pay(1, ALICE, 7))
    assert isinstance(change, StateChange)
    assert change.diff == EMPTY_DIFF


def test_executing_writes_nothing() -> None:
    store = state({ALICE: 100})
    micro(store, pay(0, BOB, 30, fee=2))
    with store.read() as reader:
        assert list(reader.scan(Table.ACCOUNTS)) == [(ALICE, Account(100).encode())]


def test_reverting_restores_accounts_and_root() -> None:
    balances = {ALICE: 100, BOB: 5}
    store = state(balances)
    with store.read() as reader:
        before = root(reader)
    change = micro(store, pay(0, BOB, 30, fee=2), pay(1, CAROL, 35))
    assert isinstance(change, StateChange)
    after(store, change)
    with store.write() as writer:
        assert revert(writer, change.diff) == before
        assert dict(writer.scan(Table.ACCOUNTS)) == {
            who: Account(coins).encode() for who, coins in balances.items()
        }


def test_a_ledger_goes_on_after_a_transaction_that_it_refused() -> None:
    with state({ALICE: 100}).read() as reader:
        ledger = Ledger(reader)
        assert ledger.pay(pay(0, BOB, 101)) is BlockError.INSUFFICIENT_FUNDS
        assert ledger.diff() == EMPTY_DIFF
        assert ledger.pay(pay(0, BOB, 100)) is None
        assert [ledger.balance(who) for who in (ALICE, BOB, CAROL)] == [0, 100, 0]


REWARDS = {
    "one validator": (0, band((ALICE, 4)), NOBODY, {ALICE: 1000}),
    "by slots": (0, band((ALICE, 1), (BOB, 3)), NOBODY, {ALICE: 250, BOB: 750}),
    "with the pot": (600, band((ALICE, 1), (BOB, 3)), NOBODY, {ALICE: 400, BOB: 1200}),
    "remainder stays": (1, band((ALICE, 1), (BOB, 3)), NOBODY, {ALICE: 250, BOB: 750}),
    "some slots punished": (
        0,
        band((ALICE, 2), (BOB, 2)),
        SignerSet.of([1]),
        {ALICE: 333, BOB: 666},
    ),
    "a validator punished": (0, band((ALICE, 1), (BOB, 3)), SignerSet.of([0]), {BOB: 999}),
    "all punished": (0, band((ALICE, 1), (BOB, 1)), SignerSet.of([0, 1]), {}),
    "one address twice": (
        0,
        band((BOB, 1), (ALICE, 2), (BOB, 1)),
        NOBODY,
        {BOB: 500, ALICE: 500},
    ),
    "little over a coin each": (
        0,
        band((ALICE, 400), (BOB, 401)),
        NOBODY,
        {ALICE: 400, BOB: 401},
    ),
}


@pytest.mark.parametrize("name", REWARDS)
def test_rewards_are_split_by_slots(name: str) -> None:
    pot, members, punished, expected = REWARDS[name]
    rewards = tuple(Reward(address, value) for address, value in expected.items())
    assert expected_rewards(pot, POLICY, members, punished) == rewards


def test_a_share_below_one_coin_is_not_paid() -> None:
    poor = Policy(batch_reward=3)
    assert expected_rewards(0, poor, band((ALICE, 4)), NOBODY) == ()
    assert expected_rewards(1, poor, band((ALICE, 4)), NOBODY) == (Reward(ALICE, 4),)


def test_a_macro_block_pays_the_pot_and_new_coins() -> None:
    store = state({ALICE: 1, REWARD_POT: 21})
    members = band((ALICE, 2), (BOB, 1))
    change = macro(store, Reward(ALICE, 680), Reward(BOB, 340), validators=members)
    assert after(store, change) == {ALICE: 681, BOB: 340, REWARD_POT: 1}
    with store.read() as reader:
        assert pot_balance(reader) == 1


def test_when_all_are_punished_everything_stays_in_the_pot() -> None:
    store = state({REWARD_POT: 21})
    change = macro(store, punished=SignerSet.of(range(4)))
    assert after(store, change) == {REWARD_POT: 1021}


def test_a_pot_without_remainder_is_no_account() -> None:
    store = state({REWARD_POT: 20})
    assert after(store, macro(store, Reward(ALICE, 1020))) == {ALICE: 1020}


@pytest.mark.parametrize(
    "rewards",
    [
        (),
        (Reward(ALICE, 999),),
        (Reward(ALICE, 1001),),
        (Reward(BOB, 1000),),
        (Reward(ALICE, 500), Reward(ALICE, 500)),
        (Reward(ALICE, 1000), Reward(BOB, 0)),
    ],
    ids=["none", "too little", "too much", "to another", "in parts", "one more"],
)
def test_other_rewards_are_refused(rewards: tuple[Reward, ...]) -> None:
    assert macro(state({ALICE: 1}), *rewards) is BlockError.WRONG_REWARDS


def test_the_order_of_rewards_is_that_of_the_band() -> None:
    members = band((BOB, 2), (ALICE, 2))
    good = (Reward(BOB, 500), Reward(ALICE, 500))
    assert isinstance(macro(state({}), *good, validators=members), StateChange)
    assert macro(state({}), *good[::-1], validators=members) is BlockError.WRONG_REWARDS


def test_a_network_does_not_halt_over_its_own_rewards() -> None:
    store = state({ALICE: MAX_COINS - 5, REWARD_POT: MAX_COINS - 10})
    due = expected_rewards(MAX_COINS - 10, POLICY, band((ALICE, 1), (BOB, 1)), NOBODY)
    assert due == (Reward(ALICE, MAX_COINS // 2), Reward(BOB, MAX_COINS // 2))
    change = macro(store, *due, validators=band((ALICE, 1), (BOB, 1)))
    assert after(store, change) == {ALICE: MAX_COINS, BOB: MAX_COINS // 2, REWARD_POT: 1}


def test_the_pot_itself_may_be_rewarded() -> None:
    store = state({REWARD_POT: 3})
    members = band((REWARD_POT, 4))
    change = macro(store, Reward(REWARD_POT, 1000), validators=members)
    assert after(store, change) == {REWARD_POT: 1003}
