"""Which accepted blocks become a new target of the state sync.

    interval 100, first height 150:   150 ... 199   200    201 ... 299   300
                                      no            pivot  no            pivot

A jump over several multiples is one pivot, and the next threshold lies above it: a node that was
held up for a while does not pay for it with a storm of pivots.
"""

from enum import Enum
from typing import Final

from node.sync.state.target import SyncTarget
from protocols.types import Height

DEFAULT_INTERVAL: Final = 10_000
"""Blocks. More than most syncs last, where nobody's retention asks for less."""


class Decision(Enum):
    """What becomes of an accepted block."""

    SKIP = "skip"
    """Nothing: it is at or below the target, or below the threshold."""
    PIVOT = "pivot"
    """It is the new target."""
    REORGANISED = "reorganised"
    """It takes the place of the target at the same height."""


class PivotPolicy:
    """Decides block by block. Heights need not come without gaps, nor in order."""

    def __init__(self, interval: int | None = None, *, retained: int | None = None) -> None:
        """Begin before the first block.

        Args:
            interval: Blocks between two targets; 0 or None is the default.
            retained: Blocks below their head whose state serving peers can prove. The interval is
                at most half of it: a target must not name a state that nobody has any more.
        """
        self._wanted = interval or DEFAULT_INTERVAL
        self._retained = retained
        self._threshold: Height | None = None

    @property
    def interval(self) -> int:
        """Blocks between two targets, as clamped."""
        if self._retained is None:
            return self._wanted
        return max(min(self._wanted, self._retained // 2), 1)

    def decide(self, block: SyncTarget, target: SyncTarget) -> Decision:
        """Say what becomes of an accepted block.

        Args:
            block: Accepted.
            target: The present one.
        """
        interval = self.interval
        if self._threshold is None:
            self._threshold = -(-block.number // interval) * interval
        if block.number == target.number and block.hash != target.hash:
            return Decision.REORGANISED
        if block.number <= target.number or block.number < self._threshold:
            return Decision.SKIP
        self._threshold = (block.number // interval + 1) * interval
        return Decision.PIVOT
