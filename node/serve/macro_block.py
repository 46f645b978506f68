"""What several requests start with: a macro block of our main chain."""

from node.blocks.header import MacroHeader
from node.chain.view import ChainSnapshot
from protocols.types import Hash32


def main_macro(chain: ChainSnapshot, block: Hash32) -> MacroHeader | None:
    """Return the header of a block if it is a macro block of our main chain."""
    header = chain.header(block)
    if not isinstance(header, MacroHeader) or chain.hash_at(header.number) != block:
        return None
    return header
