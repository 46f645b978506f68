"""A chain on the way to its state: what it does, what it defers, and how that ends."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from node.accounts import trie
from node.accounts.range_proof import FIRST_ADDRESS
from node.blocks.block import Block
from node.chain import history_tree
from node.chain.block_operations import OperationKind
from node.chain.history_tree import Peaks
from node.chain.replay import Replayed
from node.chain.results import (
    BlockError,
    InvalidBlock,
    Pushed,
)
from node.chain.state_mode import state_head, sync_target
from node.errors import NoStateError, StorageError
from node.storage.memory import MemoryStore
from node.storage.store import Table, Writer
from node.sync.state import coverage as stored_coverage
from node.sync.state import state_store
from node.sync.state.coverage import Coverage
from node.sync.state.finalizer import FinalizeError, finalize
from node.sync.state.state_store import NOTHING
from tests.build.blocks import digest, transaction
from tests.build.chain import contents, push_one
from tests.build.keys import address
from tests.build.state_sync import (
    GENESIS,
    POLICY,
    adopt,
    builder_of,
    complete,
    fetch_accounts,
    fetch_window,
    full_chain,
    model_at,
    operations,
    push_rest,
    replay,
    started,
    syncing_chain,
    target_at,
)

# --- without a state ------------------------------------------------------------------------------


def test_an_empty_store_can_begin_without_a_state() -> None:
    store = MemoryStore()
    chain = syncing_chain(GENESIS, store)
    assert chain.keeps_state
    assert not chain.has_state
    assert not contents(store)[Table.ACCOUNTS]
    assert not syncing_chain(GENESIS, store).has_state


def test_a_store_that_has_its_state_is_opened_with_it() -> None:
    store = MemoryStore()
    full_chain(GENESIS, store)
    assert syncing_chain(GENESIS, store).has_state


def test_proposals_need_a_state() -> None:
    builder = builder_of(1)
    chain = syncing_chain(GENESIS)
    with pytest.raises(NoStateError):
        chain.propose_micro(bytes(80), 0)
    with pytest.raises(NoStateError):
        chain.propose_macro(0, bytes(80), 0)
    block = builder.block_at(1)
    assert block.body is not None
    with pytest.raises(NoStateError):
        chain.check_proposal(block.header, block.body)
    with pytest.raises(NoStateError):
        chain.contains_transaction(digest("any"))
    with pytest.raises(NoStateError):
        chain.account(address(1))


def test_blocks_are_stored_whole_and_not_executed() -> None:
    builder = builder_of(7)
    chain, store = started(builder, 4)
    before = contents(store)
    results = chain.push(builder.blocks[4:])
    assert [type(each) for each in results] == [Pushed] * 3
    assert chain.head == builder.head
    assert chain.block(builder.head.hash, with_body=True) == builder.blocks[-1]
    after = contents(store)
    for table in (Table.ACCOUNTS, Table.HISTORY, Table.TRANSACTIONS, Table.UNDO, Table.DIFFS):
        assert after[table] == before[table]


@pytest.mark.parametrize("field", ["body_root", "seed"])
def test_rules_that_need_no_state_are_checked(field: str) -> None:
    builder = builder_of(4)
    chain, store = started(builder, 4)
    value = bytes(80) if field == "seed" else digest("other")
    block = builder.changed(builder.make_micro(), **{field: value})
    before = contents(store)
    assert isinstance(push_one(chain, block), InvalidBlock)
    assert contents(store) == before


def test_a_body_is_needed() -> None:
    builder = builder_of(5)
    chain, _ = started(builder, 4)
    result = push_one(chain, builder.blocks[-1].without_body())
    assert result == InvalidBlock(BlockError.MISSING_BODY, builder.head.hash)


# --- the hooks ------------------------------------------------------------------------------------


def test_operations_are_deferred_in_the_push_that_causes_them() -> None:
    builder = builder_of(4)
    fork = builder.fork_from(builder.head.hash)
    chain, store = started(builder, 4)
    push_rest(chain, [fork.micro(), builder.skip(), *builder.extend(3)])
    kinds = OperationKind
    assert operations(store) == [
        (kinds.VERIFY, 5),
        (kinds.VERIFY, 5),
        (kinds.VERIFY, 6),
        (kinds.VERIFY, 7),
        (kinds.VERIFY, 8),
        (kinds.REJECT, 5),
        *((kinds.ACCEPT, height) for height in (5, 6, 7, 8)),
    ]


def test_a_push_that_fails_defers_nothing() -> None:
    builder = builder_of(5)
    chain, store = started(builder, 4)
    before = contents(store)

    def refuse(index: int, result: object) -> None:
        del index, result
        raise RuntimeError

    with pytest.raises(RuntimeError):
        chain.push([builder.blocks[-1]], before_commit=refuse)
    assert contents(store) == before


def test_nothing_is_deferred_before_and_after() -> None:
    builder = builder_of(9)
    store = MemoryStore()
    chain = full_chain(GENESIS, store)
    chain.push(builder.blocks[:5])
    assert operations(store) == []

    chain, store = started(builder, 4)
    assert complete(chain, store, builder, 4) is None
    push_one(chain, builder.block_at(5))
    assert operations(store) == [(OperationKind.VERIFY, 5)]
    replay(chain)
    assert chain.seal().is_sealed
    push_rest(chain, builder.blocks[5:])
    assert operations(store) == []


def test_replay_never_defers_what_it_executes() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    assert complete(chain, store, builder, 4) is None
    lengths = []
    while chain.execute_accepted(2) != Replayed(0):
        lengths.append(len(operations(store)))
    assert lengths == sorted(lengths, reverse=True)
    assert lengths[-1] == 0


# --- the target -----------------------------------------------------------------------------------


def test_a_target_takes_its_operations_along() -> None:
    builder = builder_of(13)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    chain.move_target(10)
    assert {height for _, height in operations(store)} == {11, 12, 13}
    with store.read() as reader:
        assert sync_target(reader) == builder.block_at(10).hash
    # The blocks themselves are stored.
    for height in range(5, 14):
        assert chain.block(builder.block_at(height).hash, with_body=True) is not None


def test_a_target_is_final_and_never_goes_back() -> None:
    builder = builder_of(9)
    chain, _ = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    with pytest.raises(AssertionError):
        chain.move_target(9)
    chain.move_target(8)
    with pytest.raises(AssertionError):
        chain.move_target(7)


class FailingStore(MemoryStore):
    """A store whose disk refuses commits when it is told to."""

    fails = False

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writer]:
        with super().write(durable=durable) as writer:
            yield writer
            if self.fails:
                raise StorageError("no space left")


def test_a_target_whose_commit_fails_has_not_moved_and_leaves_the_queue() -> None:
    builder, store = builder_of(13), FailingStore()
    chain = syncing_chain(GENESIS, store)
    adopt(chain, builder, 4)
    chain.move_target(4)
    push_rest(chain, builder.blocks[4:])
    before = contents(store)
    store.fails = True
    with pytest.raises(StorageError):
        chain.move_target(10)
    store.fails = False
    assert contents(store) == before


def test_the_queue_tells_how_long_it_is() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    assert chain.deferred_operations() == 0
    push_rest(chain, builder.blocks[4:])
    assert chain.deferred_operations() == len(operations(store)) == 9
    assert syncing_chain(GENESIS, store).deferred_operations() == 9


def test_what_waits_to_be_executed_is_not_pruned() -> None:
    builder = builder_of(24)
    chain, store = started(builder, 8)
    fetch_window(chain, builder, 8)
    push_rest(chain, builder.blocks[8:])
    assert all(
        chain.block(builder.block_at(height).hash, with_body=True) for height in range(4, 25)
    )
    assert complete(chain, store, builder, 8) is None
    replay(chain)
    assert chain.seal().is_sealed
    assert chain.block(builder.block_at(19).hash, with_body=True) is None
    assert chain.block(builder.block_at(20).hash, with_body=True) is not None


def test_blocks_above_the_accounts_stay_as_long_as_their_changes_are_wanted() -> None:
    builder = builder_of(28)
    chain, store = started(builder, 4)
    with store.write() as writer:
        state_store.begin(writer, target_at(builder, 4))
    push_rest(chain, builder.blocks[4:20])
    chain.move_target(20)
    push_rest(chain, builder.blocks[20:24])
    assert all(chain.hash_at(height) for height in range(4, 25))
    with store.write() as writer:
        state_store.begin(writer, target_at(builder, 20))
    push_rest(chain, builder.blocks[24:])
    assert chain.is_pruned(15)
    assert chain.hash_at(16) == builder.block_at(16).hash


def test_a_window_below_what_was_pruned_is_pruned_again() -> None:
    builder = builder_of(20)
    store, expected = MemoryStore(), MemoryStore()
    chain = syncing_chain(GENESIS, store)
    adopt(chain, builder, 8)
    push_rest(chain, builder.blocks[8:16])
    chain.move_target(12)
    assert complete(chain, store, builder, 12) is None
    replay(chain)
    assert chain.seal().is_sealed
    push_rest(chain, builder.blocks[16:])
    push_rest(full_chain(GENESIS, expected), builder.blocks)
    for table in (Table.HEIGHTS, Table.HEADERS, Table.BODIES, Table.MAIN_CHAIN):
        assert contents(store)[table] == contents(expected)[table]


def test_a_jump_over_blocks_needs_another_target_and_keeps_what_is_covered() -> None:
    builder = builder_of(24)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:9])
    covered = Coverage([(FIRST_ADDRESS, address(1))])
    with store.write() as writer:
        state_store.begin(writer, target_at(builder, 4))
        stored_coverage.save(writer, Coverage(), covered)
    adopt(chain, builder, 24)
    with store.read() as reader:
        assert sync_target(reader) is None
        assert list(stored_coverage.load(reader)) == list(covered)
        assert state_store.load(reader).target == target_at(builder, 4)
    assert operations(store) == []
    chain.move_target(24)
    assert complete(chain, store, builder, 24) is None
    assert chain.seal().is_sealed
    assert chain.head == builder.head


@pytest.mark.parametrize("executed", [0, 2, 8])
def test_a_jump_during_replay_leaves_the_whole_state_that_was_reached(executed: int) -> None:
    builder = builder_of(24)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:14])
    assert complete(chain, store, builder, 4) is None
    reached = 4
    while reached < 4 + executed:
        assert chain.execute_accepted(1) == Replayed(1)
        with store.read() as reader:
            found = state_head(reader)
        assert found is not None
        reached = next(each.number for each in builder.blocks if each.hash == found)
    adopt(chain, builder, 24)
    with store.read() as reader:
        assert state_head(reader) is None
        assert stored_coverage.load(reader).is_everything
        kept = state_store.load(reader)
        assert kept.target == target_at(builder, reached)
        assert kept.is_whole
        assert kept.accounts == len(list(reader.scan(Table.ACCOUNTS)))
        assert trie.root(reader) == kept.target.state_root
    chain.move_target(24)
    assert complete(chain, store, builder, 24) is None
    assert chain.seal().is_sealed
    assert chain.head == builder.head


@pytest.mark.parametrize("height", [4, 6, 10, 12])
def test_a_chain_that_is_left_behind_keeps_the_state_of_its_newest_final_block(height: int) -> None:
    builder = builder_of(24)
    store = MemoryStore()
    chain = full_chain(GENESIS, store)
    chain.push(builder.blocks[:height])
    final = POLICY.macro_at_or_before(height)
    adopt(chain, builder, 24)
    assert not chain.has_state
    with store.read() as reader:
        kept = state_store.load(reader)
        assert kept.target == target_at(builder, final)
        assert kept.is_whole
        assert stored_coverage.load(reader).is_everything
        assert kept.accounts == len(list(reader.scan(Table.ACCOUNTS)))
        assert trie.root(reader) == kept.target.state_root
        assert not list(reader.scan(Table.UNDO))


def test_a_chain_that_knows_only_genesis_keeps_nothing_of_its_state() -> None:
    builder, store = builder_of(24), MemoryStore()
    chain = full_chain(GENESIS, store)
    chain.push(builder.blocks[:3])
    adopt(chain, builder, 24)
    with store.read() as reader:
        assert state_store.load(reader) == NOTHING
        assert not list(stored_coverage.load(reader))


def test_an_adoption_that_fails_changes_no_account() -> None:
    builder = builder_of(24)
    store = MemoryStore()
    chain = full_chain(GENESIS, store)
    chain.push(builder.blocks[:6])
    before = contents(store)
    assert isinstance(chain.adopt_macro_blocks([builder.block_at(24)])[0], InvalidBlock)
    assert contents(store) == before
    assert chain.has_state


def test_a_chain_that_was_away_starts_with_its_accounts() -> None:
    builder = builder_of(25)
    store = MemoryStore()
    chain = full_chain(GENESIS, store)
    chain.push(builder.blocks[:4])
    accounts = contents(store)[Table.ACCOUNTS]
    adopt(chain, builder, 24)
    assert not chain.has_state
    assert contents(store)[Table.ACCOUNTS] == accounts
    chain.move_target(24)
    assert complete(chain, store, builder, 24) is None
    assert chain.seal().is_sealed
    push_rest(chain, builder.blocks[24:])
    assert chain.head == builder.head


# --- the window -----------------------------------------------------------------------------------


def test_the_window_comes_batch_by_batch_and_only_true() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 8)
    assert chain.lowest_whole(8) is None
    assert chain.store_batch([builder.block_at(8)]) is None
    batch = [builder.block_at(height) for height in range(7, 3, -1)]
    before = contents(store)
    unsigned = Block(batch[1].header, batch[0].justification, batch[1].body)
    assert chain.store_batch([batch[0], unsigned, *batch[2:]]) == InvalidBlock(
        BlockError.WRONG_PRODUCER, unsigned.hash
    )
    forged = Block(batch[3].header, builder.block_at(8).justification, batch[3].body)
    assert chain.store_batch([*batch[:3], forged]) == InvalidBlock(
        BlockError.NO_QUORUM, forged.hash
    )
    emptied = Block(batch[1].header, batch[1].justification, batch[0].body)
    assert chain.store_batch([batch[0], emptied, *batch[2:]]) == InvalidBlock(
        BlockError.WRONG_BODY_ROOT, emptied.hash
    )
    assert chain.store_batch([batch[0], *batch[2:]]) == InvalidBlock(
        BlockError.WRONG_PARENT, batch[2].hash
    )
    assert chain.store_batch(batch[1:]) == InvalidBlock(BlockError.WRONG_PARENT, batch[1].hash)
    assert chain.store_batch(batch[:3]) == InvalidBlock(BlockError.WRONG_TYPE, batch[2].hash)
    assert chain.store_batch([]) is not None
    assert contents(store) == before
    assert chain.store_batch(batch) is None
    lowest = chain.lowest_whole(8)
    assert lowest is not None
    assert lowest.number == 4


# --- the finalizer --------------------------------------------------------------------------------


def test_each_step_has_its_error() -> None:
    builder = builder_of(9)
    target = target_at(builder, 8)
    model, peaks = model_at(builder, 8)
    store = MemoryStore()
    chain = syncing_chain(GENESIS, store)

    def attempt(**changes: object) -> FinalizeError | None:
        wanted = {"target": target, "peaks": peaks} | changes
        before = contents(store)
        error = chain.complete_state(partial(finalize, **wanted))  # type: ignore[arg-type]
        assert error is None or contents(store) == before
        return error

    assert attempt() is FinalizeError.NO_TARGET
    adopt(chain, builder, 8)
    chain.move_target(8)
    assert attempt(target=target_at(builder, 9)) is FinalizeError.OTHER_TARGET
    assert attempt() is FinalizeError.WRONG_STATE_ROOT
    fetch_accounts(store, model)
    assert attempt() is FinalizeError.WINDOW_INCOMPLETE
    fetch_window(chain, builder, 8)
    assert attempt(peaks=Peaks()) is FinalizeError.WRONG_HISTORY_ROOT
    assert attempt() is None
    # A second run after a crash finds that it is done.
    assert attempt() is None


def test_a_state_with_one_wrong_account_is_never_taken() -> None:
    builder = builder_of(8)
    chain, store = started(builder, 8)
    model, peaks = model_at(builder, 8)
    fetch_window(chain, builder, 8)
    with model.write() as writer:
        key, _ = next(writer.scan(Table.ACCOUNTS))
        writer.delete(Table.ACCOUNTS, key)
    fetch_accounts(store, model)
    error = chain.complete_state(partial(finalize, target=target_at(builder, 8), peaks=peaks))
    assert error is FinalizeError.WRONG_STATE_ROOT


def test_the_history_goes_on_from_its_peaks() -> None:
    builder = builder_of(12)
    chain, store = started(builder, 8)
    assert complete(chain, store, builder, 8) is None
    with store.read() as reader:
        assert (
            history_tree.root(reader, POLICY.epoch_at(8)) == builder.block_at(8).header.history_root
        )
        stored = list(reader.scan(Table.HISTORY))
    assert len(stored) == (6).bit_count()
    assert chain.seal().is_sealed
    push_rest(chain, builder.blocks[8:])
    with chain.snapshot() as snapshot:
        # Lower nodes are not there: what they would prove is refused, and nothing breaks.
        assert snapshot.history_proof(POLICY.epoch_at(8), [0], 6) is None
        assert snapshot.history_length(8) == 6


def test_a_transaction_of_the_window_counts_once() -> None:
    builder = builder_of(8)
    chain, store = started(builder, 8)
    assert complete(chain, store, builder, 8) is None
    assert chain.seal().is_sealed
    for height in (5, 6, 7):
        body = builder.block_at(height).body
        assert body is not None
        assert chain.contains_transaction(transaction(nonce=height, validity_start=height).hash)
