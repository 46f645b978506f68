"""Whose fault it is that the chain refuses a batch of a history sync.

The chain looks at the quorum first. So an error below the macro block means that a quorum has
signed it: headers, transactions and bodies hang from its hash, and what does not is the signature
below each header, and what the batch set says of the history's length.
"""

from enum import Enum
from typing import Final

from node.chain.results import BlockError, InvalidBlock
from protocols.types import Hash32


class Blame(Enum):
    """Who has to be blamed."""

    MISSING_BODY = "missing_body"
    """Nobody: a body holds more than transactions, and is to be fetched whole."""
    CLOCK = "clock"
    """One of two clocks is wrong, and it may be ours: later it may be right."""
    NOBODY = "nobody"
    """No peer can cause this."""
    HEADERS = "headers"
    """Who has sent the headers."""
    BATCH_SET = "batch_set"
    """Who has sent the batch set."""
    CLAIM = "claim"
    """All who claim the target: no other answer makes it right."""


_UNPROVEN: Final = frozenset(
    {
        BlockError.WRONG_TYPE,
        BlockError.WRONG_PRODUCER,
        BlockError.WRONG_ROUND,
        BlockError.NO_QUORUM,
    }
)
"""Errors in the justification of a block, which its hash does not cover."""

_IN_OUR_STATE: Final = frozenset(
    {
        BlockError.WRONG_BODY_ROOT,
        BlockError.WRONG_REWARDS,
        BlockError.WRONG_DIFF_ROOT,
        BlockError.WRONG_STATE_ROOT,
        BlockError.INSUFFICIENT_FUNDS,
    }
)
"""Errors that are found when all that peers have sent is proven."""


def judge(result: InvalidBlock, macro: Hash32, *, is_target: bool) -> Blame:
    """Find out whose fault it is.

    Args:
        result: What the chain said.
        macro: Hash of the batch's macro block.
        is_target: Whether that is the block that the cluster claims.
    """
    error, is_macro = result.error, result.hash == macro
    if error is BlockError.FROM_FUTURE:
        return Blame.CLOCK
    if error is BlockError.WRONG_BODY_ROOT and not is_macro:
        return Blame.MISSING_BODY
    if error in _IN_OUR_STATE:
        return Blame.NOBODY
    if error in _UNPROVEN:
        return Blame.BATCH_SET if is_macro else Blame.HEADERS
    if is_macro and is_target and error is not BlockError.WRONG_HISTORY_ROOT:
        return Blame.CLAIM
    return Blame.BATCH_SET
