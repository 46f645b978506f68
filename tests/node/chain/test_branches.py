"""Proposals above a stored block that is not the head."""

from dataclasses import replace

from node.blocks.block import Block
from node.blocks.header import MicroHeader
from node.chain.chain import Chain
from node.chain.results import BlockError, Pushed
from node.storage.memory import MemoryStore
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, contents, open_chain


def twins(common: int = 1) -> tuple[ChainBuilder, ChainBuilder]:
    """Return two branches of one producer's making, above which a macro block comes next."""
    builder = ChainBuilder()
    builder.extend(common)
    fork = builder.fork_from(builder.head.hash)
    left = 3 - common
    builder.extend(left, [[transaction(nonce=nonce, value=nonce)] for nonce in range(1, left + 1)])
    fork.extend(left, [[transaction(nonce=nonce, value=50)] for nonce in range(2, left + 2)])
    return builder, fork


def holding(*branches: ChainBuilder) -> Chain:
    """Return a chain that has seen these branches, the first of them first."""
    chain = open_chain(branches[0].genesis)
    for branch in branches:
        assert all(isinstance(result, Pushed) for result in branch.push_all(chain))
    return chain


def check(chain: Chain, proposed: Block) -> BlockError | None:
    assert proposed.body is not None
    return chain.check_proposal(proposed.header, proposed.body)


def test_a_proposal_above_an_equal_block_is_executed_there() -> None:
    """Half of the validators have one head, half the other: each can vote for both blocks."""
    for common in (0, 1, 2):
        ours, theirs = twins(common)
        chain = holding(ours, theirs)
        assert chain.head.hash == ours.head.hash

        assert check(chain, ours.make_macro()) is None
        assert check(chain, theirs.make_macro()) is None
        wrong = theirs.changed(theirs.make_macro(), state_root=digest("wrong"))
        assert check(chain, wrong) is BlockError.WRONG_STATE_ROOT


def test_checking_changes_nothing() -> None:
    ours, theirs = twins()
    store = MemoryStore()
    chain = open_chain(ours.genesis, store=store)
    for branch in (ours, theirs):
        branch.push_all(chain)
    before = contents(store)

    assert check(chain, theirs.make_macro()) is None
    assert contents(store) == before


def test_skips_count_on_the_branch_that_has_them() -> None:
    """A skip block below the fork point and one above it, on both sides."""
    builder = ChainBuilder()
    builder.skip()
    fork = builder.fork_from(builder.head.hash)
    for branch in (builder, fork):
        branch.micro()
    builder.skip()
    fork.skip()
    chain = holding(builder, fork)
    proposed = fork.make_macro()

    assert check(chain, proposed) is None
    assert check(chain, fork.changed(proposed, punished=builder.chain.macro_head.punished)) is (
        BlockError.WRONG_PUNISHED_SET
    )


def test_a_proposal_above_what_is_not_stored_or_loses_is_refused() -> None:
    ours, theirs = twins()
    assert check(holding(ours), theirs.make_macro()) is BlockError.WRONG_PARENT

    skipped = ours.fork_from(ours.block_at(1).hash)
    skipped.skip()
    skipped.micro()
    chain = holding(skipped, theirs)
    assert chain.contains(theirs.head.hash)
    assert check(chain, theirs.make_macro()) is BlockError.WRONG_PARENT


def test_a_branch_that_breaks_a_rule_is_not_built_upon() -> None:
    """A fork is stored unexecuted: here its newest block promises a state that is not reached."""
    ours, theirs = twins(2)
    proposed = theirs.make_macro()
    honest = theirs.blocks.pop()
    assert isinstance(honest.header, MicroHeader)
    below = ours.fork_from(honest.parent_hash)
    bad = below.signed_micro(replace(honest.header, state_root=digest("wrong")), honest.body)
    chain = holding(ours)
    (stored,) = chain.push([bad])
    assert isinstance(stored, Pushed)

    above = theirs.changed(proposed, parent_hash=bad.hash)
    assert check(chain, above) is BlockError.WRONG_STATE_ROOT
