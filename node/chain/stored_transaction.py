"""Finding a transaction of the main chain in what a node stores of it, by its hash."""

from dataclasses import dataclass

from node.accounts.transaction import Transaction
from node.blocks.body import MicroBody
from node.chain.block_store import load_block, main_hash_at
from node.chain.history_index import find_transaction, load_transaction
from node.storage.store import Reader, Table
from protocols.types import Hash32, Height


@dataclass(frozen=True, slots=True)
class StoredTransaction:
    """A transaction and where it is."""

    transaction: Transaction
    height: Height
    """Of its block, which may be above the macro head."""


def stored_transaction(reader: Reader, wanted: Hash32) -> StoredTransaction | None:
    """Return a transaction of the main chain, or None if it is not stored."""
    place = find_transaction(reader, wanted)
    encoded = None if place is None else load_transaction(reader, place)
    if place is not None and encoded is not None:
        final = Transaction.decode(encoded)
        # The index knows only half of a hash.
        return StoredTransaction(final, place.height) if final.hash == wanted else None
    # Those that are not final yet are in the list that duplicates are found by.
    height = reader.get(Table.TRANSACTIONS, wanted)
    return None if height is None else _in_block(reader, int.from_bytes(height, "big"), wanted)


def _in_block(reader: Reader, height: Height, wanted: Hash32) -> StoredTransaction | None:
    block_hash = main_hash_at(reader, height)
    block = None if block_hash is None else load_block(reader, block_hash, with_body=True)
    if block is None or not isinstance(block.body, MicroBody):
        return None
    found = (each for each in block.body.transactions if each.hash == wanted)
    transaction = next(found, None)
    return None if transaction is None else StoredTransaction(transaction, height)
