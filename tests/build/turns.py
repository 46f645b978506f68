"""Whose turn it is above the head of a chain."""

from node.chain.view import ChainView
from node.validator.position import Position


def next_owner(chain: ChainView, round_: int = 0) -> int:
    """Return the position, among the validators, of who makes the next block, or proposes it."""
    return Position.of(chain).proposers()(round_)
