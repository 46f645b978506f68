"""What each kind of node keeps of blocks that are final, and that it needs nothing else."""

from collections.abc import Iterable
from functools import cache

import pytest

from node.chain import pruning
from node.chain.chain import Chain
from node.chain.reset import clear_above_genesis
from node.chain.results import EquivocationFound, Pushed, Rebranched
from node.chain.retention import CHANGES_BATCHES, Retention
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from node.sync.state import state_store
from protocols.types import Height
from tests.build import state_sync as syncing
from tests.build.blocks import transaction
from tests.build.chain import (
    OLD_STATES,
    ChainBuilder,
    contents,
    contents_now,
    light_chain,
    open_chain,
    push_one,
)
from tests.build.fetched import fetched_batches
from tests.build.keys import SMALL_POLICY

EPOCH = SMALL_POLICY.epoch_length
WINDOW = SMALL_POLICY.validity_window_blocks
LENGTH = 4 * EPOCH + 6


@cache
def branch() -> ChainBuilder:
    """Four epochs and a half batch more; each micro block has a payment."""
    builder = ChainBuilder()
    for height in range(1, LENGTH + 1):
        builder.extend(1, [[transaction(nonce=height, validity_start=height)]])
    return builder


def opened(retention: Retention, store: Store | None = None) -> Chain:
    keeps_state = retention.has_bodies
    return open_chain(branch().genesis, store=store, retention=retention, keeps_state=keeps_state)


def line_of(retention: Retention, macro_head: Height) -> Height:
    below = {Retention.ALL: macro_head, Retention.WINDOW: WINDOW, Retention.BATCH: 4}
    return max(macro_head - below[retention], 0)


def heights_in(store: Store, table: Table) -> list[Height]:
    return [int.from_bytes(key[:4], "big") for key, _ in contents(store)[table]]


def hashes_at(heights: Iterable[Height]) -> set[bytes]:
    genesis = branch().genesis.hash
    return {branch().block_at(height).hash if height else genesis for height in heights}


def keys_in(store: Store, table: Table) -> set[bytes]:
    return {key for key, _ in contents(store)[table]}


@pytest.mark.parametrize("retention", Retention)
def test_what_is_left_after_each_block(retention: Retention) -> None:
    store = MemoryStore()
    chain = opened(retention, store)
    for block in branch().blocks:
        push_one(chain, block)
        line = line_of(retention, chain.macro_head.number)
        whole = list(range(line, block.number + 1))
        kept = [*range(0, line, EPOCH), *whole]
        assert heights_in(store, Table.MAIN_CHAIN) == kept
        assert heights_in(store, Table.HEIGHTS) == kept
        assert keys_in(store, Table.HEADERS) == hashes_at(kept)
        assert keys_in(store, Table.BODIES) == (hashes_at(whole) if retention.has_bodies else set())
        if retention.has_bodies:
            macros = range(max(line, 4), block.number + 1, 4)
            assert heights_in(store, Table.HISTORY_LENGTHS) == list(macros)
            epochs = set(heights_in(store, Table.HISTORY))
            first, last = (SMALL_POLICY.epoch_at(height) for height in (line, block.number))
            assert epochs - {last} == set(range(max(first, 1), last))


@pytest.mark.parametrize("retention", Retention)
def test_a_chain_that_prunes_goes_on_after_a_restart(retention: Retention) -> None:
    store = MemoryStore()
    for start in range(0, LENGTH, 7):
        opened(retention, store).push(branch().blocks[start : start + 7])
    straight = MemoryStore()
    opened(retention, straight).push(branch().blocks)
    assert contents(store) == contents(straight)


@pytest.mark.parametrize("retention", [Retention.WINDOW, Retention.BATCH])
def test_pruned_blocks_are_told_from_unknown_ones(retention: Retention) -> None:
    chain = opened(retention)
    chain.push(branch().blocks)
    line = line_of(retention, 4 * EPOCH + 4)
    for height in range(1, LENGTH + 10):
        is_pruned = height < line and height % EPOCH != 0
        assert chain.is_pruned(height) is is_pruned
        with chain.snapshot() as snapshot:
            assert snapshot.is_pruned(height) is is_pruned
        if height > LENGTH:
            continue
        block = branch().block_at(height)
        assert (chain.hash_at(height) is None) is is_pruned
        assert chain.contains(block.hash) is not is_pruned
        assert (chain.header(block.hash) is None) is is_pruned
        assert chain.is_on_main_chain(block.hash) is not is_pruned


def test_blocks_that_were_passed_by_are_pruned_too() -> None:
    chain = light_chain(branch().genesis)
    chain.adopt_macro_blocks(
        [branch().block_at(height) for height in (36, 40, 44)], is_trusted=True
    )
    assert [height for height in range(60) if chain.is_pruned(height)] == [
        *range(1, 36),
        *range(37, 40),
    ]
    assert chain.hash_at(40) == branch().block_at(40).hash
    push_one(chain, branch().block_at(45))
    assert chain.head.number == 45


def test_what_one_call_adopts_and_prunes_is_gone() -> None:
    chain = light_chain(branch().genesis)
    chain.adopt_macro_blocks([branch().block_at(height) for height in (4, 8, 12)])
    assert not chain.contains(branch().block_at(4).hash)
    assert chain.contains(branch().block_at(8).hash)


def test_macro_heads_that_were_adopted_go_later() -> None:
    store = MemoryStore()
    chain = light_chain(branch().genesis, store=store)
    for height, left in [(4, [0, 4]), (8, [0, 4, 8]), (12, [0, 8, 12]), (40, [0, 12, 40])]:
        for election in range(chain.election_head.number + EPOCH, height, EPOCH):
            chain.adopt_macro_blocks([branch().block_at(election)])
        chain.adopt_macro_blocks([branch().block_at(height)])
        assert heights_in(store, Table.MAIN_CHAIN) == sorted({*left, *range(0, height, EPOCH)})
        assert light_chain(branch().genesis, store=store).head == chain.head
        assert not chain.contains(branch().block_at(max(height - 8, 1)).hash) or height == 4


@pytest.mark.parametrize("retention", [Retention.WINDOW, Retention.BATCH])
def test_the_store_does_not_grow(retention: Retention) -> None:
    """But for one header in each epoch."""
    store = MemoryStore()
    chain = opened(retention, store)
    chain.push(branch().blocks[: 2 * EPOCH])
    before = {table: len(rows) for table, rows in contents(store).items()}
    chain.push(branch().blocks[2 * EPOCH : 4 * EPOCH])
    grown = {table: len(rows) - before[table] for table, rows in contents(store).items()}
    with_elections = {Table.HEADERS, Table.HEIGHTS, Table.MAIN_CHAIN}
    assert dict.fromkeys(with_elections, 2) == {
        table: count
        for table, count in grown.items()
        if count and table not in {Table.ACCOUNTS, Table.BRANCHES, *OLD_STATES}
    }


def test_the_work_of_a_commit_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store, straight = MemoryStore(), MemoryStore()
    chain = opened(Retention.WINDOW, store)
    monkeypatch.setattr(pruning, "MAX_PRUNED_BLOCKS", 3)
    monkeypatch.setattr(pruning, "MAX_PRUNED_NODES", 2)
    chain.push(branch().blocks[: 3 * EPOCH])
    # Seven batches have left the window since, of four blocks each.
    left = set(heights_in(store, Table.MAIN_CHAIN)) - {0, EPOCH, 2 * EPOCH, 3 * EPOCH}
    assert min(left) == 7 * 3
    assert not chain.is_pruned(3 * EPOCH - WINDOW - 1)
    chain = opened(Retention.WINDOW, store)
    monkeypatch.undo()
    chain.push(branch().blocks[3 * EPOCH :])
    opened(Retention.WINDOW, straight).push(branch().blocks)
    assert contents(store) == contents(straight)


def test_a_rest_of_history_goes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    chain = opened(Retention.WINDOW, store)
    monkeypatch.setattr(pruning, "MAX_PRUNED_NODES", 2)
    chain.push(branch().blocks[: 3 * EPOCH])
    first = [epoch for epoch in heights_in(store, Table.HISTORY) if epoch == 1]
    assert 0 < len(first) < 16
    monkeypatch.undo()
    chain.push(branch().blocks[3 * EPOCH :])
    assert min(heights_in(store, Table.HISTORY)) == 4


@pytest.mark.parametrize("retention", Retention)
def test_forks_need_nothing_that_is_pruned(retention: Retention) -> None:
    """Rebranching, equivocation, proposals and macro blocks on a fork, far from genesis."""
    chain = opened(retention)
    chain.push(branch().blocks[: 4 * EPOCH])
    start = branch().block_at(4 * EPOCH).hash
    fork = branch().fork_from(start)
    chain.push(branch().blocks[4 * EPOCH : 4 * EPOCH + 2])
    first = fork.micro()
    (result,) = chain.push([first])
    assert isinstance(result, Pushed)
    assert any(isinstance(event, EquivocationFound) for event in result.events)
    fork.skip()
    (result,) = chain.push(fork.blocks[4 * EPOCH + 1 :])
    assert isinstance(result, Pushed)
    assert any(isinstance(event, Rebranched) for event in result.events)
    macro = [*branch().blocks[4 * EPOCH : 4 * EPOCH + 4]]
    assert all(isinstance(each, Pushed) for each in chain.push(macro))
    assert chain.macro_head == macro[-1].header
    assert chain.is_on_main_chain(macro[0].hash)
    if retention.has_bodies:
        header, _ = chain.propose_micro(branch().block_at(1).header.seed, 0)
        assert header.number == 4 * EPOCH + 5


def test_batches_are_pruned_as_they_are_adopted() -> None:
    store, pushed = MemoryStore(), MemoryStore()
    blocks = branch().blocks[: 4 * EPOCH]
    chain = opened(Retention.WINDOW, store)
    chain.adopt_batches(fetched_batches(blocks))
    opened(Retention.WINDOW, pushed).push(blocks)
    assert contents_now(store) == contents_now(pushed)
    assert not any(chain.contains(block.hash) for block in blocks[:4])


def test_back_at_genesis_nothing_is_pruned() -> None:
    store = MemoryStore()
    chain = light_chain(branch().genesis, store=store)
    chain.push(branch().blocks)
    with store.write() as writer:
        clear_above_genesis(writer, branch().genesis.block().without_body())
    assert not any(chain.is_pruned(height) for height in range(LENGTH))


def test_blocks_whose_changes_nobody_has_any_more_go_however_old_the_accounts_are() -> None:
    builder = syncing.builder_of(48)
    chain, store = syncing.started(builder, 4)
    with store.write() as writer:
        state_store.begin(writer, syncing.target_at(builder, 4))
    syncing.push_rest(chain, builder.blocks[4:20])
    for height in range(20, 48, 4):
        chain.move_target(height)
        syncing.push_rest(chain, builder.blocks[height : height + 4])
        kept = range(max(height + 4 - CHANGES_BATCHES * syncing.POLICY.batch_length, 1), height + 5)
        assert all(chain.hash_at(each) for each in kept)
        assert kept[0] == 1 or chain.is_pruned(kept[0] - 1)
