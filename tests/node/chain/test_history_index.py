"""Where each transaction of history stands."""

import pytest

from node.blocks.body import MicroBody
from node.chain.history_index import TransactionPlace, find_transaction, load_transaction
from node.chain.retention import Retention
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import contents, open_chain
from tests.node.serve.chains import epochs


def places() -> dict[Hash32, TransactionPlace]:
    """Return where the final transactions stand, counted from the blocks themselves."""
    found, counts = {}, dict.fromkeys(range(5), 0)
    for block in epochs().builder.blocks[:28]:
        epoch = epochs().chain.policy.epoch_at(block.number)
        if isinstance(block.body, MicroBody):
            for position, each in enumerate(block.body.transactions):
                found[each.hash] = TransactionPlace(block.number, position, counts[epoch])
                counts[epoch] += 1
    return found


def test_final_transactions_are_found_by_their_hashes() -> None:
    known, store = epochs(), MemoryStore()
    known.builder.push_all(open_chain(known.builder.genesis, store=store))
    expected = places()
    encoded = [each for epoch in (1, 2, 3) for each in known.transactions(epoch)]

    with store.read() as reader:
        assert {each: find_transaction(reader, each) for each in expected} == expected
        assert [load_transaction(reader, each) for each in expected.values()] == encoded[:26]
        assert find_transaction(reader, digest("unknown")) is None
    assert len(contents(store)[Table.HISTORY_INDEX]) == len(expected) == 26


def test_a_transaction_whose_body_is_gone_is_not_loaded() -> None:
    known, store = epochs(), MemoryStore()
    known.builder.push_all(open_chain(known.builder.genesis, store=store))
    with store.write() as writer:
        writer.delete(Table.BODIES, known.at(1))

        assert load_transaction(writer, TransactionPlace(1, 0, 0)) is None
        assert load_transaction(writer, TransactionPlace(2, 0, 0)) is None
        assert load_transaction(writer, TransactionPlace(99, 0, 0)) is None


@pytest.mark.parametrize(
    ("retention", "keeps_state"), [(Retention.WINDOW, True), (Retention.BATCH, False)]
)
def test_only_who_keeps_all_of_history_has_the_index(
    retention: Retention, *, keeps_state: bool
) -> None:
    known, store = epochs(), MemoryStore()
    chain = open_chain(
        known.builder.genesis, store=store, retention=retention, keeps_state=keeps_state
    )
    known.builder.push_all(chain)

    assert chain.head.number == 30
    assert not chain.keeps_history
    assert contents(store)[Table.HISTORY_INDEX] == ()
