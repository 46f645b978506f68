"""The push table row by row, rebranches, and that a failure leaves nothing behind."""

from collections.abc import Callable

import pytest

from node.accounts.diff import EMPTY_DIFF
from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.push import MAX_BLOCKS_PER_HEIGHT
from node.chain.results import (
    BlockError,
    EpochFinalized,
    Extended,
    Finalized,
    InvalidBlock,
    InvalidFork,
    Orphan,
    Pushed,
    PushOutcome,
    PushResult,
    Rebranched,
    Stored,
)
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32
from tests.build.blocks import digest, signed_micro, transaction
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain, push_one
from tests.build.keys import keys_of
from tests.build.turns import next_owner

OpenChain = Callable[..., Chain]
KINDS = pytest.mark.parametrize("opened", [open_chain, light_chain], ids=["full", "light"])


def hashes(*blocks: Block) -> tuple[Hash32, ...]:
    return tuple(block.hash for block in blocks)


def outcome(result: PushResult) -> PushOutcome:
    assert isinstance(result, Pushed), result
    return result.outcome


@KINDS
def test_child_of_the_head_extends(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    block = builder.micro([transaction()])

    assert push_one(chain, block) == Pushed(PushOutcome.EXTENDED, (Extended(block.hash),))
    assert chain.head.hash == block.hash
    assert chain.is_on_main_chain(block.hash)


@KINDS
def test_stored_blocks_are_known(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    builder.extend(2)
    block, other = builder.blocks[0], fork.micro()
    chain.push([*builder.blocks, other])

    assert push_one(chain, block) == Pushed(PushOutcome.KNOWN)
    assert push_one(chain, other) == Pushed(PushOutcome.KNOWN)


@KINDS
def test_blocks_up_to_the_macro_head_are_ignored(opened: OpenChain) -> None:
    """Behaviour 21, first part: also those that were never seen."""
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    late = builder.fork_from(builder.genesis.hash)
    builder.extend(5)
    late.extend(4)
    builder.push_all(chain)

    for block in [*builder.blocks[:4], *late.blocks]:
        assert push_one(chain, block) == Pushed(PushOutcome.IGNORED)
    assert not chain.contains(late.blocks[0].hash)


@KINDS
def test_orphans_are_refused_until_their_parents_come(opened: OpenChain) -> None:
    """Behaviour 21, second part."""
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    parent, child, grandchild = builder.extend(3)

    assert push_one(chain, grandchild) == Orphan(child.hash)
    assert chain.push([parent, grandchild, child])[1:] == (Orphan(child.hash),)
    assert [outcome(result) for result in chain.push([child, grandchild])] == [
        PushOutcome.EXTENDED,
        PushOutcome.EXTENDED,
    ]


@KINDS
def test_a_fork_below_the_macro_head_is_never_followed(opened: OpenChain) -> None:
    """Its number says that it is above, its parent that it is not."""
    builder = ChainBuilder()
    builder.extend(4)
    chain = opened(builder.genesis)
    builder.push_all(chain)
    old = builder.fork_from(builder.block_at(2).hash)
    block = old.changed(old.make_micro(), number=5)

    assert push_one(chain, block) == InvalidFork(block.hash)


@KINDS
def test_a_longer_branch_wins(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    (base,) = builder.extend(1)
    fork = builder.fork_from(base.hash)
    ours = builder.micro()
    first, second = fork.micro([transaction()]), fork.micro()
    builder.push_all(chain)

    forked, rebranched = chain.push([first, second])
    assert isinstance(forked, Pushed)
    assert (forked.outcome, forked.events[0]) == (PushOutcome.FORKED, Stored(first.hash))
    assert chain.contains(ours.hash)
    assert rebranched == Pushed(
        PushOutcome.REBRANCHED, (Rebranched(hashes(ours), hashes(first, second)),)
    )
    assert [chain.is_on_main_chain(block.hash) for block in (base, ours, first, second)] == [
        True,
        False,
        True,
        True,
    ]
    assert [chain.hash_at(height) for height in range(5)] == [
        builder.genesis.hash,
        *hashes(base, first, second),
        None,
    ]


@KINDS
def test_an_equally_long_branch_does_not(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    builder.extend(2)
    fork.extend(2)
    builder.push_all(chain)

    assert [outcome(result) for result in fork.push_all(chain)] == [PushOutcome.FORKED] * 2
    assert chain.head.hash == builder.head.hash


@KINDS
def test_a_skip_block_replaces_a_normal_one(opened: OpenChain) -> None:
    """Behaviour 20, also when the normal branch is longer."""
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    ours = builder.extend(3)
    skip = fork.skip()
    builder.push_all(chain)

    assert push_one(chain, skip) == Pushed(
        PushOutcome.REBRANCHED, (Rebranched(hashes(*ours), hashes(skip)),)
    )


@KINDS
def test_a_normal_block_never_replaces_a_skip_block(opened: OpenChain) -> None:
    """Behaviour 20, the reverse: ignored, but stored, for a macro block could make it win."""
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    skip, normal = fork.skip(), builder.extend(3)
    push_one(chain, skip)

    results = chain.push(normal)
    assert results == tuple(Pushed(PushOutcome.IGNORED, (Stored(block.hash),)) for block in normal)
    assert chain.head.hash == skip.hash


@KINDS
def test_the_earlier_skip_wins_even_when_shorter(opened: OpenChain) -> None:
    builder, store = ChainBuilder(), MemoryStore()
    chain = opened(builder.genesis, store=store)
    fork = builder.fork_from(builder.genesis.hash)
    early = fork.skip()
    ours = (builder.micro(), builder.skip(), builder.micro())
    builder.push_all(chain)

    assert push_one(chain, early) == Pushed(
        PushOutcome.REBRANCHED, (Rebranched(hashes(*ours), hashes(early)),)
    )
    main_chain = [block for _, block in contents(store)[Table.MAIN_CHAIN]]
    assert main_chain == [builder.genesis.hash, early.hash]
    assert outcome(push_one(chain, builder.blocks[0])) is PushOutcome.KNOWN


@KINDS
def test_a_macro_block_makes_an_inferior_branch_win(opened: OpenChain) -> None:
    """Behaviour 20, last part: the skip block was ours, the quorum decided for the others."""
    builder = ChainBuilder()
    chain, there = opened(builder.genesis), opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    ours = (fork.skip(), fork.micro(), fork.micro())
    theirs = (builder.micro([transaction()]), builder.micro(), builder.micro(), builder.macro())
    chain.push(ours)
    chain.push(theirs[:3])
    assert chain.head.hash == ours[-1].hash

    rejected = {block.hash for block in ours}
    result = push_one(chain, theirs[3])
    builder.push_all(there)

    assert isinstance(result, Pushed)
    assert result.outcome is PushOutcome.REBRANCHED
    rebranched, final = result.events
    assert rebranched == Rebranched(hashes(*ours), hashes(*theirs))
    assert isinstance(final, Finalized)
    assert (final.hash, final.number, final.accepted) == (theirs[3].hash, 4, hashes(*theirs))
    assert set(final.rejected) == rejected
    assert not any(map(chain.contains, rejected))
    assert chain.head.hash == there.head.hash


@KINDS
def test_rebranched_store_is_that_of_a_straight_push(opened: OpenChain) -> None:
    builder = ChainBuilder()
    first, second = MemoryStore(), MemoryStore()
    chain, straight = opened(builder.genesis, store=first), opened(builder.genesis, store=second)
    fork = builder.fork_from(builder.genesis.hash)
    fork.micro([transaction(nonce=1)])
    fork.micro([transaction(nonce=2, sender=1, recipient=2)])
    builder.extend(4, [[transaction(nonce=3)], [transaction(nonce=1)], []])
    fork.push_all(chain)

    builder.push_all(chain)
    builder.push_all(straight)
    assert contents(first) == contents(second)


class BlindProducer:
    """Makes empty blocks above any branch, also above one that nobody can execute."""

    def __init__(self, builder: ChainBuilder, *above: Block) -> None:
        self.chain = light_chain(builder.genesis)
        self.chain.push([*builder.blocks, *above])
        assert self.chain.head.hash == above[-1].hash

    def make(self, extra_data: bytes = b"") -> Block:
        parent = self.chain.head
        producer = keys_of(self.chain.validators)[next_owner(self.chain)]
        return signed_micro(parent, producer, diff_root=EMPTY_DIFF.root, extra_data=extra_data)

    def micro(self) -> Block:
        block = self.make()
        assert outcome(push_one(self.chain, block)) is PushOutcome.EXTENDED
        return block


def test_a_failing_branch_is_deleted_and_the_old_one_restored() -> None:
    builder = ChainBuilder()
    store = MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    fork = builder.fork_from(builder.genesis.hash)
    ours = builder.extend(2, [[transaction(nonce=1)], [transaction(nonce=2)]])
    builder.push_all(chain)
    good = fork.micro([transaction(nonce=2)])
    bad = fork.changed(fork.make_micro([transaction(nonce=3)]), state_root=digest("false"))
    child = BlindProducer(fork, bad).make()
    push_one(chain, good)
    before = contents(store)
    assert outcome(push_one(chain, bad)) is PushOutcome.FORKED

    assert push_one(chain, child) == InvalidBlock(BlockError.WRONG_STATE_ROOT, bad.hash)
    assert contents(store) == before
    assert chain.head.hash == ours[-1].hash
    assert [chain.contains(block.hash) for block in (good, bad, child)] == [True, False, False]
    assert push_one(chain, child) == Orphan(bad.hash)
    # What is left is sound: our branch and the good part of theirs both go on.
    better = fork.extend(2)
    assert outcome(chain.push(better)[-1]) is PushOutcome.REBRANCHED


def test_descendants_of_a_failed_block_go_too() -> None:
    builder = ChainBuilder()
    store = MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    fork = builder.fork_from(builder.genesis.hash)
    builder.extend(2)
    builder.push_all(chain)
    before = contents(store)
    bad = fork.changed(fork.make_micro(), history_root=digest("false"))
    blind = BlindProducer(fork, bad)
    twin, child = blind.make(b"twin"), blind.micro()
    stored = chain.push([bad, child, twin])
    assert [outcome(result) for result in stored] == [PushOutcome.FORKED] * 3

    result = push_one(chain, blind.make())
    assert result == InvalidBlock(BlockError.WRONG_HISTORY_ROOT, bad.hash)
    assert contents(store) == before
    assert not any(map(chain.contains, hashes(bad, child, twin)))


def test_an_invalid_block_keeps_the_good_ones_before_it() -> None:
    builder = ChainBuilder()
    store, expected = MemoryStore(), MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    first, second = builder.extend(2, [[transaction(nonce=1)], [transaction(nonce=2)]])
    bad = builder.changed(builder.make_micro([transaction(nonce=3)]), state_root=digest("false"))

    results = chain.push([first, second, bad, builder.make_micro()])
    assert [type(result) for result in results] == [Pushed, Pushed, InvalidBlock]
    open_chain(builder.genesis, store=expected).push([first, second])
    assert contents(store) == contents(expected)


def test_before_commit_sees_each_result_and_can_stop_everything() -> None:
    builder = ChainBuilder()
    store = MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    before = contents(store)
    blocks = builder.extend(2, [[transaction()]])
    seen: list[tuple[int, PushResult, Hash32]] = []

    class Stop(Exception):  # noqa: N818
        pass

    def refuse(index: int, result: PushResult) -> None:
        seen.append((index, result, chain.head.hash))
        if index == 1:
            raise Stop

    with pytest.raises(Stop):
        chain.push(blocks, before_commit=refuse)
    genesis = builder.genesis.hash
    assert seen == [
        (index, Pushed(PushOutcome.EXTENDED, (Extended(block.hash),)), genesis)
        for index, block in enumerate(blocks)
    ]
    assert (contents(store), chain.head.hash) == (before, genesis)
    assert not chain.contains(blocks[0].hash)
    assert len(chain.push(blocks)) == 2


def test_forks_of_one_height_are_bounded() -> None:
    builder = ChainBuilder()
    store = MemoryStore()
    chain = open_chain(builder.genesis, store=store)
    forks = [builder.fork_from(builder.genesis.hash) for _ in range(2 * MAX_BLOCKS_PER_HEIGHT)]
    builder.extend(2)
    builder.push_all(chain)
    for fork in forks:
        assert outcome(push_one(chain, fork.micro())) is PushOutcome.FORKED
        assert chain.contains(fork.head.hash)

    assert len(contents(store)[Table.HEADERS]) == 1 + MAX_BLOCKS_PER_HEIGHT + 1
    assert all(map(chain.is_on_main_chain, hashes(*builder.blocks)))
    # And the network's own choice still wins.
    forks[0].extend(2)
    assert outcome(chain.push(forks[0].blocks)[-1]) is PushOutcome.REBRANCHED


def test_a_block_deleted_in_a_push_is_gone_for_the_rest_of_it() -> None:
    builder = ChainBuilder()
    chain = open_chain(builder.genesis)
    forks = [builder.fork_from(builder.genesis.hash) for _ in range(MAX_BLOCKS_PER_HEIGHT)]
    builder.extend(3)
    builder.push_all(chain)
    *others, last = sorted((fork.micro() for fork in forks), key=lambda block: block.hash)
    chain.push(others)
    first_fork = next(fork for fork in forks if fork.head.hash == others[0].hash)

    results = chain.push([last, first_fork.micro()])
    assert results[1] == Orphan(others[0].hash)
    assert not chain.contains(others[0].hash)


@KINDS
def test_macro_blocks_finalize_batches_and_epochs(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    builder.extend(12)
    results = builder.push_all(chain)

    def events(height: int) -> tuple[object, ...]:
        result = results[height - 1]
        assert isinstance(result, Pushed)
        return result.events

    def accepted(first: int, last: int) -> tuple[Hash32, ...]:
        return hashes(*(builder.block_at(height) for height in range(first, last + 1)))

    last = builder.block_at(12).hash
    assert events(8) == (
        Extended(builder.block_at(8).hash),
        Finalized(builder.block_at(8).hash, 8, accepted(5, 8), ()),
    )
    assert events(12) == (
        Extended(last),
        Finalized(last, 12, accepted(9, 12), ()),
        EpochFinalized(last, 12),
    )
    assert chain.election_head.hash == chain.macro_head.hash == last
    assert chain.validators == chain.election_head.next_validators


@KINDS
def test_closed_branches_are_rejected_and_deleted(opened: OpenChain) -> None:
    builder = ChainBuilder()
    first, second = MemoryStore(), MemoryStore()
    chain = opened(builder.genesis, store=first)
    low = builder.fork_from(builder.genesis.hash)
    low.extend(2)
    builder.extend(3)
    high = builder.fork_from(builder.block_at(2).hash)
    high.micro([transaction()])
    builder.macro()
    chain.push(builder.blocks[:3])
    chain.push(low.blocks)
    push_one(chain, high.blocks[2])

    result = push_one(chain, builder.block_at(4))
    assert isinstance(result, Pushed)
    final = result.events[1]
    assert isinstance(final, Finalized)
    assert final.rejected == hashes(*low.blocks, high.blocks[2])
    builder.push_all(opened(builder.genesis, store=second))
    assert contents(first) == contents(second)
