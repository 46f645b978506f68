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

from collections.abc import Sequence
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


class BlockOperationView:
    """The queue, read from a snapshot of the store or inside a transaction."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def __len__(self) -> int:
        """Count the operations."""
        found = self._reader.get(Table.META, _COUNT_KEY)
        return 0 if found is None else int.from_bytes(found, "big")

    @property
    def holds_accepted(self) -> bool:
        """Whether a final block is still to be executed."""
        kinds = (row[0] for _, row in self._reader.scan(Table.OPERATIONS))
        return OperationKind.ACCEPT in kinds

    def snapshot(self, limit: int) -> tuple[QueuedOperation, ...]:
        """Return the first operations, in order. They stay until they are removed."""
        return tuple(
            QueuedOperation(int.from_bytes(key, "big"), _read(row))
            for key, row in islice(self._reader.scan(Table.OPERATIONS), limit)
        )


class BlockOperationQueue(BlockOperationView):
    """The queue inside a transaction. What is done to it counts once that is committed."""

    def __init__(self, writer: Writer) -> None:
        super().__init__(writer)
        self._writer = writer

    def enqueue(self, operation: BlockOperation) -> None:
        """Put an operation at the end."""
        newest = next(self._writer.scan(Table.OPERATIONS, reverse=True), None)
        number = 0 if newest is None else int.from_bytes(newest[0], "big") + 1
        self._writer.put(Table.OPERATIONS, _key(number), _ROW.pack(*operation))
        self._note_length(len(self) + 1)

    def remove(self, operations: Sequence[QueuedOperation]) -> None:
        """Take operations of a snapshot out. Each must still be in it."""
        for each in operations:
            self._writer.delete(Table.OPERATIONS, _key(each.number))
        self._note_length(len(self) - len(operations))

    def prune(self, height: Height) -> int:
        """Take out all operations on blocks up to a height: a target there makes them pointless.

        Returns:
            How many they were.
        """
        rows = self._writer.scan(Table.OPERATIONS)
        keys = [key for key, row in rows if _ROW.unpack(row)[1] <= height]
        for key in keys:
            self._writer.delete(Table.OPERATIONS, key)
        self._note_length(len(self) - len(keys))
        return len(keys)

    def clear(self) -> None:
        """Take everything out."""
        delete_range(self._writer, Table.OPERATIONS)
        self._note_length(0)

    def _note_length(self, count: int) -> None:
        if count:
            self._writer.put(Table.META, _COUNT_KEY, count.to_bytes(_NUMBER_BYTES, "big"))
        else:
            self._writer.delete(Table.META, _COUNT_KEY)


def _key(number: int) -> bytes:
    return number.to_bytes(_NUMBER_BYTES, "big")


def _read(row: bytes) -> BlockOperation:
    kind, height, block = _ROW.unpack(row)
    return BlockOperation(OperationKind(kind), height, Hash32(block))
