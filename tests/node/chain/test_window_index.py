"""The index of a window comes step by step, and is what it would be at once."""

from random import Random

import pytest

from node.chain.window import window_line
from node.chain.window_index import forget_step, index_step
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from protocols.types import Height
from tests.build.chain import ChainBuilder, open_chain
from tests.build.state_sync import GENESIS, POLICY, builder_of

BUILDER = builder_of(30)


def stored(builder: ChainBuilder) -> MemoryStore:
    """Return a store with all blocks, and no index."""
    store = MemoryStore()
    open_chain(GENESIS, store=store).push(builder.blocks)
    with store.write() as writer:
        for key in [key for key, _ in writer.scan(Table.TRANSACTIONS)]:
            writer.delete(Table.TRANSACTIONS, key)
    return store


def index(store: Store, target: Height, *, limit: int) -> int:
    """Index a window; return how many steps it took."""
    steps, is_done = 0, False
    while not is_done:
        with store.write() as writer:
            line = window_line(target, POLICY)
            is_done = index_step(writer, target, line, POLICY, limit)
        steps += 1
    return steps


def indexed(store: Store) -> dict[bytes, bytes]:
    with store.read() as reader:
        return dict(reader.scan(Table.TRANSACTIONS))


def expected(target: Height) -> dict[bytes, bytes]:
    store = stored(BUILDER)
    index(store, target, limit=10**6)
    return indexed(store)


def test_the_window_is_what_later_blocks_must_not_repeat() -> None:
    line = window_line(27, POLICY)
    heights = {key for key in expected(27) if len(key) == 4}
    assert heights == {
        height.to_bytes(4, "big") for height in range(line + 1, 28) if not POLICY.is_macro(height)
    }
    hashes = {key for key in expected(27) if len(key) == 32}
    assert len(hashes) == len(heights)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_one_step_does_a_bounded_part_of_it(limit: int) -> None:
    store = stored(BUILDER)
    window = 27 - window_line(27, POLICY)
    assert index(store, 27, limit=limit) == -(-window // limit)
    assert indexed(store) == expected(27)


@pytest.mark.parametrize("seed", range(20))
def test_a_target_that_moves_takes_along_what_is_indexed(seed: int) -> None:
    draw, store = Random(seed), stored(BUILDER)
    target = 9
    while target < 30:
        target = draw.randint(target, 30)
        line = window_line(target, POLICY)
        for _ in range(draw.randrange(8)):
            with store.write() as writer:
                index_step(writer, target, line, POLICY, draw.randint(1, 4))
    index(store, target, limit=3)
    assert indexed(store) == expected(30)
    with store.write() as writer:
        forget_step(writer)
