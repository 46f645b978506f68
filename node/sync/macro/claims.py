"""What a peer says leads to its newest macro block, before anything of it is fetched.

    ours      E0 ........ C
    claimed   E0 ............ E1 ............ E2 .... C'
                              epochs[0]       epochs[1]  checkpoint

Election blocks stand at known heights, so each claimed hash has one. Nothing here is proven; it is
sorted into what is worth fetching, what we have, and what no honest node says.
"""

from collections.abc import Iterator
from enum import Enum
from itertools import chain as chained
from typing import TypeAlias

from node.chain.view import ChainView
from node.policy import Policy
from node.sync.macro.fetcher import Claim
from node.sync.macro.target import MAX_HEIGHT, Target
from protocols.messages.macro_chain import MAX_EPOCHS, MacroChainResponse
from protocols.types import Hash32, Height


class NoClaim(Enum):
    """Why there is nothing to fetch."""

    NOTHING_NEW = "nothing_new"
    """We have all of it, or it is below our macro head."""
    OTHER_CHAIN = "other_chain"
    """Another macro block than ours at a height that is final for us."""
    LIE = "lie"
    """No node that follows the rules says so."""


Reading: TypeAlias = Claim | NoClaim


def read_claim(
    response: MacroChainResponse, chain: ChainView, start: Height, pinned: Target | None = None
) -> Reading:
    """Sort out what a peer claims.

    Args:
        response: What it answered.
        chain: Ours as it is now; it may have grown since the peer was asked.
        start: Height of our macro head when the peer was asked.
        pinned: The election block that the operator vouches for.

    Returns:
        A claim without what we have by now, or why there is none.
    """
    if not _is_possible(response, chain.policy, start):
        return NoClaim.LIE
    targets = targets_of(
        Claim(start=start, epochs=response.epochs, checkpoint=response.checkpoint), chain.policy
    )
    if pinned is not None and any(_contradicts(each, pinned) for each in targets):
        return NoClaim.LIE
    if any(is_refuted(each, chain) for each in targets):
        return NoClaim.OTHER_CHAIN
    head = chain.macro_head.number
    if not targets or targets[-1].height <= head:
        return NoClaim.NOTHING_NEW
    known = sum(each.height <= head for each in targets[: len(response.epochs)])
    return Claim(
        start=max(start, head), epochs=response.epochs[known:], checkpoint=response.checkpoint
    )


def targets_of(claim: Claim, policy: Policy) -> tuple[Target, ...]:
    """Return the claimed macro blocks with their heights, ascending."""
    first = policy.election_after(claim.start)
    epochs = (
        Target(first + index * policy.epoch_length, block)
        for index, block in enumerate(claim.epochs)
    )
    newest = claim.checkpoint
    last = () if newest is None else (Target(newest.number, newest.hash),)
    return tuple(chained(epochs, last))


def is_refuted(target: Target, chain: ChainView) -> bool:
    """Tell whether another block is final at the height of a claimed one."""
    if target.height > chain.macro_head.number:
        return False
    ours = chain.hash_at(target.height)
    return ours is not None and ours != target.hash


def _contradicts(target: Target, pinned: Target) -> bool:
    return target.height == pinned.height and target.hash != pinned.hash


def _is_possible(response: MacroChainResponse, policy: Policy, start: Height) -> bool:
    hashes = tuple(_hashes(response))
    if len(response.epochs) > MAX_EPOCHS or len(set(hashes)) < len(hashes):
        return False
    last_election = policy.election_at_or_before(start) + len(response.epochs) * policy.epoch_length
    if last_election > MAX_HEIGHT:
        return False
    newest = response.checkpoint
    if newest is None:
        return True
    is_checkpoint = policy.is_macro(newest.number) and not policy.is_election(newest.number)
    return is_checkpoint and 0 < newest.number - last_election < policy.epoch_length


def _hashes(response: MacroChainResponse) -> Iterator[Hash32]:
    yield from response.epochs
    if response.checkpoint is not None:
        yield response.checkpoint.hash
