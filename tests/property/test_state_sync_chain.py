"""A chain that fetched its state ends with what one has that executed every block.

A run adopts a macro block, follows with forks and without executing, completes the state of some
target on the way, replays and seals. Between any two transactions the process may end.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.replay import Replayed
from node.policy import Policy
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Height
from tests.build.chain import ChainBuilder, contents
from tests.build.keys import genesis
from tests.build.state_sync import (
    adopt,
    complete,
    full_chain,
    grow_forked,
    push_rest,
    syncing_chain,
)

POLICY = Policy(batch_length=3, batches_per_epoch=3, slots=4, validity_window_batches=2)
GENESIS = genesis(policy=POLICY)
BATCHES = 6
RETAINED = {
    Table.HISTORY,
    Table.HISTORY_LENGTHS,
    Table.DIFFS,
    Table.OLD_ACCOUNTS,
    Table.OLD_BRANCHES,
}
"""Tables of which one that executed everything has more, for some batches."""


@cache
def grown(seed: int) -> tuple[ChainBuilder, tuple[Block, ...]]:
    builder, order = grow_forked(GENESIS, seed, BATCHES)
    tip = builder.fork_from(builder.head.hash)
    order += [tip.micro(), tip.micro()]
    return builder, tuple(order)


@dataclass
class Node:
    """A chain over a store that outlives it."""

    store: MemoryStore
    crashes: bool

    def __post_init__(self) -> None:
        self.chain: Chain = syncing_chain(GENESIS, self.store)

    def step(self) -> None:
        """Maybe end the process and start it again."""
        if self.crashes:
            before = self.chain
            self.chain = syncing_chain(GENESIS, self.store)
            assert self.chain.head == before.head
            assert self.chain.has_state == before.has_state


def sync(node: Node, builder: ChainBuilder, draw: Random) -> Iterator[None]:
    """Yield between the transactions of a sync, which a push may come between."""
    target = node.chain.macro_head.number
    for pivot in range(draw.randrange(1, 4)):
        if pivot or draw.random() < 0.5:
            target = draw.randint(target, node.chain.macro_head.number)
        node.chain.move_target(target)
        yield
    assert complete(node.chain, node.store, builder, target) is None
    yield
    while not node.chain.has_state:
        outcome = node.chain.execute_accepted(draw.randint(1, 5), transactions=_at_once(draw))
        assert isinstance(outcome, Replayed), outcome
        yield
        if not outcome.count:
            planned = node.chain.plan_next() if draw.random() < 0.5 else None
            yield
            assert node.chain.seal(_at_once(draw), planned).invalid is None
            yield


def _at_once(draw: Random) -> int | None:
    """Return after how many transactions a step ends: mostly after one block."""
    return draw.choice([1, 1, 1, 4, None])


def run(seed: int, *, crashes: bool) -> tuple[MemoryStore, MemoryStore]:
    """Return the stores of a chain that synced, and of one that executed everything."""
    draw = Random(seed)
    builder, order = grown(seed % 3)
    node = Node(MemoryStore(), crashes)
    start: Height = draw.randrange(1, 4) * POLICY.batch_length
    adopt(node.chain, builder, start)
    waiting = [block for block in order if block.number > start]
    steps = sync(node, builder, draw)
    is_over = False
    while waiting or not is_over:
        if waiting and (is_over or draw.random() < 0.6):
            push_rest(node.chain, [waiting.pop(0)])
        else:
            is_over = next(steps, StopIteration) is StopIteration
        node.step()
    store = MemoryStore()
    push_rest(full_chain(GENESIS, store), list(order))
    assert node.chain.has_state
    return node.store, store


@given(st.integers(0, 2**32), st.booleans())
@settings(deadline=None, max_examples=25)
def test_a_synced_store_is_that_of_a_chain_that_executed_everything(
    seed: int, crashes: bool
) -> None:
    synced, executed = run(seed, crashes=crashes)
    mine, theirs = contents(synced), contents(executed)
    for table in Table:
        if table is Table.META:
            assert names(mine[table]) <= names(theirs[table])
        elif table in RETAINED:
            assert set(mine[table]) <= set(theirs[table]), table
        else:
            assert mine[table] == theirs[table], table


def test_older_states_and_histories_become_the_same_with_time() -> None:
    builder, order = grow_forked(GENESIS, 1, 25)
    start = 2 * POLICY.batch_length
    node = Node(MemoryStore(), crashes=False)
    adopt(node.chain, builder, start)
    above = [block for block in order if block.number > start]
    push_rest(node.chain, above[:5])
    for _ in sync(node, builder, Random(1)):
        pass
    push_rest(node.chain, above[5:])
    store = MemoryStore()
    push_rest(full_chain(GENESIS, store), order)
    assert contents(node.store) == contents(store)


def names(rows: tuple[tuple[bytes, bytes], ...]) -> set[tuple[bytes, bytes]]:
    """Return single values; from when on states can be presented is another matter."""
    return {row for row in rows if row[0] != b"oldest_state"}
