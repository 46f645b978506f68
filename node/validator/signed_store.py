"""What this validator has signed, on disk: after a restart it never signs against it.

Keys of table VOTES: kind (1 byte), height (4 bytes big-endian), and for micro blocks the hash of
the parent's seed (32 bytes): a producer signs one block per height and parent seed, as that is
what an equivocation proof is about.
"""

from enum import Enum

from node.crypto.seeds import entropy
from node.errors import DataFolderError
from node.storage.store import Store, Table
from node.validator.macro_values import MacroRecord
from protocols.errors import WireError
from protocols.types import Hash32, Height


class _Kind(Enum):
    MACRO = b"m"
    """A `MacroRecord`."""
    PRODUCED = b"p"
    """Hash of the micro block that was signed."""
    SKIPPED = b"s"
    """Empty: a skip vote was signed, so no block may be signed any more."""


class SignedStore:
    """Every method that notes something returns after the disk has it. Callable from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def macro_record(self, number: Height) -> MacroRecord | None:
        """Return what has been signed at a macro height.

        Raises:
            DataFolderError: The record cannot be read.
        """
        with self._store.read() as reader:
            stored = reader.get(Table.VOTES, _key(_Kind.MACRO, number))
        if stored is None:
            return None
        try:
            return MacroRecord.decode(stored)
        except WireError as error:
            raise DataFolderError(f"votes signed at height {number}: {error}") from error

    def save_macro(self, record: MacroRecord) -> None:
        """Replace the record of a height by one that goes on from it."""
        before = self.macro_record(record.number)
        assert before is None or continues(record, before), "signing against an own vote"
        self._put(_key(_Kind.MACRO, record.number), record.encode())

    def may_produce(self, number: Height, parent_seed: bytes) -> bool:
        """Tell whether neither a block nor a skip vote has been signed here."""
        with self._store.read() as reader:
            return all(
                reader.get(Table.VOTES, _key(kind, number, parent_seed)) is None
                for kind in (_Kind.PRODUCED, _Kind.SKIPPED)
            )

    def note_produced(self, number: Height, parent_seed: bytes, block: Hash32) -> None:
        """Remember that a micro block is signed."""
        self._put(_key(_Kind.PRODUCED, number, parent_seed), block)

    def note_skipped(self, number: Height, parent_seed: bytes) -> None:
        """Remember that a skip vote is signed."""
        key = _key(_Kind.SKIPPED, number, parent_seed)
        with self._store.read() as reader:
            is_noted = reader.get(Table.VOTES, key) is not None
        if not is_noted:
            self._put(key, b"")

    def forget_below(self, number: Height) -> None:
        """Delete everything below a height: final blocks stand there."""
        with self._store.write(durable=False) as writer:
            for kind in _Kind:
                start, end = _key(kind, 0), _key(kind, number)
                for key, _ in list(writer.scan(Table.VOTES, start, end)):
                    writer.delete(Table.VOTES, key)

    def _put(self, key: bytes, value: bytes) -> None:
        with self._store.write() as writer:
            writer.put(Table.VOTES, key, value)


def continues(record: MacroRecord, before: MacroRecord) -> bool:
    """Tell whether a record adds to an older one and takes nothing of it back."""
    if record.round < before.round:
        return False
    signed = {(vote.kind, vote.round): vote.block for vote in before.votes}
    if any(signed.get((vote.kind, vote.round), vote.block) != vote.block for vote in record.votes):
        return False
    if record.round == before.round and before.proposal not in (None, record.proposal):
        return False
    if before.locked is None:
        return True
    return record.locked is not None and record.locked.round >= before.locked.round


def _key(kind: _Kind, number: Height, parent_seed: bytes | None = None) -> bytes:
    # By the output: a parent's producer can write the proof of one seed in many ways, and two
    # blocks of ours above two of them would prove that we had equivocated.
    turn = b"" if parent_seed is None else entropy(parent_seed)
    return kind.value + number.to_bytes(4, "big") + turn
