"""The index of a window's transactions, made step by step before its target's state is complete.

    META    "indexed"   -> two heights, 4 bytes each, big-endian

    line .............. low [ indexed ] high .............. target
                        <---- second          first ---->

Later blocks must not repeat a transaction of the window. To find them all takes seconds in a long
window, so it is done in transactions of their own, between pushes. A target that has moved takes
along what is indexed, and what lies below its line goes.
"""

from struct import Struct
from typing import Final

from node.blocks.body import MicroBody
from node.chain.block_store import load_block, main_hash_at
from node.chain.execution import forget_transactions, index_transactions
from node.policy import Policy
from node.storage.store import Reader, Table, Writer
from protocols.types import Height

MAX_INDEXED: Final = 2048
"""Transactions, and blocks without any, of one step: pushes wait as long, about 50 ms."""

_KEY: Final = b"indexed"
_ROW: Final = Struct(">II")


def index_step(
    writer: Writer, target: Height, line: Height, policy: Policy, limit: int = MAX_INDEXED
) -> bool:
    """Index some of the blocks above a line up to a target; return whether none is left.

    Args:
        writer: The transaction. All those blocks are stored with their bodies.
        target: At least that of the step before.
        line: Of the target's window.
        policy: Of the network.
        limit: Transactions, and blocks without any, after which no further block is looked at.
    """
    low, high = _load(writer) or (target, target)
    while limit > 0 and (low, high) != (line, target):
        if low < line:
            low += 1
            limit -= 1 + forget_transactions(writer, low)
            high = max(high, low)
        elif high < target:
            high += 1
            limit -= _index(writer, high, policy)
        else:
            limit -= _index(writer, low, policy)
            low -= 1
    writer.put(Table.META, _KEY, _ROW.pack(low, high))
    return (low, high) == (line, target)


def forget_step(writer: Writer) -> None:
    """Forget how far it is: the index is whole, or gone."""
    writer.delete(Table.META, _KEY)


def _load(reader: Reader) -> tuple[Height, Height] | None:
    row = reader.get(Table.META, _KEY)
    if row is None:
        return None
    low, high = _ROW.unpack(row)
    return low, high


def _index(writer: Writer, height: Height, policy: Policy) -> int:
    """Index the transactions of a block; return what that counts for."""
    if policy.is_macro(height):
        return 1
    block_hash = main_hash_at(writer, height)
    block = None if block_hash is None else load_block(writer, block_hash, with_body=True)
    assert block is not None, "the window is complete"
    assert isinstance(block.body, MicroBody)
    hashes = tuple(transaction.hash for transaction in block.body.transactions)
    if hashes:
        index_transactions(writer, height, hashes)
    return max(len(hashes), 1)
