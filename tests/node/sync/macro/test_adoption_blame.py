"""Whose fault it is that a batch is refused."""

import pytest

from node.chain.results import BlockError, InvalidBlock
from node.sync.macro.adoption_blame import Blame, judge
from tests.build.blocks import digest

MACRO, MICRO = digest("macro"), digest("micro")


@pytest.mark.parametrize(
    ("error", "below", "inside", "target"),
    [
        (BlockError.FROM_FUTURE, Blame.CLOCK, Blame.CLOCK, Blame.CLOCK),
        (BlockError.WRONG_BODY_ROOT, Blame.MISSING_BODY, Blame.NOBODY, Blame.NOBODY),
        (BlockError.WRONG_STATE_ROOT, Blame.NOBODY, Blame.NOBODY, Blame.NOBODY),
        (BlockError.WRONG_REWARDS, Blame.NOBODY, Blame.NOBODY, Blame.NOBODY),
        (BlockError.INSUFFICIENT_FUNDS, Blame.NOBODY, Blame.NOBODY, Blame.NOBODY),
        (BlockError.NO_QUORUM, Blame.HEADERS, Blame.BATCH_SET, Blame.BATCH_SET),
        (BlockError.WRONG_PRODUCER, Blame.HEADERS, Blame.BATCH_SET, Blame.BATCH_SET),
        (BlockError.WRONG_TYPE, Blame.HEADERS, Blame.BATCH_SET, Blame.BATCH_SET),
        (BlockError.WRONG_ROUND, Blame.HEADERS, Blame.BATCH_SET, Blame.BATCH_SET),
        (BlockError.WRONG_HISTORY_ROOT, Blame.BATCH_SET, Blame.BATCH_SET, Blame.BATCH_SET),
        (BlockError.WRONG_TIMESTAMP, Blame.BATCH_SET, Blame.BATCH_SET, Blame.CLAIM),
        (BlockError.WRONG_VALIDATORS, Blame.BATCH_SET, Blame.BATCH_SET, Blame.CLAIM),
        (BlockError.WRONG_PARENT_ELECTION, Blame.BATCH_SET, Blame.BATCH_SET, Blame.CLAIM),
    ],
)
def test_blame(error: BlockError, below: Blame, inside: Blame, target: Blame) -> None:
    """Of a micro block, of a macro block on the way, of the one that is claimed."""
    found = [
        judge(InvalidBlock(error, MICRO), MACRO, is_target=False),
        judge(InvalidBlock(error, MACRO), MACRO, is_target=False),
        judge(InvalidBlock(error, MACRO), MACRO, is_target=True),
    ]
    assert found == [below, inside, target]
