"""What an answer to a missing-blocks request must be; the rest is in the tests of who asks."""

from dataclasses import dataclass, replace

from node.blocks.header import MacroHeader, MicroHeader
from node.sync.answers import (
    BLOCK_OVERHEAD_BYTES,
    Expected,
    ends_unproven,
    is_sound,
    locators_of,
)
from protocols.limits import MAX_LOCATORS, MAX_RESPONSE_BYTES
from protocols.types import Hash32
from tests.build.blocks import digest, macro_header, micro_header
from tests.build.chain import open_chain
from tests.build.keys import SMALL_POLICY
from tests.build.sync import branch, short_batches

BLOCKS = tuple(short_batches(20).blocks)
EXPECTED = Expected(
    target=BLOCKS[5].hash,
    locators=(short_batches(20).genesis.hash,),
    above=0,
    include_body=True,
)


def test_answer_up_to_the_macro_block_is_sound_and_unproven() -> None:
    assert is_sound(BLOCKS[:4], 1000, EXPECTED, SMALL_POLICY)
    assert ends_unproven(BLOCKS[:4], EXPECTED)


def test_answer_up_to_the_target_needs_no_proof() -> None:
    expected = replace(EXPECTED, target=BLOCKS[3].hash)

    assert is_sound(BLOCKS[:4], 1000, expected, SMALL_POLICY)
    assert not ends_unproven(BLOCKS[:4], expected)
    assert not ends_unproven(BLOCKS[:2], replace(EXPECTED, target=BLOCKS[1].hash))


def test_answer_may_end_early_only_when_it_is_full() -> None:
    full = MAX_RESPONSE_BYTES - SMALL_POLICY.max_body_bytes - BLOCK_OVERHEAD_BYTES

    assert not is_sound(BLOCKS[:2], full, EXPECTED, SMALL_POLICY)
    assert is_sound(BLOCKS[:2], full + 1, EXPECTED, SMALL_POLICY)
    headers = tuple(block.without_body() for block in BLOCKS[:2])
    light = replace(EXPECTED, include_body=False)
    assert not is_sound(headers, full + 1, light, SMALL_POLICY)


def test_answer_must_get_further() -> None:
    assert is_sound(BLOCKS[:4], 1000, replace(EXPECTED, above=3), SMALL_POLICY)
    assert not is_sound(BLOCKS[:4], 1000, replace(EXPECTED, above=4), SMALL_POLICY)


def test_numbers_must_follow_each_other() -> None:
    jump = replace(BLOCKS[1], header=replace(BLOCKS[1].header, number=3))

    assert not is_sound((BLOCKS[0], jump), 1000, replace(EXPECTED, target=jump.hash), SMALL_POLICY)


def test_nothing_follows_the_target_or_a_macro_block() -> None:
    beyond_target = replace(EXPECTED, target=BLOCKS[1].hash)
    across_macro = replace(EXPECTED, locators=(BLOCKS[1].hash,))

    assert not is_sound(BLOCKS[:4], 1000, beyond_target, SMALL_POLICY)
    assert not is_sound(BLOCKS[2:6], 1000, across_macro, SMALL_POLICY)


def test_more_than_a_batch_is_refused() -> None:
    long = tuple(branch(20).blocks[:5])
    expected = replace(EXPECTED, target=long[-1].hash, locators=(branch(20).genesis.hash,))

    assert is_sound(long, 1000, expected, branch(20).chain.policy)
    assert not is_sound(long, 1000, expected, SMALL_POLICY)


def test_locators_are_bounded_and_keep_the_macro_block() -> None:
    chain = open_chain(short_batches(20).genesis)
    assert locators_of(chain) == (chain.genesis,)

    short_batches(20).push_all(chain)

    assert locators_of(chain) == (BLOCKS[19].hash,)


@dataclass
class LongBatch:
    """The part of a chain view that locators come from, in a batch longer than they may be."""

    @property
    def head(self) -> MicroHeader:
        return micro_header(number=400)

    @property
    def macro_head(self) -> MacroHeader:
        return macro_header(number=0)

    def hash_at(self, height: int) -> Hash32:
        return digest(str(height))


def test_locators_of_a_long_batch_are_the_newest_and_the_macro_block() -> None:
    chain = LongBatch()

    found = locators_of(chain)  # type: ignore[arg-type]

    assert len(found) == MAX_LOCATORS
    assert found[:2] == (digest("400"), digest("399"))
    assert found[-1] == chain.macro_head.hash
