"""The transaction workload."""

from node.crypto import ed25519
from node.testnet.workload import (
    BALANCE,
    MAX_BURST,
    Pacer,
    Workload,
    holder_addresses,
    workload_balances,
)


def test_the_same_seed_sends_the_same_transactions_all_different_and_signed() -> None:
    first = Workload(seed=7, network=1, accounts=3).take(20, 5)
    second = Workload(seed=7, network=1, accounts=3)

    assert first == [*second.take(8, 5), *second.take(12, 5)]
    assert len({transaction.hash for transaction in first}) == 20
    for transaction in first:
        assert ed25519.verify(transaction.sender_key, transaction.hash, transaction.signature)
        assert transaction.sender != transaction.recipient


def test_genesis_funds_every_sender() -> None:
    balances = workload_balances(7, 3)
    senders = {each.sender for each in Workload(seed=7, network=1, accounts=3).take(9, 0)}

    assert balances == dict.fromkeys(senders, BALANCE)


def test_holders_receive_in_turn() -> None:
    workload = Workload(seed=7, network=1, accounts=2, holders=3)
    address_at = holder_addresses(7)

    recipients = [each.recipient for each in workload.take(7, 0)]
    assert recipients == [address_at(index) for index in (0, 1, 2, 0, 1, 2, 0)]
    assert len({*recipients, *workload_balances(7, 2), holder_addresses(8)(0)}) == 6


def test_a_rate_becomes_counts_without_drift() -> None:
    pacer = Pacer(2.5, 100.0)
    assert [pacer.due(100.0 + step * 0.5) for step in range(9)] == [0, 1, 1, 1, 2, 1, 1, 1, 2]


def test_a_long_pause_is_not_made_up_for() -> None:
    pacer = Pacer(1000, 0.0)
    assert pacer.due(60.0) == MAX_BURST
    assert pacer.due(60.1) == 100
