"""Whether a chain has its state, and how far it is on the way to it.

    META    "state"        -> "syncing"; missing where the state is complete
            "sync_target"  -> hash of the final block whose state is being fetched
            "state_head"   -> hash of the block that the stored state belongs to, from the moment
                              the target's state is complete until blocks are executed as they come

While it is syncing a chain follows blocks without executing them. The target stands until the state
head takes its place; what lies above either is executed later and stays stored until then.
"""

from typing import Final

from node.blocks.header import Header
from node.chain.block_store import load_block
from node.chain.window_index import forget_step
from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import Hash32, Height

_MODE_KEY: Final = b"state"
_TARGET_KEY: Final = b"sync_target"
_HEAD_KEY: Final = b"state_head"
_SYNCING: Final = b"syncing"

_DERIVED: Final = (
    Table.UNDO,
    Table.TRANSACTIONS,
    Table.HISTORY,
    Table.HISTORY_LENGTHS,
    Table.DIFFS,
    Table.OLD_ACCOUNTS,
    Table.OLD_BRANCHES,
)
"""What execution leaves behind besides accounts and their branches."""

_OLDEST_STATE_KEY: Final = b"oldest_state"


def is_syncing(reader: Reader) -> bool:
    """Tell whether the state is not complete yet."""
    return reader.get(Table.META, _MODE_KEY) is not None


def state_head(reader: Reader) -> Hash32 | None:
    """Return the block that the stored state belongs to; None before a target is complete."""
    found = reader.get(Table.META, _HEAD_KEY)
    return None if found is None else Hash32(found)


def executed_header(reader: Reader) -> Header | None:
    """Return the header of the state head; None before a target is complete."""
    executed = state_head(reader)
    found = None if executed is None else load_block(reader, executed)
    return None if found is None else found.header


def sync_target(reader: Reader) -> Hash32 | None:
    """Return the block whose state is being fetched, or None."""
    found = reader.get(Table.META, _TARGET_KEY)
    return None if found is None else Hash32(found)


def first_needed(reader: Reader) -> Height | None:
    """Return the block above which blocks wait to be executed; None if none has to wait."""
    waiting = state_head(reader) or sync_target(reader)
    block = None if waiting is None else load_block(reader, waiting)
    return None if block is None else block.number


def begin_syncing(writer: Writer) -> None:
    """Be on the way to a state, and to no target yet.

    Accounts stay as they are, and so do the notes of which of them are the state of which final
    block: a sync goes on from there. All else that execution has left is of another past than the
    one that will be fetched.
    """
    for table in _DERIVED:
        delete_range(writer, table)
    for key in (_TARGET_KEY, _HEAD_KEY, _OLDEST_STATE_KEY):
        writer.delete(Table.META, key)
    forget_step(writer)
    writer.put(Table.META, _MODE_KEY, _SYNCING)


def note_target(writer: Writer, target: Hash32) -> None:
    """Fetch the state of a block from now on."""
    writer.put(Table.META, _TARGET_KEY, target)


def note_state_head(writer: Writer, block: Hash32) -> None:
    """Note that the stored state is that of a block. There is no target any more."""
    writer.put(Table.META, _HEAD_KEY, block)
    writer.delete(Table.META, _TARGET_KEY)


def end_syncing(writer: Writer) -> None:
    """Have the state of the head from now on."""
    for key in (_MODE_KEY, _TARGET_KEY, _HEAD_KEY):
        writer.delete(Table.META, key)
