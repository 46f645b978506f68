"""Where a transaction stands: in which block, and as which leaf of its epoch's history.

    HISTORY_INDEX   first half of the transaction hash
                    -> height: 4 bytes, position in the block: 2 bytes, leaf index: 5 bytes

Kept for final transactions by nodes that keep all of history. Half a hash halves the index, and no
two transactions with the same 16 bytes can be made in any time; whoever reads checks the whole one.
"""

import struct
from dataclasses import dataclass
from typing import Final

from node.blocks.slices import slice_transactions
from node.chain.block_store import height_key, main_hash_at
from node.chain.history_lengths import load_history_length
from node.policy import Policy
from node.storage.store import Reader, Table, Writer
from protocols.types import HASH_BYTES, Hash32, Height

_KEY_BYTES: Final = HASH_BYTES // 2
_PLACE: Final = struct.Struct(">IHBI")
"""The leaf index in two parts: the wire counts up to 2^40 leaves."""


@dataclass(frozen=True, slots=True)
class TransactionPlace:
    """Where a final transaction stands."""

    height: Height
    position: int
    """In its block, counted from 0."""
    index: int
    """Leaf index, counted from 0 in each epoch."""


def index_batch_history(writer: Writer, policy: Policy, macro: Height) -> None:
    """Note where the transactions of the batch that a final macro block ends stand.

    Call it for every batch, in order, before the list of its transactions is pruned.
    """
    start = policy.macro_before(macro)
    index = 0 if policy.is_election(start) else load_history_length(writer, start)
    assert index is not None, "the batch before has been made final"
    for height in range(start + 1, macro):
        joined = writer.get(Table.TRANSACTIONS, height_key(height)) or b""
        for position, offset in enumerate(range(0, len(joined), HASH_BYTES)):
            place = _PLACE.pack(height, position, index >> 32, index & 0xFFFF_FFFF)
            writer.put(Table.HISTORY_INDEX, joined[offset : offset + _KEY_BYTES], place)
            index += 1


def find_transaction(reader: Reader, transaction: Hash32) -> TransactionPlace | None:
    """Return where a final transaction stands, or None. Another one may stand there."""
    stored = reader.get(Table.HISTORY_INDEX, transaction[:_KEY_BYTES])
    if stored is None:
        return None
    height, position, high, low = _PLACE.unpack(stored)
    return TransactionPlace(height, position, high << 32 | low)


def load_transaction(reader: Reader, place: TransactionPlace) -> bytes | None:
    """Return the encoding of a final transaction, or None if its block's body is not stored."""
    block = main_hash_at(reader, place.height)
    body = None if block is None else reader.get(Table.BODIES, block)
    if body is None:
        return None
    _, found = slice_transactions(body, place.position, place.position + 1)
    return found[0] if found else None
