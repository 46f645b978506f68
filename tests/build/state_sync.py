"""Chains on the way to their state, and what brings them there, for tests.

A model is a chain that has executed everything. It gives the accounts and the history of a target
at once, as if they had been fetched.
"""

from functools import partial
from random import Random
from typing import Final

from node.accounts import trie
from node.blocks.block import Block
from node.chain import history_tree
from node.chain.block_operations import BlockOperationView, OperationKind
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.history_tree import Peaks
from node.chain.replay import Replayed
from node.chain.results import Pushed
from node.chain.retention import Retention
from node.policy import Policy
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table, delete_range
from node.sync.state.finalizer import FinalizeError, finalize
from node.sync.state.target import SyncTarget
from protocols.types import Height
from tests.build.blocks import digest, transaction
from tests.build.chain import KEY_CACHE, ChainBuilder, open_chain, push_one
from tests.build.clock import FixedClock
from tests.build.keys import genesis

POLICY: Final = Policy(batch_length=4, batches_per_epoch=3, slots=4, validity_window_batches=1)
GENESIS: Final = genesis(policy=POLICY)


def syncing_chain(genesis: Genesis, store: Store | None = None) -> Chain:
    """Open a chain of a full node; over an empty store it has no state."""
    return Chain.open(
        store or MemoryStore(),
        genesis,
        retention=Retention.WINDOW,
        keeps_state=True,
        clock=FixedClock(),
        key_cache=KEY_CACHE,
        starts_without_state=True,
    )


def full_chain(genesis: Genesis, store: Store | None = None) -> Chain:
    """Open a chain of a full node that executes from genesis on."""
    return open_chain(genesis, store=store, retention=Retention.WINDOW)


def adopt(chain: Chain, builder: ChainBuilder, height: Height) -> None:
    """Adopt the election blocks up to a macro block, and that."""
    policy = builder.genesis.policy
    wanted = [
        builder.block_at(each)
        for each in range(1, height + 1)
        if each == height or policy.is_election(each)
    ]
    for result in chain.adopt_macro_blocks(wanted):
        assert isinstance(result, Pushed), result


def target_at(builder: ChainBuilder, height: Height) -> SyncTarget:
    """Return a block of a branch as a target."""
    if height == 0:
        return SyncTarget.of(builder.genesis.block().header)
    return SyncTarget.of(builder.block_at(height).header)


def model_at(builder: ChainBuilder, height: Height) -> tuple[MemoryStore, Peaks]:
    """Return a store with the accounts after a block, and the peaks of its history."""
    store = MemoryStore()
    model = open_chain(builder.genesis, store=store)
    model.push(builder.blocks[:height])
    assert model.head.number == height
    with store.read() as reader:
        return store, history_tree.load_peaks(reader, model.policy.epoch_at(height))


def fetch_accounts(store: Store, model: Store) -> None:
    """Make the accounts of a store those of a model."""
    with store.write() as writer, model.read() as reader:
        delete_range(writer, Table.ACCOUNTS)
        writer.put_many(Table.ACCOUNTS, list(reader.scan(Table.ACCOUNTS)))
        trie.rebuild(writer)


def fetch_window(chain: Chain, builder: ChainBuilder, target: Height) -> None:
    """Store the window below a final block, batch by batch."""
    policy = chain.policy
    while True:
        lowest = chain.lowest_whole(target)
        above = target + 1 if lowest is None else lowest.number
        if lowest is not None and above <= max(
            policy.macro_at_or_before(target) - policy.validity_window_blocks, 0
        ):
            return
        bottom = policy.macro_at_or_before(above - 1)
        batch = [whole_block(builder, height) for height in range(above - 1, bottom - 1, -1)]
        assert chain.store_batch(batch) is None


def whole_block(builder: ChainBuilder, height: Height) -> Block:
    """Return a block of a branch by its height, genesis too."""
    return builder.genesis.block() if height == 0 else builder.block_at(height)


def complete(
    chain: Chain, store: Store, builder: ChainBuilder, height: Height
) -> FinalizeError | None:
    """Fetch everything of a target and run the finalizer."""
    model, peaks = model_at(builder, height)
    fetch_window(chain, builder, height)
    fetch_accounts(store, model)
    return chain.complete_state(partial(finalize, target=target_at(builder, height), peaks=peaks))


def replay(chain: Chain, *, limit: int = 64) -> None:
    """Execute what is accepted until nothing is left."""
    while True:
        outcome = chain.execute_accepted(limit)
        assert isinstance(outcome, Replayed), outcome
        if not outcome.count:
            return


def grow_forked(genesis: Genesis, seed: int, batches: int) -> tuple[ChainBuilder, list[Block]]:
    """Grow a chain with forks that lose; return it and all blocks in the order of their arrival.

    Forks come before the blocks that beat them, so whoever gets all of them changes branches.
    """
    draw, trunk = Random(seed), ChainBuilder(genesis)
    policy, order, nonce = genesis.policy, [], 0
    while trunk.head.number < batches * policy.batch_length:
        if policy.is_macro(trunk.next_height):
            order.append(trunk.macro())
            continue
        if draw.random() < 0.4:
            fork = trunk.fork_from(trunk.head.hash)
            nonce += 1
            order.append(fork.micro([transaction(nonce=nonce, validity_start=fork.next_height)]))
            order.append(trunk.skip())
            continue
        nonce += 1
        count = draw.randrange(3)
        start = trunk.next_height
        wanted = [
            transaction(sender=each, nonce=nonce, validity_start=start) for each in range(count)
        ]
        order.append(trunk.micro(wanted))
    return trunk, order


def push_rest(chain: Chain, blocks: list[Block]) -> None:
    """Push blocks one by one. None of them is wrong."""
    for block in blocks:
        result = push_one(chain, block)
        assert isinstance(result, Pushed), result


def builder_of(blocks: int) -> ChainBuilder:
    """Return a branch with a transaction in each micro block."""
    builder = ChainBuilder(GENESIS)
    for number in range(1, blocks + 1):
        if POLICY.is_macro(number):
            builder.macro()
        else:
            builder.micro([transaction(nonce=number, validity_start=number)])
    return builder


def operations(store: MemoryStore) -> list[tuple[OperationKind, int]]:
    with store.read() as reader:
        queued = BlockOperationView(reader).snapshot(1000)
    return [(each.operation.kind, each.operation.height) for each in queued]


def started(builder: ChainBuilder, macro: int) -> tuple[Chain, MemoryStore]:
    """Return a chain that has adopted a macro block and is fetching its state."""
    store = MemoryStore()
    chain = syncing_chain(GENESIS, store)
    adopt(chain, builder, macro)
    chain.move_target(macro)
    return chain, store


def bad_state(builder: ChainBuilder) -> Block:
    """Return a block that promises a state which it does not lead to."""
    block = builder.make_micro([transaction(nonce=999, validity_start=builder.next_height)])
    return builder.changed(block, state_root=digest("another state"))
