"""Making a state that was fetched the state of the chain: what can be asked, and what is written.

All in one transaction, which nothing else can come between. In which order it is asked, and what
each error is called, is the finalizer's matter.
"""

from sys import maxsize

from node.accounts import state_history, trie
from node.blocks.header import Header
from node.chain.block_operations import BlockOperationQueue
from node.chain.block_store import load_block, main_hash_at
from node.chain.execution import count_transactions
from node.chain.head import ChainHead
from node.chain.history_lengths import save_history_length
from node.chain.history_tree import Peaks, node_key, peak_positions
from node.chain.settings import ChainSettings
from node.chain.state_mode import is_syncing, note_state_head, state_head, sync_target
from node.chain.state_progress import forget_progress
from node.chain.window import first_missing, window_line
from node.chain.window_index import forget_step, index_step
from node.storage.store import Table, Writer, delete_range
from protocols.types import Hash32, Height


class StateCompletion:
    """One attempt to complete a state, within one transaction."""

    def __init__(self, settings: ChainSettings, writer: Writer, head: ChainHead) -> None:
        self._policy = settings.policy
        self._head = head
        self._writer = writer

    @property
    def target(self) -> Hash32 | None:
        """What the chain's state sync is on its way to, or None."""
        return sync_target(self._writer) if is_syncing(self._writer) else None

    @property
    def state_head(self) -> Hash32 | None:
        """The block whose state has been completed before, or None."""
        return state_head(self._writer)

    def header(self, block: Hash32) -> Header | None:
        """Return a stored header."""
        found = load_block(self._writer, block)
        return None if found is None else found.header

    def is_final(self, block: Header) -> bool:
        """Tell whether a block is on the main chain, and can never leave it."""
        is_below = block.number <= self._head.macro.number
        return is_below and main_hash_at(self._writer, block.number) == block.hash

    def state_root(self) -> Hash32:
        """Return the root of the stored accounts, from their branches."""
        return trie.root(self._writer)

    def first_missing(self, block: Header) -> Height | None:
        """Return the highest height of a block's window that lacks its whole block, or None."""
        line = window_line(block.number, self._policy)
        return first_missing(self._writer, block.number, line)

    def write(self, block: Header, peaks: Peaks) -> None:
        """Make the stored accounts the state after a block; everything has been checked."""
        epoch = self._policy.epoch_at(block.number)
        delete_range(self._writer, Table.HISTORY)
        positions = peak_positions(peaks.leaf_count)
        for position, peak in zip(positions, peaks.hashes, strict=True):
            self._writer.put(Table.HISTORY, node_key(epoch, position), peak)
        line = window_line(block.number, self._policy)
        # Most often nothing is left, and then it costs nothing.
        index_step(self._writer, block.number, line, self._policy, maxsize)
        forget_step(self._writer)
        self._note_lengths(block, line, peaks.leaf_count)
        state_history.begin(self._writer, block.number)
        note_state_head(self._writer, block.hash)
        forget_progress(self._writer)
        BlockOperationQueue(self._writer).prune(block.number)

    def _note_lengths(self, target: Header, line: Height, leaf_count: int) -> None:
        """Note how long the history of the target's epoch was at each macro block."""
        policy = self._policy
        lowest = max(line, policy.election_before(target.number) + 1)
        for height in range(target.number, lowest - 1, -1):
            if policy.is_macro(height):
                save_history_length(self._writer, height, leaf_count)
            leaf_count -= count_transactions(self._writer, height)
