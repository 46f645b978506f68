"""A macro block closes its batch: its ancestors are final, every other branch goes.

M --+-- b --- b --- M'   accepted
    +-- x --- x          rejected, deleted
"""

from typing import NamedTuple

from node.accounts import state_history
from node.blocks.header import MacroHeader
from node.chain.block_store import delete_block, hashes_between, height_key
from node.chain.engine_hooks import EXECUTE_NOW, EngineHooks
from node.chain.execution import forget_transactions
from node.chain.head import ChainHead
from node.chain.history_index import index_batch_history
from node.chain.history_lengths import save_history_length
from node.chain.history_tree import load_leaf_count
from node.chain.pruning import prune
from node.chain.results import ChainEvent, EpochFinalized, Finalized
from node.chain.retention import STATE_BATCHES
from node.chain.settings import ChainSettings
from node.policy import Policy
from node.storage.store import Table, Writer
from protocols.types import Hash32, Height


class Finality(NamedTuple):
    """What became of a batch and of older blocks."""

    events: tuple[ChainEvent, ...]
    deleted: tuple[Hash32, ...]
    """Blocks that are no longer stored: those of other branches, and those that are too old."""


def finalize(
    writer: Writer,
    macro: MacroHeader,
    before: ChainHead,
    accepted: tuple[Hash32, ...],
    settings: ChainSettings,
    hooks: EngineHooks = EXECUTE_NOW,
) -> Finality:
    """Make a batch final in the store.

    What execution has left of it is made final now too, unless that is deferred.

    Args:
        writer: The transaction in which the macro block became the head.
        macro: The new macro head.
        before: The head before it: its macro head is where the batch begins.
        accepted: The batch's blocks on the main chain, ascending, the macro block last.
        settings: What stays stored.
        hooks: Hear of each block that is accepted or rejected.
    """
    first = before.macro.number + 1
    stored = tuple(hashes_between(writer, first, macro.number + 1))
    kept = frozenset(accepted)
    rejected = tuple((number, block) for number, block in stored if block not in kept)
    for number, block in rejected:
        delete_block(writer, number, block)
        hooks.on_reject(writer, number, block)
    deferred = [hooks.on_accept(writer, *each) for each in enumerate(accepted, first)]
    if settings.keeps_state and not all(deferred):
        finalize_state(writer, macro.number, settings)
    pruned = prune(writer, macro.number, settings)
    closed = tuple(block for _, block in rejected)
    finalized = Finalized(macro.hash, macro.number, accepted, closed)
    events: tuple[ChainEvent, ...] = (finalized,)
    if macro.validators is not None:
        events += (EpochFinalized(macro.hash, macro.number),)
    return Finality(events, closed + pruned)


def finalize_state(writer: Writer, macro: Height, settings: ChainSettings) -> None:
    """Make final what the execution of a batch has left in the store.

    Args:
        writer: The transaction; the macro block has been executed.
        macro: Height of the macro block that ends the batch.
        settings: What stays stored.
    """
    policy = settings.policy
    epoch = policy.epoch_at(macro)
    save_history_length(writer, macro, load_leaf_count(writer, epoch))
    if settings.keeps_history:
        index_batch_history(writer, policy, macro)
    _prune_undo(writer, macro)
    _prune_states(writer, macro, policy)
    _prune_transactions(writer, policy.macro_before(macro) + 1, macro, policy)


def _prune_undo(writer: Writer, height: Height) -> None:
    """Final blocks are never undone."""
    keys = [key for key, _ in writer.scan(Table.UNDO, b"", height_key(height + 1))]
    for key in keys:
        writer.delete(Table.UNDO, key)


def _prune_states(writer: Writer, macro_head: Height, policy: Policy) -> None:
    """Forget what it takes to prove states that nobody should still be fetching."""
    state_history.prune(writer, max(macro_head - STATE_BATCHES * policy.batch_length, 0))


def _prune_transactions(writer: Writer, first: Height, last: Height, policy: Policy) -> None:
    """Forget transactions that no later block may repeat.

    A transaction of height h starts at h at the latest, so above h plus a window it is out.
    """
    window = policy.validity_window_blocks
    for height in range(max(first - window, 0), last - window + 1):
        forget_transactions(writer, height)
