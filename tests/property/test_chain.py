"""Whatever branches there are and in whatever order they come, all chains end at one head.

A tree of blocks is drawn for one batch: every block has a parent in the tree, is a micro or a skip
block, and carries transactions. A parent always comes before its child. What is drawn afterwards is
the order.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.policy import Policy
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain
from tests.build.keys import genesis

POLICY = Policy(batch_length=6, batches_per_epoch=2, slots=4, validity_window_batches=1)
GENESIS = genesis(policy=POLICY)


@dataclass(frozen=True)
class Twig:
    """One block of a tree, before it is made."""

    parent: int
    """Which of the blocks made so far, counted modulo their number; 0 is genesis."""
    is_skip: bool
    payments: int


TWIGS = st.builds(
    Twig, parent=st.integers(0, 12), is_skip=st.booleans(), payments=st.integers(0, 2)
)
TREES = st.lists(TWIGS, min_size=1, max_size=9).map(tuple)


def payments(branch: ChainBuilder, count: int, *, nonce: int) -> list[Transaction]:
    """Return transactions that are new on a branch; the same ones may stand on several."""
    wanted = (transaction(sender=sender, nonce=nonce) for sender in range(count))
    return [each for each in wanted if not branch.chain.contains_transaction(each.hash)]


@cache
def grow(twigs: tuple[Twig, ...]) -> tuple[tuple[Block, ...], ...]:
    """Return the branch up to each block of the tree."""
    branches: list[ChainBuilder] = [ChainBuilder(GENESIS)]
    for number, twig in enumerate(twigs, 1):
        below = branches[twig.parent % len(branches)]
        branch = below.fork_from(below.head.hash)
        if POLICY.is_macro(branch.next_height):
            continue
        if twig.is_skip:
            branch.skip()
        else:
            branch.micro(payments(branch, twig.payments, nonce=number // 2 + 1))
        branches.append(branch)
    return tuple(tuple(branch.blocks) for branch in branches[1:])


def shuffled(branches: tuple[tuple[Block, ...], ...], seed: int) -> list[Block]:
    """Return all blocks in a random order with every parent before its children."""
    rng = Random(seed)
    waiting = {block.hash: block for branch in branches for block in branch}
    placed: set[Hash32] = {GENESIS.hash}
    order = []
    while waiting:
        ready = sorted(each for each, block in waiting.items() if block.parent_hash in placed)
        chosen = rng.choice(ready)
        order.append(waiting.pop(chosen))
        placed.add(chosen)
    return order


def push_each(chain: Chain, blocks: list[Block]) -> None:
    for block in blocks:
        (result,) = chain.push((block,))
        assert isinstance(result, Pushed), result


@cache
def closed(branch: tuple[Block, ...]) -> tuple[Block, ...]:
    """Return a branch with everything up to the macro block of its batch."""
    builder = ChainBuilder(GENESIS, mark=b"closed")
    for block in branch:
        builder.add(block)
    builder.extend(POLICY.batch_length - len(branch))
    return tuple(builder.blocks)


def kinds(branch: Sequence[Block]) -> tuple[bool, ...]:
    """Tell of each block whether it is a skip block. Python orders tuples as branches are."""
    return tuple(block.is_skip for block in branch)


def main_chain(chain: Chain) -> list[Block]:
    hashes = [chain.hash_at(height) for height in range(1, chain.head.number + 1)]
    blocks = [chain.block(each, with_body=True) for each in hashes if each is not None]
    return [block for block in blocks if block is not None]


@given(TREES, st.integers(0, 2**32))
@settings(deadline=None)
def test_any_order_ends_on_the_best_branch(twigs: tuple[Twig, ...], seed: int) -> None:
    """Skip blocks outrank micro blocks at their height, then length counts; ties are left alone."""
    branches = grow(twigs)
    order = shuffled(branches, seed)
    full, light = open_chain(GENESIS), light_chain(GENESIS)
    push_each(full, order)
    push_each(light, order)

    best = max((kinds(branch) for branch in branches), default=())
    assert kinds(main_chain(full)) == best
    assert full.head == light.head
    winners = [branch[-1].header for branch in branches if kinds(branch) == best]
    assert full.head in winners or not branches


@given(TREES, st.integers(0, 2**32))
@settings(deadline=None)
def test_forks_leave_nothing_in_the_state(twigs: tuple[Twig, ...], seed: int) -> None:
    """The main chain alone, pushed from genesis, gives the same state, history and indexes."""
    store, replayed_store = MemoryStore(), MemoryStore()
    chain = open_chain(GENESIS, store=store)
    push_each(chain, shuffled(grow(twigs), seed))
    replayed = open_chain(GENESIS, store=replayed_store)
    push_each(replayed, main_chain(chain))

    assert replayed.head == chain.head
    assert open_chain(GENESIS, store=store).head == chain.head
    mine, theirs = contents(store), contents(replayed_store)
    differing = {table for table in mine if mine[table] != theirs[table]}
    assert differing <= {Table.HEADERS, Table.BODIES, Table.HEIGHTS}


@given(TREES, st.integers(0, 12), st.integers(0, 2**32))
@settings(deadline=None)
def test_a_macro_block_on_any_branch_wins(twigs: tuple[Twig, ...], chosen: int, seed: int) -> None:
    """It wins against every other branch, and then the forks have never been."""
    branches = (*grow(twigs), ())
    final = closed(branches[chosen % len(branches)])
    for opened in (open_chain, light_chain):
        store, straight_store = MemoryStore(), MemoryStore()
        chain = opened(GENESIS, store=store)
        push_each(chain, shuffled(branches, seed))
        push_each(chain, list(final))
        push_each(opened(GENESIS, store=straight_store), list(final))

        assert chain.macro_head == chain.head == final[-1].header
        assert contents(store) == contents(straight_store)
