"""The chain as one snapshot of the store shows it."""

from collections.abc import Sequence
from dataclasses import dataclass

from node.blocks.header import Header
from node.chain.block_store import (
    load_block,
    load_block_bytes,
    main_hash_at,
    newest_main_height,
)
from node.chain.history_index import TransactionPlace, find_transaction, load_transaction
from node.chain.history_lengths import load_history_length
from node.chain.history_proof import load_proof
from node.chain.history_reading import load_peaks_at, load_transactions
from node.chain.history_tree import Peaks
from node.chain.provable_states import ProvableStates
from node.chain.pruning import is_pruned
from node.chain.state_mode import is_syncing
from node.policy import Policy
from node.storage.store import Reader
from protocols.types import Hash32, Height


@dataclass(frozen=True, slots=True)
class StoredChain:
    """Implements `ChainSnapshot`: no push can come between two of its answers."""

    reader: Reader

    def header(self, block: Hash32) -> Header | None:
        """Return the header of a stored block."""
        found = load_block(self.reader, block)
        return None if found is None else found.header

    def is_on_main_chain(self, block: Hash32) -> bool:
        """Tell whether a block is stored and on the main chain."""
        header = self.header(block)
        return header is not None and self.hash_at(header.number) == block

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the hash of the main chain's block at a height."""
        return main_hash_at(self.reader, height)

    def is_pruned(self, height: Height) -> bool:
        """Tell whether the chain has come by a height, and keeps no block of it."""
        return is_pruned(self.reader, height)

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        """Return a stored block as `ChainView.block_bytes` does."""
        return load_block_bytes(self.reader, block, with_body=with_body)

    def head_number(self) -> Height:
        """Return the height of the newest block of the main chain."""
        return newest_main_height(self.reader)

    def find_transaction(self, transaction: Hash32) -> TransactionPlace | None:
        """Return where a final transaction stands, or None. Another one may stand there."""
        return find_transaction(self.reader, transaction)

    def transaction_bytes(self, place: TransactionPlace) -> bytes | None:
        """Return the encoding of a final transaction, or None if its body is not stored."""
        return load_transaction(self.reader, place)

    def history_length(self, macro: Height) -> int | None:
        """Return how many transactions an epoch has up to a macro block, or None if not kept."""
        return load_history_length(self.reader, macro)

    def transactions(
        self, policy: Policy, macro: Height, first: int, end: int
    ) -> tuple[bytes, ...] | None:
        """Return transactions of an epoch by leaf index, as `load_transactions` does."""
        return load_transactions(self.reader, policy, macro, first, end)

    def history_proof(
        self, epoch: int, indices: Sequence[int], leaf_count: int
    ) -> tuple[Hash32, ...] | None:
        """Return the proof for leaves of an epoch, as `load_proof` does."""
        return load_proof(self.reader, epoch, indices, leaf_count)

    def history_peaks(self, policy: Policy, height: Height) -> Peaks | None:
        """Return the peaks of a history after a block, as `load_peaks_at` does."""
        return load_peaks_at(self.reader, policy, height)

    @property
    def has_state(self) -> bool:
        """Whether the state is complete, where it is kept."""
        return not is_syncing(self.reader)

    def states(self) -> ProvableStates:
        """Return the states that can be presented. Only where there is a state."""
        return ProvableStates(self.reader, self.head_number())
