"""Executing what was deferred, and the end of it."""

from threading import Thread

import pytest

from node.accounts.trie import update
from node.chain.block_operations import OperationKind
from node.chain.replay import Replayed, ReplayFailed
from node.chain.results import (
    BlockError,
    Finalized,
    InvalidBlock,
    Pushed,
    PushOutcome,
    Rebranched,
)
from node.chain.state_mode import state_head
from node.storage.memory import MemoryStore
from node.storage.store import Table
from tests.build.blocks import transaction
from tests.build.chain import contents, push_one
from tests.build.keys import address
from tests.build.state_sync import (
    GENESIS,
    adopt,
    bad_state,
    builder_of,
    complete,
    full_chain,
    operations,
    push_rest,
    replay,
    started,
    syncing_chain,
    whole_block,
)

# --- replay ---------------------------------------------------------------------------------------


def test_a_final_block_that_cannot_be_executed_is_an_error_with_its_place() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    assert complete(chain, store, builder, 4) is None
    with store.write() as writer:
        writer.delete(Table.BODIES, builder.block_at(6).hash)
    failed = chain.execute_accepted(100)
    assert isinstance(failed, ReplayFailed)
    block = builder.block_at(6).hash
    assert (failed.kind, failed.block) == (OperationKind.ACCEPT, block)
    assert failed.error is BlockError.MISSING_BODY
    assert str(failed).startswith(f"operation {failed.index + 1} of {failed.count}, accept")
    with store.read() as reader:
        assert state_head(reader) == builder.block_at(5).hash
    # It stays where it was: nothing is lost.
    assert operations(store)[0] == (OperationKind.ACCEPT, 6)


def test_a_final_block_over_another_state_is_refused() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    assert complete(chain, store, builder, 4) is None
    with store.write() as writer:
        update(writer, {address(0): None})
    failed = chain.execute_accepted(100)
    assert isinstance(failed, ReplayFailed)
    assert (failed.block, failed.error) == (
        builder.block_at(5).hash,
        BlockError.INSUFFICIENT_FUNDS,
    )
    with store.read() as reader:
        assert state_head(reader) == builder.block_at(4).hash


def test_a_block_that_comes_while_the_target_is_completed_runs_after_its_parents() -> None:
    builder = builder_of(13)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:8])
    assert complete(chain, store, builder, 4) is None
    push_rest(chain, builder.blocks[8:])
    heights = []
    while chain.execute_accepted(1) != Replayed(0):
        with store.read() as reader:
            head = state_head(reader)
        header = None if head is None else chain.header(head)
        assert header is not None
        heights.append(header.number)
    assert sorted(set(heights)) == list(range(4, 13))
    assert heights == sorted(heights)
    assert chain.seal().is_sealed
    assert chain.head.number == 13


def test_replay_goes_on_after_a_crash() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    assert complete(chain, store, builder, 4) is None
    chain.execute_accepted(6)
    chain = syncing_chain(GENESIS, store)
    replay(chain)
    assert chain.seal().is_sealed
    assert chain.has_state
    assert chain.account(address(0)).balance > 0


# --- the seal -------------------------------------------------------------------------------------


def test_a_final_block_that_comes_before_the_seal_is_not_stranded() -> None:
    builder = builder_of(8)
    chain, store = started(builder, 4)
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    push_rest(chain, builder.blocks[4:])
    before = contents(store)
    assert not chain.seal().is_sealed
    assert contents(store) == before
    replay(chain)
    assert chain.seal().is_sealed
    assert chain.has_state


def test_a_seal_and_pushes_at_the_same_moment_leave_no_block_out() -> None:
    builder = builder_of(13)
    expected = MemoryStore()
    push_rest(full_chain(GENESIS, expected), builder.blocks)
    for _ in range(5):
        chain, store = started(builder, 4)
        assert complete(chain, store, builder, 4) is None
        pusher = Thread(target=push_rest, args=(chain, builder.blocks[4:]))
        pusher.start()
        while not chain.seal().is_sealed:
            replay(chain)
        pusher.join()
        assert chain.head == builder.head
        for table in (Table.ACCOUNTS, Table.BRANCHES, Table.TRANSACTIONS, Table.META):
            rows = [row for row in contents(store)[table] if row[0] != b"oldest_state"]
            assert rows == [row for row in contents(expected)[table] if row[0] != b"oldest_state"]


def test_a_rebranch_after_the_seal_undoes_what_the_seal_has_executed() -> None:
    builder = builder_of(4)
    fork = builder.fork_from(builder.head.hash)
    chain, store = started(builder, 4)
    ours = fork.micro([transaction(nonce=77, validity_start=5)])
    push_one(chain, ours)
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    assert chain.seal().is_sealed
    result = push_one(chain, builder.skip())
    assert isinstance(result, Pushed)
    assert result.outcome is PushOutcome.REBRANCHED
    other = MemoryStore()
    push_rest(full_chain(GENESIS, other), builder.blocks)
    assert contents(store)[Table.ACCOUNTS] == contents(other)[Table.ACCOUNTS]


def test_a_branch_that_cannot_be_executed_goes_and_the_sync_ends() -> None:
    builder = builder_of(5)
    bad = bad_state(builder)
    chain, store = started(builder, 4)
    push_rest(chain, [builder.block_at(5), bad])
    assert chain.head == bad.header
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    sealed = chain.seal()
    assert sealed.is_sealed
    assert sealed.invalid == InvalidBlock(BlockError.WRONG_STATE_ROOT, bad.hash)
    assert sealed.events == (Rebranched(reverted=(bad.hash,), adopted=()),)
    assert chain.head == builder.head
    assert not chain.contains(bad.hash)
    assert syncing_chain(GENESIS, store).head == builder.head
    push_rest(chain, list(builder.extend(3)))
    assert chain.macro_head.number == 8


def test_finality_goes_on_while_there_is_no_state() -> None:
    builder = builder_of(8)
    chain, _ = started(builder, 4)
    results = chain.push(builder.blocks[4:])
    assert isinstance(results[-1], Pushed)
    assert any(isinstance(event, Finalized) for event in results[-1].events)
    assert chain.macro_head.number == 8


@pytest.mark.parametrize("height", [0, 12])
def test_a_target_may_be_genesis_or_an_election_block(height: int) -> None:
    builder = builder_of(14)
    store = MemoryStore()
    chain = syncing_chain(GENESIS, store)
    if height:
        adopt(chain, builder, height)
    chain.move_target(height)
    push_rest(chain, builder.blocks[height:])
    assert complete(chain, store, builder, height) is None
    replay(chain)
    assert chain.seal().is_sealed
    assert chain.head == builder.head
    assert whole_block(builder, height).hash == chain.hash_at(height)
