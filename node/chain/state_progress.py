"""How far the accounts of a state sync are, as the store has it.

    META       "state_sync"  -> number: 4, hash: 32, state root: 32, history root: 32, whole: 1,
                                covered accounts: 8 bytes, big-endian
    COVERAGE   first key     -> last key of a range whose accounts are those of that block's state

It survives macro blocks that are adopted without what lies between: the block is final, so what is
covered can be brought forward with what later blocks have changed, or compared with their state.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from node.accounts.pages import ROOT, accounts_below
from node.blocks.block import Block
from node.blocks.header import Header
from node.chain.execution import revert_accounts
from node.chain.state_mode import is_syncing
from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import ADDRESS_BYTES, Hash32, Height

_KEY: Final = b"state_sync"
_ROW: Final = Struct(">I32s32s32s?Q")

_FIRST_KEY: Final = bytes(ADDRESS_BYTES)
_LAST_KEY: Final = b"\xff" * ADDRESS_BYTES


class StoredProgress(NamedTuple):
    """The block whose state is covered, and how much of it."""

    number: Height
    hash: Hash32
    state_root: Hash32
    history_root: Hash32
    is_whole: bool
    """Whether everything is covered, with branches, and the root is the block's."""
    accounts: int
    """That are covered."""


def load_progress(reader: Reader) -> StoredProgress | None:
    """Return how far it is; None before a sync."""
    row = reader.get(Table.META, _KEY)
    return None if row is None else StoredProgress._make(_ROW.unpack(row))


def save_progress(writer: Writer, progress: StoredProgress) -> None:
    """Note how far it is. The coverage is another matter."""
    writer.put(Table.META, _KEY, _ROW.pack(*progress))


def keep_accounts(
    writer: Writer, executed: Header | None, macro_head: Header, branch: Sequence[Block | None]
) -> None:
    """Note which final block's state the accounts are, if a chain that loses its state has one.

    Of genesis, from which most accounts have changed since, nothing is kept.

    Args:
        writer: The transaction, in which the chain still says whether it has its state.
        executed: What `executed_header` said before blocks were adopted.
        macro_head: The newest final block then.
        branch: Blocks above that, ascending: what they have changed is undone.
    """
    if is_syncing(writer) and executed is None:
        return
    for block in reversed(branch):
        assert block is not None, "the main chain is stored"
        if executed is None or block.number <= executed.number:
            revert_accounts(writer, block)
    final = macro_head if executed is None or executed.number > macro_head.number else executed
    if final.number:
        save_whole(writer, final)


def save_whole(writer: Writer, block: Header) -> None:
    """Note that the stored accounts and branches are the whole state after a block."""
    delete_range(writer, Table.COVERAGE)
    writer.put(Table.COVERAGE, _FIRST_KEY, _LAST_KEY)
    save_progress(
        writer,
        StoredProgress(
            number=block.number,
            hash=block.hash,
            state_root=block.state_root,
            history_root=block.history_root,
            is_whole=True,
            accounts=accounts_in_trie(writer),
        ),
    )


def forget_progress(writer: Writer) -> None:
    """Forget which part of the accounts is fetched: all of it, or none that counts."""
    delete_range(writer, Table.COVERAGE)
    writer.delete(Table.META, _KEY)


def accounts_in_trie(reader: Reader) -> int:
    """Count the stored accounts, whose branches must belong to them."""
    branch = reader.get(Table.BRANCHES, ROOT.key)
    if branch is not None:
        return accounts_below(branch)
    return sum(1 for _ in reader.scan(Table.ACCOUNTS))
