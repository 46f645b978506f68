"""What a peer's head means to a Pico: fits our chain, leads on from it, or contradicts it."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from node.chain.view import ChainView
from node.policy import Policy
from node.sync.macro.claims import is_refuted
from node.sync.macro.target import Target
from protocols.messages.head import HeadResponse


class Fit(Enum):
    """How a head goes with our chain, when there is no macro block to fetch."""

    FITS = "fits"
    """Its election chain is ours, and its macro block is not above ours."""
    CONFLICT = "conflict"
    """It is on another election chain, or too far up on ours to tell."""
    IMPOSSIBLE = "impossible"
    """Its heights do not belong together, or its genesis is not ours."""


@dataclass(frozen=True, slots=True)
class Step:
    """A macro block to fetch and adopt."""

    target: Target
    is_trusted: bool = False
    """It is taken without its quorum."""


HeadReading: TypeAlias = Fit | tuple[Step, ...]


def read_head(head: HeadResponse, chain: ChainView) -> HeadReading:
    """Say what to do about a head.

    Args:
        head: What a peer says its chain ends in; nothing of it is proven.
        chain: Ours.

    Returns:
        The macro blocks that lead to it, ascending, or why there are none.
    """
    if not _is_possible(head, chain.policy):
        return Fit.IMPOSSIBLE
    election = Target(head.election_number, head.election_hash)
    macro = Target(head.macro_number, head.macro_hash)
    if election.height > chain.election_head.number:
        return _steps_to(election, macro, chain)
    if chain.hash_at(election.height) != election.hash:
        return Fit.CONFLICT if election.height else Fit.IMPOSSIBLE
    if is_refuted(macro, chain) or _is_unseen_first_epoch(macro, chain):
        return Fit.CONFLICT
    if macro.height <= chain.macro_head.number:
        return Fit.FITS
    return (Step(macro),)


def read_head_below_pinned(head: HeadResponse, pinned: Target, chain: ChainView) -> HeadReading:
    """Say what to do about a head while we lack the block that the operator vouches for.

    Args:
        head: What a peer says its chain ends in; nothing of it is proven.
        pinned: The election block that is to be fetched first.
        chain: Ours.
    """
    if head.election_number < pinned.height:
        return Fit.FITS
    if head.election_number == pinned.height and head.election_hash != pinned.hash:
        return Fit.IMPOSSIBLE
    # Above genesis nothing is taken without its quorum.
    return Fit.CONFLICT if chain.macro_head.number else (Step(pinned, is_trusted=True),)


def has_jumped(chain: ChainView) -> bool:
    """Tell whether our election chain does not reach down to genesis.

    The election block of the first epoch can be verified from genesis, and it is on every chain
    that was.
    """
    first = chain.policy.epoch_length
    return chain.election_head.number > 0 and chain.hash_at(first) is None


def _is_unseen_first_epoch(macro: Target, chain: ChainView) -> bool:
    """Tell whether a macro block is of the first epoch, and we cannot tell whether it is ours.

    Its election block is genesis, which all chains have.
    """
    return 0 < macro.height < chain.policy.epoch_length and has_jumped(chain)


def _steps_to(election: Target, macro: Target, chain: ChainView) -> HeadReading:
    is_next = election.height == chain.policy.election_after(chain.election_head.number)
    if not is_next and chain.macro_head.number > 0:
        return Fit.CONFLICT
    steps = (Step(election, is_trusted=not is_next),)
    return steps if macro.height == election.height else (*steps, Step(macro))


def _is_possible(head: HeadResponse, policy: Policy) -> bool:
    if head.macro_number != policy.macro_at_or_before(head.number):
        return False
    if head.election_number != policy.election_at_or_before(head.number):
        return False
    is_one = head.macro_number == head.election_number
    return is_one == (head.macro_hash == head.election_hash)
