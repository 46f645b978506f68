"""The state above a stored block that need not be the head, for checking proposals there.

macro head --- a --+-- b --- head      our branch: undone on an overlay
+-- c --- parent    their branch: executed on it
"""

from dataclasses import dataclass

from node.blocks.block import Block
from node.blocks.header import Header
from node.blocks.verify import BatchRules
from node.chain.block_store import load_block
from node.chain.execution import apply_block, revert_block
from node.chain.fork_choice import Order, compare_branches
from node.chain.head import ChainHead
from node.chain.overlay import Overlay
from node.chain.punished import Absences
from node.chain.results import BlockError
from node.storage.store import Reader
from protocols.types import Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A place where a macro block may stand."""

    parent: Header
    state: Reader
    """After the parent."""
    absences: Absences
    """Of the branch that ends with the parent."""


def site_above(
    reader: Reader, head: ChainHead, parent: Hash32, rules: BatchRules
) -> Site | BlockError:
    """Find the place above the head, or above a stored block that the head does not beat.

    When a producer signs two blocks and half of the validators have the one and half the other,
    fork choice never brings them together. Whoever has both can vote for either.

    Args:
        reader: Belongs to the head, and holds the bodies of the batch.
        head: Of the main chain.
        parent: The block to stand on.
        rules: Of the batch above `head.macro`.

    Returns:
        WRONG_PARENT if the block is not stored, or loses to the head; else the first error of its
        branch, which nobody has executed yet.
    """
    theirs = _fork_up_to(reader, head, parent)
    if theirs is None:
        return BlockError.WRONG_PARENT
    shared = len(head.branch) if not theirs else theirs[0].number - head.macro.number
    ours = _loaded(reader, head.branch[shared:])
    order = compare_branches([each.is_skip for each in ours], [each.is_skip for each in theirs])
    if theirs and order is Order.INFERIOR:
        return BlockError.WRONG_PARENT
    state = _switched(reader, ours, theirs, rules)
    if isinstance(state, BlockError):
        return state
    branch = [*_loaded(reader, head.branch[1:shared]), *theirs]
    return Site(
        parent=theirs[-1].header if theirs else head.header,
        state=state,
        absences=Absences.of((block for block in branch if block.is_skip), rules),
    )


def _fork_up_to(reader: Reader, head: ChainHead, tip: Hash32) -> list[Block] | None:
    """Return the blocks from above our branch up to a tip; None if they do not start from it.

    The head itself is no fork. Neither is a block below the head, nor may it be built upon.
    """
    fork: list[Block] = []
    while tip not in head.branch:
        block = load_block(reader, tip, with_body=True)
        if block is None or block.number <= head.macro.number:
            return None
        fork.insert(0, block)
        tip = block.parent_hash
    return fork if fork or tip == head.header.hash else None


def _switched(
    reader: Reader, ours: list[Block], theirs: list[Block], rules: BatchRules
) -> Reader | BlockError:
    """Return the state after their branch instead of ours, or the first error on it."""
    if not theirs:
        return reader
    overlay = Overlay(reader)
    for block in reversed(ours):
        revert_block(overlay, block, rules.policy)
    parent = load_block(reader, theirs[0].parent_hash)
    for block in theirs:
        assert parent is not None
        error = apply_block(
            overlay, block, parent.header, rules, Absences(), are_signatures_due=True
        )
        if error is not None:
            return error
        parent = block
    return overlay


def _loaded(reader: Reader, hashes: tuple[Hash32, ...]) -> list[Block]:
    found = [load_block(reader, block_hash) for block_hash in hashes]
    return [block for block in found if block is not None]
