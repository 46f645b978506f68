"""Executing what was deferred, and the end of it."""

from dataclasses import replace
from threading import Thread

import pytest

from node.accounts import trie
from node.accounts.trie import update
from node.blocks import verify
from node.blocks.block import Block
from node.blocks.signatures import SignedTransactions
from node.chain.block_operations import OperationKind
from node.chain.chain import Chain
from node.chain.replay import PlannedBlock, Replayed, ReplayFailed
from node.chain.results import (
    BlockError,
    Finalized,
    InvalidBlock,
    Pushed,
    PushOutcome,
    Rebranched,
)
from node.chain.state_mode import executed_header, state_head
from node.chain.state_progress import load_progress
from node.chain.state_sync import SealOutcome
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Height
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents, push_one
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


def replayed(builder: ChainBuilder, above: list[Block]) -> tuple[Chain, MemoryStore]:
    """Return a chain that has fetched the state of block 4, and executed what is final above it."""
    chain, store = started(builder, 4)
    push_rest(chain, above)
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    return chain, store


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


def state_height(store: MemoryStore) -> Height:
    """Return the height of the state head."""
    with store.read() as reader:
        executed = executed_header(reader)
    assert executed is not None
    return executed.number


def is_as_executed(store: MemoryStore, builder: ChainBuilder) -> bool:
    """Tell whether a store has the state of a chain that executed every block."""
    other = MemoryStore()
    push_rest(full_chain(GENESIS, other), builder.blocks)
    tables = (Table.ACCOUNTS, Table.BRANCHES, Table.TRANSACTIONS, Table.UNDO)
    return all(contents(store)[each] == contents(other)[each] for each in tables)


def test_the_branch_is_executed_in_steps_between_which_blocks_may_come() -> None:
    builder = builder_of(7)
    chain, store = replayed(builder, [builder.block_at(5), builder.block_at(6)])
    assert chain.seal(1) == SealOutcome(is_sealed=False, left=1)
    assert state_height(store) == 5
    push_rest(chain, [builder.block_at(7)])
    assert chain.seal(1) == SealOutcome(is_sealed=False, left=1)
    chain = syncing_chain(GENESIS, store)
    assert not chain.has_state
    assert chain.seal(1) == SealOutcome(is_sealed=True)
    assert chain.head == builder.head
    assert is_as_executed(store, builder)


@pytest.mark.parametrize(("transactions", "left"), [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_a_step_ends_after_so_many_transactions_or_blocks_without_any(
    transactions: int, left: int
) -> None:
    builder = builder_of(4)
    for height in (5, 6, 7):
        builder.micro(
            [
                transaction(sender=each, nonce=height, validity_start=height)
                for each in range(transactions)
            ]
        )
    chain, _ = replayed(builder, builder.blocks[4:])
    assert chain.seal(2) == SealOutcome(is_sealed=False, left=left)
    assert chain.seal(None).is_sealed


def test_a_macro_block_may_come_when_half_of_its_batch_is_executed() -> None:
    builder = builder_of(9)
    chain, store = replayed(builder, [builder.block_at(5), builder.block_at(6)])
    assert not chain.seal(1).is_sealed
    push_rest(chain, [builder.block_at(7), builder.block_at(8), builder.block_at(9)])
    assert chain.seal(1) == SealOutcome(is_sealed=False)
    replay(chain)
    assert state_height(store) == 8
    assert chain.seal(1).is_sealed
    assert is_as_executed(store, builder)


def planned_above(chain: Chain, parent: Height) -> PlannedBlock:
    """Return the plan of the block above a height."""
    planned = chain.plan_next()
    assert planned is not None
    assert (planned.above, planned.block.number) == (chain.hash_at(parent), parent + 1)
    return planned


def test_a_block_is_executed_beside_pushes_and_written_in_turn() -> None:
    builder = builder_of(7)
    chain, store = started(builder, 4)
    assert chain.plan_next() is None
    push_rest(chain, [builder.block_at(5)])
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    before = contents(store)
    first = planned_above(chain, 4)
    assert contents(store) == before
    push_rest(chain, [builder.block_at(6), builder.block_at(7)])
    assert chain.seal(1, first) == SealOutcome(is_sealed=False, left=2)
    second = planned_above(chain, 5)
    assert chain.seal(1, second) == SealOutcome(is_sealed=False, left=1)
    # It was planned for a state head that is no more.
    assert chain.seal(1, second) == SealOutcome(is_sealed=True)
    assert chain.plan_next() is None
    assert is_as_executed(store, builder)


def test_what_was_planned_is_forgotten_when_another_branch_has_won() -> None:
    builder = builder_of(4)
    fork = builder.fork_from(builder.head.hash)
    chain, store = replayed(builder, [fork.micro([transaction(nonce=77, validity_start=5)])])
    planned = planned_above(chain, 4)
    push_rest(chain, [builder.skip()])
    assert chain.seal(1, planned).is_sealed
    assert chain.head == builder.head
    assert is_as_executed(store, builder)


def test_nothing_is_planned_before_all_final_blocks_are_executed() -> None:
    builder = builder_of(9)
    chain, store = started(builder, 4)
    push_rest(chain, builder.blocks[4:])
    assert complete(chain, store, builder, 4) is None
    assert chain.plan_next() is None


@pytest.mark.parametrize("executed", [1, 2])
def test_a_fork_that_wins_reverts_what_was_executed_before_the_seal(executed: int) -> None:
    builder = builder_of(5)
    fork = builder.fork_from(builder.head.hash)
    losing = [fork.micro([transaction(nonce=77 + each, validity_start=5)]) for each in range(2)]
    chain, store = replayed(builder, [builder.block_at(5), *losing])
    for _ in range(executed):
        assert not chain.seal(1).is_sealed
    assert state_height(store) == 4 + executed
    result = push_one(chain, builder.skip())
    assert isinstance(result, Pushed)
    assert result.outcome is PushOutcome.REBRANCHED
    assert state_height(store) == 5
    chain = syncing_chain(GENESIS, store)
    push_rest(chain, list(builder.extend(3)))
    replay(chain)
    assert chain.seal(1).is_sealed
    assert chain.head == builder.head
    assert is_as_executed(store, builder)


def test_macro_blocks_that_are_adopted_leave_the_state_of_the_last_final_block() -> None:
    """What was executed above it was of a branch that nobody knows to be the main chain."""
    builder = builder_of(12)
    chain, store = replayed(builder, [builder.block_at(5), builder.block_at(6)])
    assert not chain.seal(1).is_sealed
    adopt(chain, builder, 12)
    with store.read() as reader:
        kept = load_progress(reader)
        assert kept is not None
        assert (kept.number, kept.is_whole) == (4, True)
        assert trie.root(reader) == builder.block_at(4).header.state_root == kept.state_root


@pytest.mark.parametrize("is_planned", [False, True])
def test_signatures_of_transactions_are_checked_before_a_branch_is_executed(
    is_planned: bool,
) -> None:
    """While there is no state that is left for later, since a quorum does it for final blocks."""
    builder = builder_of(4)
    unsigned = replace(transaction(validity_start=5), signature=bytes(64))
    chain, store = started(builder, 4)
    bad = builder.fork_from(builder.head.hash).make_micro([unsigned])
    push_rest(chain, [bad])
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    sealed = chain.seal(None, chain.plan_next() if is_planned else None)
    assert sealed.is_sealed
    assert sealed.invalid == InvalidBlock(BlockError.INVALID_TRANSACTION, bad.hash)
    assert chain.head == builder.head
    assert push_one(chain, bad) == InvalidBlock(BlockError.INVALID_TRANSACTION, bad.hash)


def test_signatures_are_checked_when_a_fork_wins_that_was_stored_without_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builder = builder_of(5)
    unsigned = replace(transaction(nonce=5, validity_start=5), signature=bytes(64))
    fork = builder.fork_from(builder.block_at(4).hash)
    with monkeypatch.context() as careless:
        careless.setattr(verify, "SIGNED", SignedTransactions(verify=lambda *_: True))
        bad, above = fork.micro([unsigned]), fork.skip()
    chain, store = started(builder, 4)
    push_rest(chain, [builder.block_at(5), bad])
    assert chain.head == builder.head
    assert complete(chain, store, builder, 4) is None
    replay(chain)
    assert chain.seal().is_sealed
    assert push_one(chain, above) == InvalidBlock(BlockError.INVALID_TRANSACTION, bad.hash)
    assert chain.head == builder.head
    assert not chain.contains(bad.hash)


def test_signatures_are_checked_before_a_proposal_above_a_block_stored_without_state(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    builder = builder_of(7)
    fork = builder.fork_from(builder.block_at(6).hash)
    with monkeypatch.context() as careless:
        careless.setattr(verify, "SIGNED", SignedTransactions(verify=lambda *_: True))
        bad = fork.micro([replace(transaction(validity_start=7), signature=bytes(64))])
        proposed = fork.make_macro()
    chain, _ = replayed(builder, [*builder.blocks[4:], bad])
    assert chain.seal().is_sealed
    assert proposed.body is not None
    error = chain.check_proposal(proposed.header, proposed.body)
    assert error is BlockError.INVALID_TRANSACTION


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
