"""Behaviour 22: a block with one wrong field is refused by name, and nothing at all changes."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MacroBody, MicroBody, Reward
from node.blocks.justification import ProducerSignature
from node.blocks.validators import SignerSet
from node.chain.results import BlockError, InvalidBlock, Pushed
from node.storage.memory import MemoryStore
from protocols.types import Hash32
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain, push_one
from tests.build.keys import SMALL_POLICY, account_keys, address, genesis

Broken = Callable[[ChainBuilder], Block]


def micro(**fields: Any) -> Broken:
    return lambda builder: builder.changed(builder.make_micro([transaction(nonce=9)]), **fields)


def macro(**fields: Any) -> Broken:
    return lambda builder: builder.changed(builder.make_macro(), **fields)


def early(builder: ChainBuilder) -> Block:
    return builder.changed(builder.make_micro(), timestamp=builder.head.timestamp - 1)


def wrong_number(builder: ChainBuilder) -> Block:
    return builder.changed(builder.make_micro(), number=builder.next_height + 1)


def unsigned(builder: ChainBuilder) -> Block:
    return replace(builder.make_micro(), justification=ProducerSignature(bytes(64)))


def early_votes(builder: ChainBuilder) -> Block:
    return builder.make_macro(round_=2, voted_round=1)


def with_transactions(*transactions: Transaction) -> Broken:
    """Return a block whose roots would be those of an empty one: the transactions come first."""
    body = MicroBody(transactions=transactions)
    return lambda builder: builder.changed(builder.make_micro(), body=body)


LIGHT: list[tuple[str, int, BlockError, Broken]] = [
    ("network", 6, BlockError.WRONG_NETWORK, micro(network=2)),
    ("version", 6, BlockError.WRONG_VERSION, micro(version=2)),
    ("extra data", 6, BlockError.TOO_LARGE, micro(extra_data=bytes(33))),
    ("number", 6, BlockError.WRONG_NUMBER, wrong_number),
    ("time", 6, BlockError.WRONG_TIMESTAMP, early),
    ("far future", 6, BlockError.FROM_FUTURE, micro(timestamp=2**47)),
    ("producer", 6, BlockError.WRONG_PRODUCER, unsigned),
    ("seed", 6, BlockError.WRONG_SEED, micro(seed=bytes(80))),
    ("parent election", 8, BlockError.WRONG_PARENT_ELECTION, macro(parent_election=digest("x"))),
    ("round", 8, BlockError.WRONG_ROUND, early_votes),
    ("punished", 8, BlockError.WRONG_PUNISHED_SET, macro(punished=SignerSet.of([1]))),
    ("validators", 12, BlockError.WRONG_VALIDATORS, macro(validators=None)),
]
MICRO = [row for row in LIGHT if not SMALL_POLICY.is_macro(row[1])]
"""Those that may be on a fork: a macro block closes its batch."""
FULL: list[tuple[str, int, BlockError, Broken]] = [
    ("no body", 6, BlockError.MISSING_BODY, lambda b: b.make_micro().without_body()),
    ("body root", 6, BlockError.WRONG_BODY_ROOT, micro(body_root=digest("x"))),
    ("diff root", 6, BlockError.WRONG_DIFF_ROOT, micro(diff_root=digest("x"))),
    ("state root", 6, BlockError.WRONG_STATE_ROOT, micro(state_root=digest("x"))),
    ("history root", 6, BlockError.WRONG_HISTORY_ROOT, micro(history_root=digest("x"))),
    ("macro diff root", 8, BlockError.WRONG_DIFF_ROOT, macro(diff_root=digest("x"))),
    ("macro state root", 8, BlockError.WRONG_STATE_ROOT, macro(state_root=digest("x"))),
    ("macro history root", 8, BlockError.WRONG_HISTORY_ROOT, macro(history_root=digest("x"))),
    ("no rewards", 8, BlockError.WRONG_REWARDS, macro(body=MacroBody())),
    (
        "a stranger's reward",
        8,
        BlockError.WRONG_REWARDS,
        macro(body=MacroBody((Reward(address(0), 1),))),
    ),
    (
        "funds",
        6,
        BlockError.INSUFFICIENT_FUNDS,
        with_transactions(transaction(value=1_000_000, fee=1)),
    ),
    (
        "funds of the whole block",
        6,
        BlockError.INSUFFICIENT_FUNDS,
        with_transactions(*(transaction(value=400_000, nonce=nonce) for nonce in (7, 8, 9))),
    ),
    (
        "transaction of an earlier block",
        6,
        BlockError.DUPLICATE_TRANSACTION,
        with_transactions(transaction(nonce=1)),
    ),
    (
        "transaction before its time",
        6,
        BlockError.INVALID_TRANSACTION,
        with_transactions(transaction(validity_start=7)),
    ),
]


def ids(rows: list[tuple[str, int, BlockError, Broken]]) -> list[str]:
    return [row[0] for row in rows]


def builder_below(height: int) -> ChainBuilder:
    builder = ChainBuilder()
    builder.extend(height - 1, [[transaction(nonce=1)], [transaction(nonce=2, sender=2)]])
    return builder


@pytest.mark.parametrize(("_", "height", "error", "broken"), LIGHT + FULL, ids=ids(LIGHT + FULL))
def test_full_chain(_: str, height: int, error: BlockError, broken: Broken) -> None:
    builder, store = builder_below(height), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    builder.push_all(chain)
    before = contents(store)
    block = broken(builder)

    assert push_one(chain, block) == InvalidBlock(error, block.hash)
    assert contents(store) == before
    assert chain.head.hash == builder.head.hash
    assert not chain.contains(block.hash)


@pytest.mark.parametrize(("_", "height", "error", "broken"), LIGHT, ids=ids(LIGHT))
def test_light_chain(_: str, height: int, error: BlockError, broken: Broken) -> None:
    builder, store = builder_below(height), MemoryStore()
    chain = light_chain(builder.genesis, store=store)
    builder.push_all(chain)
    before = contents(store)
    block = broken(builder).without_body()

    assert push_one(chain, block) == InvalidBlock(error, block.hash)
    assert contents(store) == before
    assert chain.head.hash == builder.head.hash


@pytest.mark.parametrize(("_", "height", "error", "broken"), MICRO, ids=ids(MICRO))
def test_on_a_fork(_: str, height: int, error: BlockError, broken: Broken) -> None:
    """The light rules hold before a block of a fork is stored."""
    builder, store = builder_below(height), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    builder.push_all(chain)
    block = broken(builder)
    push_one(chain, builder.make_micro([transaction(nonce=10)]))
    before = contents(store)

    assert push_one(chain, block) == InvalidBlock(error, block.hash)
    assert contents(store) == before


def test_a_transaction_counts_once_inside_its_window() -> None:
    """It may not come again in a later batch, but it may on another branch."""
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    sent = transaction(nonce=1)
    builder.extend(1, [[sent]])
    fork.extend(2, [[], [sent]])
    builder.push_all(chain)
    assert isinstance(fork.push_all(chain)[-1], Pushed)
    assert chain.head.hash == fork.head.hash

    fork.extend(4)
    fork.push_all(chain)
    again = with_transactions(sent)(fork)
    assert push_one(chain, again) == InvalidBlock(BlockError.DUPLICATE_TRANSACTION, again.hash)
    assert chain.contains_transaction(sent.hash)


def test_an_empty_account_pays_nothing() -> None:
    builder = ChainBuilder()
    key = account_keys(9).signing
    body = MicroBody(transactions=(transaction(sender=9, value=0, fee=1),))
    assert body.transactions[0].sender_key == key.public_key
    block = builder.changed(builder.make_micro(), body=body)

    result = push_one(open_chain(builder.genesis), block)
    assert result == InvalidBlock(BlockError.INSUFFICIENT_FUNDS, block.hash)


def test_genesis_of_another_network() -> None:
    """Its blocks say so in their headers."""
    chain = open_chain(genesis())
    builder = ChainBuilder(genesis(network=2))
    block = builder.changed(builder.micro(), parent_hash=Hash32(chain.genesis))
    assert push_one(chain, block) == InvalidBlock(BlockError.WRONG_NETWORK, block.hash)
