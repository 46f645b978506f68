"""Which of two branches is the main chain. Pure: it sees what kind of block stands where.

    fork point --+-- m --- m --- s        ours
                 +-- m --- s              theirs: wins, for the skip block at the second height

A skip block is signed by a quorum, a micro block by one producer. So at the first height where
exactly one side was skipped the quorum's side wins, whatever comes above it.
"""

from collections.abc import Sequence
from enum import Enum


class Order(Enum):
    """How a branch compares to the main chain's."""

    SUPERIOR = "superior"
    """It becomes the main chain."""
    UNDECIDED = "undecided"
    """Equal so far and not longer: a block above it may decide."""
    INFERIOR = "inferior"
    """No micro block above it can make it win; only a macro block can."""


def compare_branches(ours: Sequence[bool], theirs: Sequence[bool]) -> Order:
    """Compare two branches of micro blocks that start at the same height above a fork point.

    Args:
        ours: Whether each block is a skip block, ascending, for the main chain's branch.
        theirs: The same for the branch that wants to replace it.
    """
    for our_skip, their_skip in zip(ours, theirs, strict=False):
        if our_skip != their_skip:
            return Order.SUPERIOR if their_skip else Order.INFERIOR
    return Order.SUPERIOR if len(theirs) > len(ours) else Order.UNDECIDED
