"""Blocks in the store: by hash, by height, and the main chain's index.

    HEADERS     hash                     -> [header: bin, justification: bin]
    BODIES      hash                     -> body
    HEIGHTS     height: 4 bytes, hash    -> empty, for every stored block
    MAIN_CHAIN  height: 4 bytes          -> hash

Heights are big-endian, so keys are in the order of the chain.
"""

from collections.abc import Iterator

from node.blocks.block import Block
from node.blocks.body import decode_body
from node.blocks.header import decode_header
from node.blocks.justification import decode_justification
from node.errors import DataFolderError
from node.storage.store import Reader, Table, Writer
from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.limits import MAX_HEADER_BYTES
from protocols.types import Hash32, Height


def height_key(height: Height) -> bytes:
    """Return a height as a key, 4 bytes big-endian."""
    return height.to_bytes(4, "big")


def has_block(reader: Reader, block: Hash32) -> bool:
    """Tell whether a block is stored."""
    return reader.get(Table.HEADERS, block) is not None


def load_block(reader: Reader, block: Hash32, *, with_body: bool = False) -> Block | None:
    """Return a stored block; with `with_body`, None too if its body is not stored.

    Raises:
        DataFolderError: What is stored is not what was written.
    """
    record = reader.get(Table.HEADERS, block)
    if record is None:
        return None
    body = reader.get(Table.BODIES, block) if with_body else None
    if with_body and body is None:
        return None
    try:
        fields = FieldReader.unpack("StoredBlock", record, arity=2)
        header = decode_header(fields.blob(maximum=MAX_HEADER_BYTES))
        justification = decode_justification(fields.blob(maximum=MAX_HEADER_BYTES))
        return Block(header, justification, None if body is None else decode_body(body))
    except WireError as error:
        raise DataFolderError(f"stored block {block.hex()} is damaged: {error}") from error


def load_block_bytes(reader: Reader, block: Hash32, *, with_body: bool) -> bytes | None:
    """Return a stored block as `load_block` does, in its wire form and without decoding it.

    Raises:
        DataFolderError: What is stored is not what was written.
    """
    record = reader.get(Table.HEADERS, block)
    if record is None:
        return None
    body = reader.get(Table.BODIES, block) if with_body else None
    if with_body and body is None:
        return None
    try:
        fields = FieldReader.unpack("StoredBlock", record, arity=2)
    except WireError as error:
        raise DataFolderError(f"stored block {block.hex()} is damaged: {error}") from error
    return pack([fields.raw(), fields.raw(), body])


def save_block(writer: Writer, block: Block) -> None:
    """Store a block, with its body if it has one, under its hash and its height."""
    record = pack([block.header.encoded, block.justification.encode()])
    writer.put(Table.HEADERS, block.hash, record)
    writer.put(Table.HEIGHTS, height_key(block.number) + block.hash, b"")
    if block.body is not None:
        writer.put(Table.BODIES, block.hash, block.body.encoded)


def save_encoded_body(writer: Writer, block: Hash32, body: bytes) -> None:
    """Store the body of a stored block."""
    writer.put(Table.BODIES, block, body)


def delete_block(writer: Writer, number: Height, block: Hash32) -> None:
    """Remove a block that is not on the main chain."""
    writer.delete(Table.HEADERS, block)
    writer.delete(Table.HEIGHTS, height_key(number) + block)
    writer.delete(Table.BODIES, block)


def delete_branch(writer: Writer, block: Block, end: Height) -> tuple[Hash32, ...]:
    """Remove a block that is not on the main chain and all that are stored above it.

    Args:
        writer: The transaction.
        block: The lowest.
        end: Height above all blocks that may stand above it.

    Returns:
        What was removed, ascending by height.
    """
    doomed = {block.hash: block.number}
    for number, block_hash in hashes_between(writer, block.number + 1, end):
        found = load_block(writer, block_hash)
        if found is not None and found.parent_hash in doomed:
            doomed[block_hash] = number
    for block_hash, number in doomed.items():
        delete_block(writer, number, block_hash)
    return tuple(doomed)


def delete_body(writer: Writer, block: Hash32) -> None:
    """Remove the body of a block that stays."""
    writer.delete(Table.BODIES, block)


def hashes_between(reader: Reader, low: Height, high: Height) -> Iterator[tuple[Height, Hash32]]:
    """Yield all stored blocks with `low <= height < high`, ascending by height, then hash."""
    for key, _ in reader.scan(Table.HEIGHTS, height_key(low), height_key(high)):
        yield int.from_bytes(key[:4], "big"), Hash32(key[4:])


def main_hash_at(reader: Reader, height: Height) -> Hash32 | None:
    """Return the hash of the main chain's block at a height."""
    found = reader.get(Table.MAIN_CHAIN, height_key(height))
    return None if found is None else Hash32(found)


def newest_main_height(reader: Reader) -> Height:
    """Return the height of the main chain's newest block. There is one: genesis."""
    key, _ = next(reader.scan(Table.MAIN_CHAIN, reverse=True))
    return int.from_bytes(key, "big")


def set_main(writer: Writer, block: Block) -> None:
    """Put a block on the main chain."""
    writer.put(Table.MAIN_CHAIN, height_key(block.number), block.hash)


def unset_main(writer: Writer, height: Height) -> None:
    """Take the block at a height off the main chain."""
    writer.delete(Table.MAIN_CHAIN, height_key(height))
