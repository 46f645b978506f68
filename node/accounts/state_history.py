"""What blocks have changed in the state, so that states of the past can be presented and proven.

    DIFFS          height                        -> diff of the block; none if it changed nothing
    OLD_ACCOUNTS   group, address, height        -> value before the block, empty for no account
    OLD_BRANCHES   group, branch key, height     -> what leads back to the branch before the block
    META           "oldest_state"                -> first height whose state can be presented

A group is 32 heights. Writes lie close together, one group after the other, and are deleted by
groups; a lookup looks once into each group and not once into each block.

What is no longer presented goes little by little: some rows when a batch becomes final, and with
each block twice as many as it adds. So no commit takes long, and less is left after every block.
"""

from typing import Final

from node.accounts.branch_patch import NEW_BRANCH
from node.accounts.diff import EMPTY_DIFF, Diff, changes_of
from node.accounts.trie import TrieUpdate
from node.chain.block_store import height_key
from node.storage.store import Reader, Table, Writer, delete_range
from protocols.types import Height

GROUP_BLOCKS: Final = 32
"""A state 240 blocks back is 8 lookups away. 32 blocks of 1000 changes are 4 MB: what a block adds
is scattered over no more than that."""

MAX_PRUNED_ROWS: Final = 4096
"""Rows deleted when a batch becomes final, about 15 ms: all that a batch of small blocks adds."""

PRUNED_PER_ROW: Final = 2
"""Rows deleted for each one that a block adds, as long as there are any: with one, what a jump has
left behind would never go."""

GROUP_BYTES: Final = 4
HEIGHT_BYTES: Final = 4

_OLDEST_KEY: Final = b"oldest_state"


def begin(writer: Writer, height: Height) -> None:
    """Forget all that was and let the state that is stored now, of this height, be the oldest."""
    for table in (Table.DIFFS, Table.OLD_ACCOUNTS, Table.OLD_BRANCHES):
        delete_range(writer, table)
    writer.put(Table.META, _OLDEST_KEY, height_key(height))


def record(writer: Writer, height: Height, diff: Diff, update: TrieUpdate) -> None:
    """Note what a block changes, before it is written.

    Args:
        writer: The state below the block.
        height: Of the block.
        diff: Of the block.
        update: Of the block, planned over the same state.
    """
    if oldest_state(writer) is None:
        writer.put(Table.META, _OLDEST_KEY, height_key(height - 1))
    group, suffix = group_key(height), height_key(height)
    if diff.entries:
        writer.put(Table.DIFFS, suffix, diff.encode())
    accounts = [(group + address + suffix, old or b"") for address, old, _ in diff.entries]
    writer.put_many(Table.OLD_ACCOUNTS, accounts)
    patches = [
        (group + key + suffix, update.patches.get(key, NEW_BRANCH))
        for key in sorted(update.branches)
    ]
    writer.put_many(Table.OLD_BRANCHES, patches)
    _delete_old(writer, PRUNED_PER_ROW * (len(accounts) + len(patches)))


def forget_block(writer: Writer, height: Height) -> None:
    """Forget what the newest block has changed: it is being undone."""
    suffix = height_key(height)
    writer.delete(Table.DIFFS, suffix)
    for table in (Table.OLD_ACCOUNTS, Table.OLD_BRANCHES):
        rows = writer.scan(table, group_key(height))
        for key in [key for key, _ in rows if key.endswith(suffix)]:
            writer.delete(table, key)


def prune(writer: Writer, oldest: Height) -> None:
    """Present the states before a height no longer, and delete some of what they took."""
    if (oldest_state(writer) or 0) < oldest:
        writer.put(Table.META, _OLDEST_KEY, height_key(oldest))
    _delete_old(writer, MAX_PRUNED_ROWS)


def oldest_state(reader: Reader) -> Height | None:
    """Return the first height whose state can be presented; None if only the present one can."""
    found = reader.get(Table.META, _OLDEST_KEY)
    return None if found is None else int.from_bytes(found, "big")


def groups_above(reader: Reader, height: Height) -> tuple[bytes, ...]:
    """Return the keys of the groups that may hold changes of blocks above a height, ascending."""
    newest = next(reader.scan(Table.OLD_ACCOUNTS, reverse=True), None)
    if newest is None:
        return ()
    last = int.from_bytes(newest[0][:GROUP_BYTES], "big")
    first = (height + 1) // GROUP_BLOCKS
    return tuple(group.to_bytes(GROUP_BYTES, "big") for group in range(first, last + 1))


def group_key(height: Height) -> bytes:
    """Return what the rows of a block's group begin with."""
    return (height // GROUP_BLOCKS).to_bytes(GROUP_BYTES, "big")


def diff_at(reader: Reader, height: Height) -> Diff:
    """Return what the block at a height has changed. The height is above the oldest state."""
    stored = reader.get(Table.DIFFS, height_key(height))
    return EMPTY_DIFF if stored is None else Diff.decode(stored)


def changes_at(reader: Reader, height: Height) -> bytes:
    """Return what the block at a height changes, as its diff root has it, as `diff_at` does."""
    return changes_of(reader.get(Table.DIFFS, height_key(height)) or b"")


def _delete_old(writer: Writer, limit: int) -> None:
    """Delete rows that no state needs which can still be presented.

    Args:
        writer: The transaction.
        limit: Most rows.
    """
    first = (oldest_state(writer) or 0) + 1
    group = group_key(first)
    ends = (
        (Table.DIFFS, height_key(first)),
        (Table.OLD_ACCOUNTS, group),
        (Table.OLD_BRANCHES, group),
    )
    for table, end in ends:
        limit -= writer.delete_first(table, limit, end=end)
