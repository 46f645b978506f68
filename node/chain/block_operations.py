"""The queue of block operations that a node defers while it has no state.

    verify 7, verify 8, accept 6, accept 7, reject 8', verify 9 ...

Verified blocks are new and passed the rules that need no state, accepted ones became final, and
rejected ones were on a branch that a final block has closed. Operations are written in the
transaction of the push that caused them, so the queue is never behind the chain or ahead of it, and
a crash loses none. It lies on disk and has no bound but that.

    OPERATIONS   number: 8 bytes          -> kind: 1 byte, height: 4 bytes, block hash
    META         "operations"             -> how many there are: 8 bytes

Numbers are big-endian and ascend.
"""

from dataclasses import dataclass
from enum import IntEnum
from itertools import islice
from struct import Struct
from typing import Final, NamedTuple

from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import HASH_BYTES, Hash32, Height

_COUNT_KEY: Final = b"operations"
_NUMBER_BYTES: Final = 8
_ROW: Final = Struct(f">BI{HASH_BYTES}s")


class OperationKind(IntEnum):
    """What was to be done with a block."""

    VERIFY = 0
    ACCEPT = 1
    REJECT = 2


class BlockOperation(NamedTuple):
    """One deferred operation."""

    kind: OperationKind
    height: Height
    block: Hash32


@dataclass(frozen=True, slots=True)
class QueuedOperation:
    """An operation and its place in the queue."""

    number: int
    operation: BlockOperation


def enqueue(writer: Writer, operation: BlockOperation) -> None:
    """Put an operation at the end."""
    newest = next(writer.scan(Table.OPERATIONS, reverse=True), None)
    number = 0 if newest is None else int.from_bytes(newest[0], "big") + 1
    writer.put(Table.OPERATIONS, _key(number), _ROW.pack(*operation))
    _note_length(writer, length(writer) + 1)


def length(reader: Reader) -> int:
    """Count the operations."""
    found = reader.get(Table.META, _COUNT_KEY)
    return 0 if found is None else int.from_bytes(found, "big")


def snapshot(reader: Reader, limit: int) -> tuple[QueuedOperation, ...]:
    """Return the first operations, in order. They stay in the queue until they are removed."""
    return tuple(
        QueuedOperation(int.from_bytes(key, "big"), _read(row))
        for key, row in islice(reader.scan(Table.OPERATIONS), limit)
    )


def remove(writer: Writer, operations: tuple[QueuedOperation, ...]) -> None:
    """Take operations of a snapshot out of the queue. Each must still be in it."""
    for each in operations:
        writer.delete(Table.OPERATIONS, _key(each.number))
    _note_length(writer, length(writer) - len(operations))


def remove_up_to(writer: Writer, height: Height) -> int:
    """Take out all operations on blocks up to a height: a target there makes them pointless.

    Returns:
        How many they were.
    """
    keys = [key for key, row in writer.scan(Table.OPERATIONS) if _read(row).height <= height]
    for key in keys:
        writer.delete(Table.OPERATIONS, key)
    _note_length(writer, length(writer) - len(keys))
    return len(keys)


def holds_accepted(reader: Reader) -> bool:
    """Tell whether a final block is still to be executed."""
    return any(_read(row).kind is OperationKind.ACCEPT for _, row in reader.scan(Table.OPERATIONS))


def clear(writer: Writer) -> None:
    """Take everything out."""
    delete_range(writer, Table.OPERATIONS)
    _note_length(writer, 0)


def _note_length(writer: Writer, count: int) -> None:
    if count:
        writer.put(Table.META, _COUNT_KEY, count.to_bytes(_NUMBER_BYTES, "big"))
    else:
        writer.delete(Table.META, _COUNT_KEY)


def _key(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")


def _read(row: bytes) -> BlockOperation:
    kind, height, block = _ROW.unpack(row)
    return BlockOperation(OperationKind(kind), height, Hash32(block))
