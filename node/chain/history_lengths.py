"""How long an epoch's history is at each macro block: where a batch's leaves begin and end.

The leaves of the batch that a macro block M ends are

    length(macro block before M) <= leaf index < length(M)

except that the first batch of an epoch begins at 0. Kept for final macro blocks, where state is.
"""

from typing import Final

from node.chain.block_store import height_key
from node.storage.store import Reader, Table, Writer
from protocols.types import Height

_LENGTH_BYTES: Final = 8


def save_history_length(writer: Writer, macro: Height, length: int) -> None:
    """Note how many transactions an epoch has up to the macro block at a height."""
    writer.put(Table.HISTORY_LENGTHS, height_key(macro), length.to_bytes(_LENGTH_BYTES, "big"))


def delete_history_length(writer: Writer, macro: Height) -> None:
    """Forget the length at a macro block whose batch is no longer kept."""
    writer.delete(Table.HISTORY_LENGTHS, height_key(macro))


def load_history_length(reader: Reader, macro: Height) -> int | None:
    """Return how many transactions an epoch has up to the macro block at a height, or None.

    Genesis has none, whoever keeps what.
    """
    if macro == 0:
        return 0
    stored = reader.get(Table.HISTORY_LENGTHS, height_key(macro))
    return None if stored is None else int.from_bytes(stored, "big")
