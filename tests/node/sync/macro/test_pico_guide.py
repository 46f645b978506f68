"""What the answers of a Pico's guide mean."""

import pytest

from node.chain.chain import Chain
from node.chain.results import BlockError, InvalidBlock, Pushed, PushOutcome, PushResult
from node.sync.macro.heads import Step
from node.sync.macro.pico_guide import Outcome, read_adoption
from tests.build.macro_sync import EPOCH, chain_of, target_of

BLOCK = chain_of(2 * EPOCH).block_at(EPOCH)
STEP = Step(target_of(BLOCK))
BELOW = chain_of(EPOCH - 1).chain
AT = chain_of(EPOCH).chain


@pytest.mark.parametrize(
    ("result", "chain", "outcome"),
    [
        (Pushed(PushOutcome.EXTENDED), AT, Outcome.ADOPTED),
        (Pushed(PushOutcome.KNOWN), AT, Outcome.OVERTAKEN),
        (Pushed(PushOutcome.IGNORED), AT, Outcome.OVERTAKEN),
        (InvalidBlock(BlockError.NO_QUORUM, BLOCK.hash), AT, Outcome.OVERTAKEN),
        (InvalidBlock(BlockError.NO_QUORUM, BLOCK.hash), BELOW, Outcome.LIE),
        (InvalidBlock(BlockError.FROM_FUTURE, BLOCK.hash), BELOW, Outcome.FAILED),
    ],
)
def test_adoption_by_what_the_chain_has_by_now(
    result: PushResult, chain: Chain, outcome: Outcome
) -> None:
    """Only what brought us forward counts for the guide, and only what is new against it."""
    assert read_adoption(result, STEP, chain) is outcome
