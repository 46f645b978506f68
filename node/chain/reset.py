"""A chain without state back at its genesis: what it had above rested on a false election block."""

from node.blocks.block import Block
from node.chain.block_store import save_block, set_main
from node.chain.pruning import forget_pruning
from node.storage.store import Table, Writer
from protocols.types import Hash32


def clear_above_genesis(writer: Writer, genesis: Block) -> set[Hash32]:
    """Delete all blocks but the genesis block.

    Args:
        writer: The transaction; of a store that keeps neither bodies nor state.
        genesis: Block 0, without its body.

    Returns:
        What was deleted, by hash.
    """
    deleted = {Hash32(key) for key, _ in writer.scan(Table.HEADERS)}
    for table in (Table.HEADERS, Table.HEIGHTS, Table.MAIN_CHAIN):
        for key in [key for key, _ in writer.scan(table)]:
            writer.delete(table, key)
    forget_pruning(writer)
    save_block(writer, genesis)
    set_main(writer, genesis)
    return deleted - {genesis.hash}
