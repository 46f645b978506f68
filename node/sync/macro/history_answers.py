"""What the answers of a history sync must be before any of it is used.

None of it needs a signature: blocks are bound to the macro blocks of the batch set by their hashes,
transactions by the proof. Quorums and everything else are verified when a batch is adopted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.blocks.header import MacroHeader
from node.chain.history_tree import EMPTY_ROOT
from node.gossip.blocks import check_body, check_header
from node.policy import Policy
from node.sync.inputs import BlocksArrived
from node.sync.macro.target import Target
from protocols.types import Hash32, Height

MIN_TRANSACTION_BYTES: Final = 128
"""No transaction is smaller: key, recipient and signature are 116 bytes, the rest has prefixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The macro block that a batch set continues."""

    number: Height
    hash: Hash32
    election: Hash32
    """The election block that starts the epoch of what follows."""
    history_length: int
    """Transactions of that epoch up to here."""
    history_root: Hash32


def after_election(number: Height, block: Hash32) -> Origin:
    """Return where an epoch begins."""
    return Origin(
        number=number, hash=block, election=block, history_length=0, history_root=EMPTY_ROOT
    )


def is_batch_set_sound(
    batches: Sequence[tuple[Block, int]],
    origin: Origin,
    target: Target,
    policy: Policy,
    network: int,
) -> bool:
    """Tell whether macro blocks and history lengths can be those after an origin.

    Args:
        batches: As they came.
        origin: What the first continues.
        target: What they lead to. An answer may be cut before it.
        policy: Of the network.
        network: Its id.
    """
    election, length, root = origin.election, origin.history_length, origin.history_root
    # Blocks cannot carry more than this, so no length makes us gather without end.
    most = (policy.batch_length - 1) * (policy.max_body_bytes // MIN_TRANSACTION_BYTES)
    for index, (block, history_length) in enumerate(batches, 1):
        if block.number != origin.number + index * policy.batch_length:
            return False
        if not _is_macro_block_sound(block, election, policy, network):
            return False
        # The root commits to the length: it changes with it, and with nothing else.
        is_unchanged = history_length == length
        if is_unchanged != (block.header.history_root == root):
            return False
        if not length <= history_length <= length + most:
            return False
        length, root = history_length, block.header.history_root
    return _leads_to(batches, target)


def _is_macro_block_sound(block: Block, election: Hash32, policy: Policy, network: int) -> bool:
    header = block.header
    if not isinstance(header, MacroHeader) or block.body is not None:
        return False
    if header.parent_election != election:
        return False
    return check_header(header, block.justification, policy, network) is None


def _leads_to(batches: Sequence[tuple[Block, int]], target: Target) -> bool:
    if not batches:
        return False
    last = batches[-1][0]
    return last.hash == target.hash if last.number == target.height else last.number < target.height


def are_headers_sound(
    blocks: Sequence[Block], macro: Block, previous: Hash32, policy: Policy
) -> bool:
    """Tell whether blocks are those of a batch, hash by hash, its macro block last.

    Args:
        blocks: As they came.
        macro: The macro block that ends the batch.
        previous: Hash of the macro block below it.
        policy: Of the network.
    """
    if len(blocks) != policy.batch_length or blocks[-1].hash != macro.hash:
        return False
    if blocks[0].parent_hash != previous:
        return False
    if any(block.is_macro for block in blocks[:-1]):
        return False
    if any(block.body is not None for block in blocks):
        return False
    return all(
        child.parent_hash == parent.hash and child.number == parent.number + 1
        for parent, child in pairwise(blocks)
    )


def sound_body(answer: BlocksArrived, block: Hash32, policy: Policy) -> MicroBody | None:
    """Return the body of a block that was asked for, or None if this is something else."""
    if len(answer.blocks) != 1:
        return None
    (found,) = answer.blocks
    if found.hash != block or not isinstance(found.body, MicroBody):
        return None
    return found.body if check_body(found.header, found.body, policy) is None else None
