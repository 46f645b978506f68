"""Equivocations: when two signed micro blocks of one height prove that their producer is faulty."""

from collections.abc import Callable

import pytest

from node.blocks.body import MicroBody
from node.chain.chain import Chain
from node.chain.equivocation import equivocation_between
from node.chain.results import EquivocationFound, Pushed, PushOutcome, Rebranched, Stored
from tests.build.chain import ChainBuilder, light_chain, open_chain, push_one
from tests.build.keys import genesis
from tests.build.turns import next_owner

OpenChain = Callable[..., Chain]
KINDS = pytest.mark.parametrize("opened", [open_chain, light_chain], ids=["full", "light"])


@KINDS
def test_two_signed_blocks_of_one_height_are_an_equivocation(opened: OpenChain) -> None:
    """Behaviour 23: the proof is emitted, the block is processed as usual."""
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    ours, theirs = builder.micro(), fork.micro()
    push_one(chain, ours)

    result = push_one(chain, theirs)
    assert isinstance(result, Pushed)
    assert result.outcome is PushOutcome.FORKED
    stored, found = result.events
    assert stored == Stored(theirs.hash)
    assert isinstance(found, EquivocationFound)
    proof = found.proof
    assert [proof.header1.hash, proof.header2.hash] == sorted([ours.hash, theirs.hash])
    # It is good enough for the next block.
    block = builder.micro(equivocation_proofs=[proof])
    carried = push_one(chain, block)
    assert isinstance(carried, Pushed)
    assert carried.outcome is PushOutcome.EXTENDED
    assert isinstance(block.body, MicroBody)


@KINDS
def test_two_producers_of_one_height_are_no_equivocation(opened: OpenChain) -> None:
    """After a skip block another seed chooses another slot: both may sign the height."""
    builder = ChainBuilder()
    fork = builder.fork_from(builder.genesis.hash)
    fork.skip()
    builder.micro()
    owners = [next_owner(each.chain) for each in (builder, fork)]
    assert owners[0] != owners[1], "chosen keys: the draw is the same in every run"
    builder.micro()
    fork.micro()
    chain = opened(builder.genesis)
    builder.push_all(chain)

    _, result = fork.push_all(chain)
    assert isinstance(result, Pushed)
    assert not any(isinstance(event, EquivocationFound) for event in result.events)


@KINDS
def test_two_turns_of_one_producer_at_one_height_are_no_equivocation(opened: OpenChain) -> None:
    """It signs above a late block, then above the skip block that replaced it: both are right."""
    builder = ChainBuilder(genesis(1))
    fork = builder.fork_from(builder.genesis.hash)
    fork.skip()
    builder.micro()
    ours, theirs = builder.micro(), fork.micro()
    assert next_owner(builder.chain) == next_owner(fork.chain)
    chain = opened(builder.genesis)
    builder.push_all(chain)

    _, result = fork.push_all(chain)

    assert isinstance(result, Pushed)
    assert not any(isinstance(event, EquivocationFound) for event in result.events)
    assert equivocation_between(ours, theirs) is None


@KINDS
def test_a_skip_block_beside_a_micro_block_is_no_equivocation(opened: OpenChain) -> None:
    builder = ChainBuilder()
    chain = opened(builder.genesis)
    fork = builder.fork_from(builder.genesis.hash)
    push_one(chain, builder.micro())

    result = push_one(chain, fork.skip())
    assert isinstance(result, Pushed)
    assert [type(event) for event in result.events] == [Rebranched]
