"""What a fetched macro block must look like before anything of it is verified."""

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import QuorumSignature
from node.policy import Policy
from protocols.types import Hash32, Height


def has_quorum_form(block: Block) -> bool:
    """Tell whether a block is a macro block with the justification that its kind must have."""
    return block.is_macro and isinstance(block.justification, QuorumSignature)


def may_stand_at(block: Block, height: Height, policy: Policy) -> bool:
    """Tell whether a block may stand at a macro height: an election block where there is one."""
    header = block.header
    if not isinstance(header, MacroHeader) or header.number != height:
        return False
    return (header.validators is not None) == policy.is_election(height)


def parent_election_of(block: Block) -> Hash32:
    """Return the election block that a macro block names."""
    header = block.header
    assert isinstance(header, MacroHeader)
    return header.parent_election
