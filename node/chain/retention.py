"""Which blocks a node keeps, by its profile.

              below the line        from the line on                    the line
    ALL       -                     everything                          genesis
    WINDOW    election headers      whole blocks                        a validity window down
    BATCH     election headers      headers                             the batch before

The line is a macro block, counted down from the macro head. Each election block stays, with its
justification: they prove the chain to whoever starts from genesis. A `BATCH` node keeps one batch
more than it needs: peers that are a block behind when a batch ends ask about it and know it as
their newest one.
"""

from enum import Enum
from typing import Final

from node.policy import Policy
from protocols.types import Height

STATE_BATCHES: Final = 4
"""Batches below the macro head whose states stay provable: whoever fetches the state of a macro
block has that long before it must move on to a newer one."""

CHANGES_BATCHES: Final = STATE_BATCHES + 1
"""Batches below the macro head in which somebody may still have what a block has changed: peers
that are a block behind when a batch ends have one batch more than we."""


class Retention(Enum):
    """How much of the chain stays stored."""

    ALL = "all"
    WINDOW = "window"
    BATCH = "batch"

    @property
    def has_bodies(self) -> bool:
        """Whether blocks are stored with their bodies."""
        return self is not Retention.BATCH

    def line_below(self, macro_head: Height, policy: Policy) -> Height:
        """Return the height of the macro block from which on blocks are kept."""
        match self:
            case Retention.ALL:
                return 0
            case Retention.WINDOW:
                return max(macro_head - policy.validity_window_blocks, 0)
            case Retention.BATCH:
                return policy.macro_before(macro_head)
