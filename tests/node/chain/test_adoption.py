"""Macro blocks without what lies between them."""

from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import QuorumSignature
from node.blocks.validators import SignerSet, Validators
from node.chain.block_store import load_block
from node.chain.chain import Chain
from node.chain.results import (
    BlockError,
    EpochFinalized,
    Extended,
    Finalized,
    InvalidBlock,
    Orphan,
    Pushed,
    PushOutcome,
)
from node.storage.memory import MemoryStore
from node.storage.store import Table
from tests.build.blocks import digest, justify
from tests.build.chain import ChainBuilder, contents, light_chain, push_one
from tests.build.keys import GENESIS_TIMESTAMP, SMALL_POLICY, validators

LENGTH = SMALL_POLICY.epoch_length


@cache
def long_branch() -> ChainBuilder:
    """Three epochs, a checkpoint and two blocks above it. Nobody adds to it."""
    builder = ChainBuilder()
    builder.extend(3 * LENGTH + 6)
    return builder


def at(*heights: int) -> list[Block]:
    return [long_branch().block_at(height) for height in heights]


def new_chain(store: MemoryStore | None = None) -> Chain:
    return light_chain(long_branch().genesis, store=store)


def resigned(block: Block, **fields: Any) -> Block:
    """Return a macro block with other header fields, signed by those who have signed it."""
    assert isinstance(block.header, MacroHeader)
    header = replace(block.header, **fields)
    members = validators_at(block.number)
    return Block(header, justify(header, members), None)


def validators_at(height: int) -> Validators:
    election = SMALL_POLICY.election_before(height)
    builder = long_branch()
    header = builder.genesis.block().header if election == 0 else builder.block_at(election).header
    assert isinstance(header, MacroHeader)
    assert header.next_validators is not None
    return header.next_validators


def error_of(chain: Chain, block: Block, *, is_trusted: bool = False) -> BlockError:
    before = contents(chain._store)
    (result,) = chain.adopt_macro_blocks([block], is_trusted=is_trusted)
    assert isinstance(result, InvalidBlock), result
    assert result.hash == block.hash
    assert contents(chain._store) == before
    return result.error


def unsigned(block: Block) -> Block:
    return replace(block, justification=QuorumSignature(0, bytes(96), SignerSet(0)))


def test_elections_then_a_checkpoint() -> None:
    chain, blocks = new_chain(), at(12, 24, 36, 40)
    results = chain.adopt_macro_blocks(blocks)

    assert results == tuple(
        Pushed(
            PushOutcome.EXTENDED,
            (
                Finalized(block.hash, block.number, (block.hash,), ()),
                *([EpochFinalized(block.hash, block.number)] if block.number % 12 == 0 else []),
            ),
        )
        for block in blocks
    )
    assert chain.head == chain.macro_head == blocks[-1].header
    assert chain.election_head == blocks[2].header
    assert chain.validators == chain.election_head.next_validators


@pytest.mark.parametrize("heights", [(12,), (4,), (8, 12, 24), (12, 16), (12, 24, 36, 40)])
def test_blocks_go_on_above_them(heights: tuple[int, ...]) -> None:
    store = MemoryStore()
    chain = new_chain(store)
    chain.adopt_macro_blocks(at(*heights))
    again = new_chain(store)
    assert (again.head, again.election_head) == (chain.head, chain.election_head)
    for each in (chain, again):
        (orphan,) = each.push(at(heights[-1] + 2))
        assert isinstance(orphan, Orphan)
    assert all(isinstance(each, Pushed) for each in again.push(long_branch().blocks))
    assert again.head == long_branch().head


def test_what_lies_between_is_not_there() -> None:
    chain = new_chain()
    chain.adopt_macro_blocks(at(24, 36), is_trusted=True)

    heights = [height for height in range(50) if chain.hash_at(height) is not None]
    assert heights == [0, 24, 36]
    for height in heights[1:]:
        assert chain.is_on_main_chain(long_branch().block_at(height).hash)
    assert not chain.contains(long_branch().block_at(12).hash)


def test_bodies_are_not_stored() -> None:
    store = MemoryStore()
    new_chain(store).adopt_macro_blocks(at(12))
    assert contents(store)[Table.BODIES] == ()


def test_known_and_lower_blocks_change_nothing() -> None:
    store = MemoryStore()
    chain = new_chain(store)
    chain.adopt_macro_blocks(at(12, 24))
    before = contents(store)
    assert chain.adopt_macro_blocks(at(12, 24, 20)) == (
        Pushed(PushOutcome.KNOWN),
        Pushed(PushOutcome.KNOWN),
        Pushed(PushOutcome.IGNORED),
    )
    assert contents(store) == before


def test_the_batch_under_way_goes() -> None:
    """Its blocks may or may not be below the new macro head: that is not known."""
    store = MemoryStore()
    chain = new_chain(store)
    chain.push(long_branch().blocks[:6])
    fork = long_branch().fork_from(long_branch().block_at(5).hash)
    push_one(chain, fork.micro())
    (result,) = chain.adopt_macro_blocks(at(12))

    assert isinstance(result, Pushed)
    assert result.events[0] == Finalized(chain.head.hash, 12, (chain.head.hash,), ())
    assert [chain.hash_at(height) is None for height in (5, 6)] == [True, True]
    for block in (*at(5, 6), fork.blocks[-1]):
        assert not chain.contains(block.hash)
    straight = MemoryStore()
    other = new_chain(straight)
    other.push(long_branch().blocks[:4])
    other.adopt_macro_blocks(at(12))
    assert contents(store) == contents(straight)


def test_branches_that_are_known_to_lose_are_rejected() -> None:
    chain = new_chain()
    fork = long_branch().fork_from(long_branch().block_at(1).hash)
    fork.extend(2)
    chain.push(long_branch().blocks[:3])
    chain.push(fork.blocks[1:])
    (result,) = chain.adopt_macro_blocks(at(4))

    assert isinstance(result, Pushed)
    (final,) = result.events
    assert isinstance(final, Finalized)
    assert final.rejected == tuple(block.hash for block in fork.blocks[1:])
    assert not any(chain.contains(block.hash) for block in (*at(1, 2, 3), *fork.blocks))


def test_only_what_is_above_the_oldest_known_ancestor_is_known_to_lose() -> None:
    chain = new_chain()
    chain.push(long_branch().blocks[:2])
    (result,) = chain.adopt_macro_blocks(at(4))
    assert isinstance(result, Pushed)
    assert result.events == (Finalized(chain.head.hash, 4, (chain.head.hash,), ()),)


@pytest.mark.parametrize(
    ("adopted", "height", "error"),
    [
        ((), 24, BlockError.WRONG_PARENT_ELECTION),
        ((), 16, BlockError.WRONG_PARENT_ELECTION),
        ((12,), 36, BlockError.WRONG_PARENT_ELECTION),
        ((), 5, BlockError.WRONG_TYPE),
    ],
)
def test_blocks_out_of_turn(adopted: tuple[int, ...], height: int, error: BlockError) -> None:
    chain = new_chain()
    chain.adopt_macro_blocks(at(*adopted))
    assert error_of(chain, *at(height)) == error


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"network": 9}, BlockError.WRONG_NETWORK),
        ({"version": 9}, BlockError.WRONG_VERSION),
        ({"number": 13}, BlockError.WRONG_TYPE),
        ({"number": 16}, BlockError.WRONG_VALIDATORS),
        ({"number": 24}, BlockError.WRONG_NUMBER),
        ({"validators": None}, BlockError.WRONG_VALIDATORS),
        ({"validators": validators(3).members}, BlockError.WRONG_VALIDATORS),
        ({"timestamp": 2**47}, BlockError.FROM_FUTURE),
        ({"timestamp": 0}, BlockError.WRONG_TIMESTAMP),
        ({"parent_election": digest("x")}, BlockError.WRONG_PARENT_ELECTION),
        ({"seed": b"\x02" * 80}, BlockError.WRONG_SEED),
        ({"round": 1}, BlockError.WRONG_ROUND),
        ({"punished": SignerSet(1)}, BlockError.WRONG_PUNISHED_SET),
    ],
)
def test_wrong_election_blocks(fields: dict[str, Any], error: BlockError) -> None:
    (block,) = at(12)
    assert error_of(new_chain(), resigned(block, **fields)) == error


def test_punished_slots_must_exist() -> None:
    (checkpoint,) = at(4)
    wrong = resigned(checkpoint, punished=SignerSet(1 << 12))
    assert error_of(new_chain(), wrong) == BlockError.WRONG_PUNISHED_SET
    good = resigned(checkpoint, punished=SignerSet(1 << 11))
    assert isinstance(new_chain().adopt_macro_blocks([good])[0], Pushed)


def test_time_may_stand_still() -> None:
    (checkpoint,) = at(4)
    (result,) = new_chain().adopt_macro_blocks([resigned(checkpoint, timestamp=GENESIS_TIMESTAMP)])
    assert isinstance(result, Pushed)


def test_blocks_without_a_quorum() -> None:
    (block,) = at(12)
    proof = block.justification
    assert isinstance(proof, QuorumSignature)
    for wrong in (replace(proof, signers=SignerSet(1)), replace(proof, signature=bytes(96))):
        assert error_of(new_chain(), replace(block, justification=wrong)) == BlockError.NO_QUORUM


@pytest.mark.parametrize("place", range(4))
def test_each_block_of_a_lot_needs_its_quorum(place: int) -> None:
    chain, blocks = new_chain(), list(at(12, 24, 36, 40))
    blocks[place] = unsigned(blocks[place])
    results = chain.adopt_macro_blocks(blocks)
    assert [type(result) for result in results] == [*[Pushed] * place, InvalidBlock]
    assert results[-1] == InvalidBlock(BlockError.NO_QUORUM, blocks[place].hash)


def test_a_true_quorum_does_not_speak_for_a_forged_copy() -> None:
    (block,) = at(12)
    (result,) = new_chain().adopt_macro_blocks([unsigned(block), block])
    assert result == InvalidBlock(BlockError.NO_QUORUM, block.hash)

    store = MemoryStore()
    new_chain(store).adopt_macro_blocks([block, unsigned(block)])
    with store.read() as reader:
        assert load_block(reader, block.hash) == block.without_body()


def test_what_comes_before_an_error_is_adopted() -> None:
    store = MemoryStore()
    chain = new_chain(store)
    wrong = resigned(*at(24), timestamp=0)
    results = chain.adopt_macro_blocks([*at(12), wrong, *at(24)])
    assert [type(result) for result in results] == [Pushed, InvalidBlock]
    assert chain.head == new_chain(store).head == at(12)[0].header


def test_the_first_election_on_trust() -> None:
    store = MemoryStore()
    chain = new_chain(store)
    (election,) = at(24)
    chain.adopt_macro_blocks([unsigned(election), *at(28)], is_trusted=True)
    assert chain.head == at(28)[0].header
    assert new_chain(store).election_head == election.header
    assert isinstance(push_one(new_chain(store), *at(29)), Pushed)


def test_trust_is_for_the_first_election_above_genesis_only() -> None:
    chain = new_chain()
    assert error_of(chain, *at(16), is_trusted=True) == BlockError.WRONG_VALIDATORS
    results = chain.adopt_macro_blocks(at(12, 36), is_trusted=True)
    assert isinstance(results[-1], InvalidBlock)
    assert error_of(chain, *at(36), is_trusted=True) == BlockError.WRONG_PARENT_ELECTION


def test_trust_does_not_reach_beyond_the_quorum() -> None:
    (election,) = at(24)
    wrong_fields: list[tuple[dict[str, Any], BlockError]] = [
        ({"seed": b"\x02" * 80}, BlockError.WRONG_SEED),
        ({"validators": validators(3).members}, BlockError.WRONG_VALIDATORS),
        ({"network": 9}, BlockError.WRONG_NETWORK),
    ]
    for fields, error in wrong_fields:
        wrong = resigned(election, **fields)
        assert error_of(new_chain(), wrong, is_trusted=True) == error


def test_pushes_finalise_above_adopted_blocks() -> None:
    chain = new_chain()
    chain.adopt_macro_blocks(at(12))
    *_, last = chain.push(long_branch().blocks[12:16])
    assert isinstance(last, Pushed)
    hashes = tuple(block.hash for block in at(13, 14, 15, 16))
    assert last.events == (Extended(hashes[-1]), Finalized(hashes[-1], 16, hashes, ()))
