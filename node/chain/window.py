"""The validity window below a final block: whole blocks that a node must have to go on from there.

    line                                      target
    M --- b --- b --- M --- b --- b --- M --- b

They are fetched downwards, batch by batch. Each hangs from the one above it by its hash, and the
body from the block, so nothing about them is verified again but who has signed them: no hash covers
that, and a false signature would be served to others.
"""

from collections.abc import Sequence
from itertools import pairwise

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.verify import BatchRules, has_quorum, verify_body
from node.chain.batch_plan import check_justification
from node.chain.block_store import has_block, load_block, main_hash_at, save_block, set_main
from node.chain.head import ChainHead
from node.chain.results import BlockError, InvalidBlock
from node.chain.settings import ChainSettings
from node.policy import Policy
from node.storage.store import Reader, Table, Writer
from protocols.types import Hash32, Height


def window_line(target: Height, policy: Policy) -> Height:
    """Return the macro block from which on blocks must be stored whole to go on from a target."""
    return max(policy.macro_at_or_before(target) - policy.validity_window_blocks, 0)


def first_missing(reader: Reader, target: Height, line: Height) -> Height | None:
    """Return the highest height from a target down to the line that lacks its whole block.

    Nothing is decoded: that comes once, when transactions are indexed.
    """
    for height in range(target, line - 1, -1):
        block_hash = main_hash_at(reader, height)
        if block_hash is None or reader.get(Table.BODIES, block_hash) is None:
            return height
    return None


def check_batch(
    reader: Reader, blocks: Sequence[Block], settings: ChainSettings
) -> InvalidBlock | None:
    """Check blocks that belong below the lowest one that is known.

    Args:
        reader: Holds the election blocks, and the block above.
        blocks: Whole and descending: micro blocks of one batch and the macro block below them, or
            only a macro block.
        settings: Of the chain.
    """
    if not blocks:
        return InvalidBlock(BlockError.WRONG_NUMBER, Hash32(bytes(32)))
    return _check_links(reader, blocks) or _check_signatures(reader, blocks, settings)


def save_batch(writer: Writer, blocks: Sequence[Block]) -> None:
    """Store checked blocks on the main chain."""
    for block in blocks:
        stored = load_block(writer, block.hash)
        # What is stored was verified, and others may have it with that justification.
        justification = block.justification if stored is None else stored.justification
        save_block(writer, Block(block.header, justification, block.body))
        set_main(writer, block)


def _check_links(reader: Reader, blocks: Sequence[Block]) -> InvalidBlock | None:
    expected = _expected(reader, blocks[0].number)
    for block in blocks:
        if block.hash != expected:
            return InvalidBlock(BlockError.WRONG_PARENT, block.hash)
        error = verify_body(block)
        if error is not None:
            return InvalidBlock(error, block.hash)
        expected = block.parent_hash
    return None


def _expected(reader: Reader, height: Height) -> Hash32 | None:
    """Return the hash that the main chain has at a height, known or named by the block above."""
    known = main_hash_at(reader, height)
    child = None if known is not None else main_hash_at(reader, height + 1)
    above = None if child is None else load_block(reader, child)
    return known if above is None else above.parent_hash


def _check_signatures(
    reader: Reader, blocks: Sequence[Block], settings: ChainSettings
) -> InvalidBlock | None:
    macro, policy = blocks[-1], settings.policy
    if not isinstance(macro.header, MacroHeader):
        return InvalidBlock(BlockError.WRONG_TYPE, macro.hash)
    above = _rules(reader, macro.header, policy.election_at_or_before(macro.number), settings)
    for block, parent in pairwise(blocks):
        error = check_justification(block, parent.header, above)
        if error is not None:
            return InvalidBlock(error, block.hash)
    if macro.number == 0 or has_block(reader, macro.hash):
        return None
    rules = _rules(reader, macro.header, policy.election_before(macro.number), settings)
    is_signed = has_quorum(macro, rules.validators, policy, settings.keys)
    return None if is_signed else InvalidBlock(BlockError.NO_QUORUM, macro.hash)


def _rules(
    reader: Reader, macro: MacroHeader, election: Height, settings: ChainSettings
) -> BatchRules:
    """Return the rules above a macro block, with the validators of an election block."""
    elected = macro if macro.number == election else _election(reader, election)
    validators = elected.next_validators
    assert validators is not None, f"block {election} elects nobody"
    head = ChainHead(
        header=macro, branch=(macro.hash,), macro=macro, election=elected, validators=validators
    )
    return settings.rules_above(head)


def _election(reader: Reader, height: Height) -> MacroHeader:
    block_hash = main_hash_at(reader, height)
    block = None if block_hash is None else load_block(reader, block_hash)
    assert block is not None, "election blocks stay stored"
    assert isinstance(block.header, MacroHeader)
    return block.header
