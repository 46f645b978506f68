"""The accounts that a made-up network starts with."""

from pathlib import Path

import pytest

from node.chain.genesis_accounts import AccountsFile, encode_accounts
from node.errors import ConfigError
from node.testnet.population import (
    ACCOUNTS_NAME,
    HOLDER_BALANCE,
    MAX_ACCOUNTS,
    MAX_INLINE,
    MAX_SENDERS,
    Population,
)
from node.testnet.workload import BALANCE, holder_addresses, workload_balances
from protocols.types import Address


def balances(seed: int, senders: int, holders: int) -> dict[Address, int]:
    address_at = holder_addresses(seed)
    held = {address_at(index): HOLDER_BALANCE + index for index in range(holders)}
    return workload_balances(seed, senders) | held


def test_few_accounts_stay_in_the_genesis(tmp_path: Path) -> None:
    people = Population(seed=7, senders=3, holders=MAX_INLINE - 3)
    assert people.give_to(tmp_path) == balances(7, 3, MAX_INLINE - 3)
    assert list(tmp_path.iterdir()) == []


def test_many_go_to_a_file(tmp_path: Path) -> None:
    people = Population(seed=7, senders=3, holders=MAX_INLINE)
    seen: list[int] = []
    file = people.give_to(tmp_path, seen.append)

    assert isinstance(file, AccountsFile)
    assert file.path == tmp_path / ACCOUNTS_NAME
    assert file.read() == encode_accounts(balances(7, 3, MAX_INLINE))
    assert seen == sorted(seen)
    assert seen[-1] == people.accounts == MAX_INLINE + 3


def test_a_seed_gives_the_accounts() -> None:
    one, two, three = (Population(seed=seed, senders=2, holders=9).records() for seed in (1, 1, 2))
    assert one == two != three


@pytest.mark.parametrize(
    ("senders", "holders"),
    [(1, 5), (MAX_SENDERS + 1, 0), (2, -1), (2, MAX_ACCOUNTS - 1)],
)
def test_what_cannot_be_is_refused(senders: int, holders: int) -> None:
    with pytest.raises(ConfigError):
        Population(seed=1, senders=senders, holders=holders)


def test_there_are_enough_coins_for_the_most_that_are_allowed() -> None:
    held = sum(range(HOLDER_BALANCE, HOLDER_BALANCE + MAX_ACCOUNTS - MAX_SENDERS))
    assert held + MAX_SENDERS * BALANCE < 2**53
