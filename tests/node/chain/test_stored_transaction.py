"""Finding transactions of the main chain in the store, final ones and those of the batch."""

from itertools import count

import pytest

from node.accounts.transaction import Transaction
from node.blocks.body import MicroBody
from node.chain.chain import Chain
from node.chain.stored_transaction import StoredTransaction, stored_transaction
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, open_chain
from tests.node.serve.chains import epochs


def found(chain: Chain, wanted: Hash32) -> StoredTransaction | None:
    with chain.snapshot() as snapshot:
        return stored_transaction(snapshot.reader, wanted)


def all_of(builder: ChainBuilder) -> dict[Hash32, StoredTransaction]:
    return {
        each.hash: StoredTransaction(each, block.number)
        for block in builder.blocks
        if isinstance(block.body, MicroBody)
        for each in block.body.transactions
    }


def test_every_transaction_of_the_main_chain() -> None:
    """The newest ones are above the macro head at 28."""
    expected = all_of(epochs().builder)
    assert max(each.height for each in expected.values()) == 29
    assert {wanted: found(epochs().chain, wanted) for wanted in expected} == expected


def test_unknown_ones() -> None:
    known = next(iter(all_of(epochs().builder)))
    assert found(epochs().chain, Hash32(digest("unknown"))) is None
    # The index of final ones knows half of a hash.
    assert found(epochs().chain, Hash32(known[:16] + bytes(16))) is None
    assert found(epochs().light(), known) is None


def test_those_of_a_fork_are_not_on_the_main_chain() -> None:
    builder = ChainBuilder()
    numbers = count(1)

    def some() -> list[Transaction]:
        return [transaction(nonce=next(numbers))]

    builder.extend(5, [some(), some()])
    fork = builder.fork_from(builder.blocks[-1].hash)
    builder.extend(1, [some()])
    fork.extend(2, [some(), some()])
    chain = open_chain(builder.genesis)
    builder.push_all(chain)
    left = next(wanted for wanted, each in all_of(builder).items() if each.height == 6)
    assert found(chain, left) is not None
    chain.push(fork.blocks[5:])
    assert chain.head.hash == fork.head.hash
    assert found(chain, left) is None
    expected = all_of(fork)
    assert {wanted: found(chain, wanted) for wanted in expected} == expected


@pytest.mark.parametrize("height", [1, 29])
def test_without_its_body_it_is_not_found(height: int) -> None:
    known, store = epochs(), MemoryStore()
    chain = open_chain(known.builder.genesis, store=store)
    known.builder.push_all(chain)
    wanted = next(h for h, each in all_of(known.builder).items() if each.height == height)
    assert found(chain, wanted) is not None
    with store.write() as writer:
        writer.delete(Table.BODIES, known.at(height))
    assert found(chain, wanted) is None
