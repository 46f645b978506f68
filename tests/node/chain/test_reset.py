"""A chain without state back at its genesis."""

import pytest

from node.chain.chain import Chain
from node.chain.results import Orphan, Pushed, PushOutcome
from node.storage.memory import MemoryStore
from tests.build.chain import ChainBuilder, contents, light_chain, open_chain, push_one
from tests.build.keys import SMALL_POLICY
from tests.build.macro_sync import BATCH, EPOCH, LONGEST, chain_of, changed


def builder() -> ChainBuilder:
    return chain_of(LONGEST)


def reset(chain: Chain) -> None:
    """Reset a chain and check that it is as if it had only just been made."""
    chain.reset_to_genesis()
    fresh = MemoryStore()
    light_chain(builder().genesis, store=fresh)
    assert contents(chain._store) == contents(fresh)
    genesis = builder().genesis.block().header
    assert chain.head == chain.macro_head == chain.election_head == genesis
    assert chain.validators == genesis_validators()


def genesis_validators() -> object:
    return light_chain(builder().genesis).validators


@pytest.mark.parametrize("height", [0, 1, BATCH, BATCH + 1, EPOCH, 2 * EPOCH + BATCH + 1])
def test_what_was_pushed_is_gone(height: int) -> None:
    chain = light_chain(builder().genesis)
    chain.push(builder().blocks[:height])
    assert chain.head.number == height

    reset(chain)

    for block in builder().blocks[:height]:
        assert chain.header(block.hash) is None
        assert chain.block(block.hash, with_body=False) is None
        assert chain.hash_at(block.number) is None


def test_what_was_adopted_on_trust_is_gone() -> None:
    chain = light_chain(builder().genesis)
    trusted = builder().block_at(3 * EPOCH)
    checkpoint = builder().block_at(3 * EPOCH + BATCH)
    chain.adopt_macro_blocks([trusted.without_body()], is_trusted=True)
    chain.adopt_macro_blocks([checkpoint.without_body()])
    chain.push(builder().blocks[checkpoint.number :][:2])
    assert chain.head.number == checkpoint.number + 2

    reset(chain)

    assert chain.hash_at(trusted.number) is None


def test_branches_that_lost_are_gone() -> None:
    chain = light_chain(builder().genesis)
    fork = builder().fork_from(builder().genesis.hash)
    skip = fork.skip()
    push_one(chain, builder().block_at(1))
    push_one(chain, skip)
    push_one(chain, builder().block_at(2))

    reset(chain)

    assert chain.header(skip.hash) is None


def test_the_true_chain_is_taken_afterwards() -> None:
    chain = light_chain(builder().genesis)
    forged = changed(builder().block_at(2 * EPOCH), extra_data=b"lie").without_body()
    (result,) = chain.adopt_macro_blocks([forged], is_trusted=True)
    assert isinstance(result, Pushed)
    true = [builder().block_at(number * EPOCH).without_body() for number in (1, 2, 3)]
    # At this height the forged block is final.
    assert chain.adopt_macro_blocks(true[:1]) == (Pushed(PushOutcome.IGNORED),)

    reset(chain)

    results = chain.adopt_macro_blocks(true)
    assert [result.outcome for result in results if isinstance(result, Pushed)] == (
        [PushOutcome.EXTENDED] * 3
    )
    above = builder().block_at(3 * EPOCH + 1)
    assert isinstance(push_one(chain, above), Pushed)
    assert chain.head.hash == above.hash


def test_pushes_above_what_is_gone_are_orphans() -> None:
    chain = light_chain(builder().genesis)
    chain.push(builder().blocks[: EPOCH + 1])

    reset(chain)

    assert isinstance(push_one(chain, builder().block_at(EPOCH + 2)), Orphan)
    assert isinstance(push_one(chain, builder().block_at(1)), Pushed)


def test_trust_is_as_at_the_beginning() -> None:
    chain = light_chain(builder().genesis)
    election = builder().block_at(2 * EPOCH).without_body()
    chain.adopt_macro_blocks([election], is_trusted=True)

    reset(chain)

    (result,) = chain.adopt_macro_blocks([election], is_trusted=True)
    assert isinstance(result, Pushed)
    assert chain.election_head.hash == election.hash


def test_it_outlasts_a_restart() -> None:
    store = MemoryStore()
    chain = light_chain(builder().genesis, store=store)
    chain.push(builder().blocks[: 2 * EPOCH + 2])
    reset(chain)
    before = contents(store)

    again = light_chain(builder().genesis, store=store)

    assert again.head == builder().genesis.block().header
    assert contents(store) == before
    again.push(builder().blocks)
    whole = MemoryStore()
    light_chain(builder().genesis, store=whole).push(builder().blocks)
    assert contents(store) == contents(whole)


def test_readers_keep_what_they_have_begun_with() -> None:
    chain = light_chain(builder().genesis)
    chain.push(builder().blocks[:EPOCH])
    with chain.snapshot() as snapshot:
        chain.reset_to_genesis()
        assert snapshot.hash_at(EPOCH) == builder().block_at(EPOCH).hash
    assert chain.hash_at(EPOCH) is None


def test_a_chain_with_state_has_no_use_for_it() -> None:
    chain = open_chain(builder().genesis)
    chain.push(builder().blocks[: SMALL_POLICY.batch_length])
    with pytest.raises(AssertionError):
        chain.reset_to_genesis()
    assert chain.head.number == SMALL_POLICY.batch_length
