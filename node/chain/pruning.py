"""Deleting what a node no longer keeps, in the transaction that finalises a batch.

    E ........ E ........ | c ---- c ---- M --- head
               pruned     line            macro head

As a rule one batch leaves for each that enters. After a jump over many the work of one commit is
bounded, and later commits do the rest: how far it has come is stored, so a restart goes on there.
Blocks that wait for the state to be executed stay, and so does the window below them; and so do
those above the block whose accounts are there, whose headers tell what has changed since, as long
as a peer may have these changes.

    META    "pruned below"  -> height, 4 bytes: only election blocks are left below it
"""

from itertools import islice
from typing import Final

from node.chain.block_store import (
    delete_block,
    delete_body,
    hashes_between,
    height_key,
    main_hash_at,
    unset_main,
)
from node.chain.history_lengths import delete_history_length
from node.chain.history_tree import node_key
from node.chain.retention import CHANGES_BATCHES
from node.chain.settings import ChainSettings
from node.chain.state_mode import first_needed
from node.chain.state_progress import load_progress
from node.storage.store import Reader, Table, Writer
from protocols.types import Hash32, Height

MAX_PRUNED_BLOCKS: Final = 4096
"""Blocks looked at in one commit: four times the longest batch, so that what is left over becomes
less with every batch. About 50 ms."""

MAX_PRUNED_NODES: Final = 65_536
"""Nodes of history trees deleted in one commit: a tenth of a second. A batch of 60 blocks with 100
transactions each adds 12,000."""

_PRUNED_KEY: Final = b"pruned_below"


def prune(writer: Writer, macro_head: Height, settings: ChainSettings) -> tuple[Hash32, ...]:
    """Delete blocks and history below the line, election headers aside.

    Args:
        writer: The transaction in which the macro head became final.
        macro_head: Height of the newest final macro block.
        settings: What stays stored.

    Returns:
        The blocks that are no longer stored.
    """
    policy = settings.policy
    line = settings.retention.line_below(_line_base(writer, macro_head, settings), policy)
    fetched = load_progress(writer) if settings.keeps_state else None
    if fetched is not None:
        useful = max(macro_head - CHANGES_BATCHES * policy.batch_length, 0)
        line = min(line, max(policy.macro_at_or_before(fetched.number), useful))
    start = pruned_below(writer)
    if start >= line:
        return ()
    found = tuple(islice(hashes_between(writer, start, line), MAX_PRUNED_BLOCKS))
    reached = line if len(found) < MAX_PRUNED_BLOCKS else found[-1][0]
    deleted = []
    for number, block in found:
        if policy.is_macro(number) and settings.keeps_state:
            delete_history_length(writer, number)
        if policy.is_election(number):
            delete_body(writer, block)
        else:
            delete_block(writer, number, block)
            unset_main(writer, number)
            deleted.append(block)
    writer.put(Table.META, _PRUNED_KEY, height_key(reached))
    if settings.keeps_state:
        _prune_history(writer, policy.epoch_at(reached))
    return tuple(deleted)


def _line_base(reader: Reader, macro_head: Height, settings: ChainSettings) -> Height:
    """Return the macro block from which the line is counted down."""
    needed = first_needed(reader) if settings.keeps_state else None
    if needed is None:
        return macro_head
    return min(macro_head, settings.policy.macro_at_or_before(needed))


def pruned_below(reader: Reader) -> Height:
    """Return the height below which only election blocks are stored."""
    stored = reader.get(Table.META, _PRUNED_KEY)
    return 0 if stored is None else int.from_bytes(stored, "big")


def is_pruned(reader: Reader, height: Height) -> bool:
    """Tell whether the chain has come by a height, and keeps no block of it."""
    return height < pruned_below(reader) and main_hash_at(reader, height) is None


def keep_from(writer: Writer, line: Height) -> None:
    """Have blocks kept from a line on that lies below what has been pruned: they come back."""
    if pruned_below(writer) > line:
        writer.put(Table.META, _PRUNED_KEY, height_key(line))


def forget_pruning(writer: Writer) -> None:
    """Start over: the chain is back at genesis."""
    writer.delete(Table.META, _PRUNED_KEY)


def _prune_history(writer: Writer, first_epoch: int) -> None:
    """Delete the trees of epochs before the first one that has blocks left."""
    below = writer.scan(Table.HISTORY, b"", node_key(first_epoch, 0))
    for key in [key for key, _ in islice(below, MAX_PRUNED_NODES)]:
        writer.delete(Table.HISTORY, key)
