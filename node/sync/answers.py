"""What an answer to a missing-blocks request must be before any of it is used."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.blocks.block import Block
from node.chain.view import ChainView
from node.gossip.blocks import check_body
from node.policy import Policy
from protocols.limits import MAX_HEADER_BYTES, MAX_LOCATORS, MAX_RESPONSE_BYTES
from protocols.types import Hash32, Height

BLOCK_OVERHEAD_BYTES: Final = MAX_HEADER_BYTES + 1024
"""What a block may add to its body on the wire, with room to spare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What was asked for."""

    target: Hash32
    locators: Collection[Hash32]
    above: Height
    """The last block must be higher than this: each follow-up gets nearer to its target."""
    include_body: bool


def locators_of(chain: ChainView) -> tuple[Hash32, ...]:
    """Return the hashes from our head down to and including the last macro block.

    Newest first, at most MAX_LOCATORS, the macro block always among them.
    """
    head, macro = chain.head, chain.macro_head
    newest = range(head.number, macro.number, -1)[: MAX_LOCATORS - 1]
    hashes = (chain.hash_at(height) for height in newest)
    return (*(found for found in hashes if found is not None), macro.hash)


def is_sound(blocks: Sequence[Block], size_bytes: int, expected: Expected, policy: Policy) -> bool:
    """Tell whether blocks, ascending, are an answer to what was asked.

    Signatures are not checked here; see `ends_unproven`.

    Args:
        blocks: As they came.
        size_bytes: Length of the response that they came in.
        expected: What was asked for.
        policy: Of the network.
    """
    # Not empty, and at most a batch.
    if not 0 < len(blocks) <= policy.batch_length:
        return False
    # The first continues what we have; the rest hang together; there is progress.
    if blocks[0].parent_hash not in expected.locators or not _are_linked(blocks):
        return False
    if blocks[-1].number <= expected.above:
        return False
    # Each has exactly the body that its header commits to, or none where none was asked for.
    if not all(_has_right_body(block, expected, policy) for block in blocks):
        return False
    # Nothing lies beyond the target or the next macro block.
    if any(block.is_macro or block.hash == expected.target for block in blocks[:-1]):
        return False
    last = blocks[-1]
    # An answer that ends early for its size is as full as it can be.
    is_full = size_bytes > MAX_RESPONSE_BYTES - policy.max_body_bytes - BLOCK_OVERHEAD_BYTES
    return last.hash == expected.target or last.is_macro or (expected.include_body and is_full)


def ends_unproven(blocks: Sequence[Block], expected: Expected) -> bool:
    """Tell whether a sound answer ends in a macro block whose quorum is still to be verified."""
    return blocks[-1].is_macro and blocks[-1].hash != expected.target


def _are_linked(blocks: Sequence[Block]) -> bool:
    return all(
        child.parent_hash == parent.hash and child.number == parent.number + 1
        for parent, child in pairwise(blocks)
    )


def _has_right_body(block: Block, expected: Expected, policy: Policy) -> bool:
    if block.body is None or not expected.include_body:
        return (block.body is None) != expected.include_body
    return check_body(block.header, block.body, policy) is None
