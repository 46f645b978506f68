"""What the rest of the node may read of the chain.

All members are cheap and callable from any thread: `head` and its kin are replaced as whole
values when a push has committed, each lookup reads a store snapshot of its own. Whoever needs
several that belong together opens one for all of them.
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from node.blocks.block import Block
from node.blocks.header import Header, MacroHeader
from node.blocks.validators import Validators
from node.chain.history_index import TransactionPlace
from node.chain.history_tree import Peaks
from node.chain.provable_states import ProvableStates
from node.policy import Policy
from protocols.types import Hash32, Height


class ChainSnapshot(Protocol):
    """A chain as it was at one moment, which no push changes."""

    def header(self, block: Hash32) -> Header | None:
        """Return the header of a stored block."""
        ...

    def is_on_main_chain(self, block: Hash32) -> bool:
        """Tell whether a block is stored and on the main chain."""
        ...

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the hash of the main chain's block at a height."""
        ...

    def is_pruned(self, height: Height) -> bool:
        """Tell whether the chain has come by a height, and keeps no block of it."""
        ...

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        """Return a stored block as `ChainView.block_bytes` does."""
        ...

    def head_number(self) -> Height:
        """Return the height of the newest block of the main chain."""
        ...

    def find_transaction(self, transaction: Hash32) -> TransactionPlace | None:
        """Return where a final transaction stands, or None. Another one may stand there."""
        ...

    def transaction_bytes(self, place: TransactionPlace) -> bytes | None:
        """Return the encoding of a final transaction, or None if its body is not stored."""
        ...

    def history_length(self, macro: Height) -> int | None:
        """Return how many transactions an epoch has up to a macro block, or None if not kept."""
        ...

    def transactions(
        self, policy: Policy, macro: Height, first: int, end: int
    ) -> tuple[bytes, ...] | None:
        """Return encoded transactions of an epoch, or None if not all of them are stored.

        Args:
            policy: Of the network.
            macro: Height of a macro block of the epoch, or of the one at its end.
            first: Leaf index of the first transaction.
            end: Leaf index after the last: above `first`, at most the history length at `macro`.
        """
        ...

    def history_proof(
        self, epoch: int, indices: Sequence[int], leaf_count: int
    ) -> tuple[Hash32, ...] | None:
        """Return the proof for leaves of an epoch, or None if not all of its nodes are stored.

        Args:
            epoch: Of the leaves.
            indices: Ascending, below the leaf count, at least one.
            leaf_count: History length at the macro block that is proven against.
        """
        ...

    def history_peaks(self, policy: Policy, height: Height) -> Peaks | None:
        """Return the peaks of an epoch's history after a block, or None if not stored.

        Args:
            policy: Of the network.
            height: Of a block of the main chain.
        """
        ...

    @property
    def has_state(self) -> bool:
        """Whether the state is complete, where it is kept: not while it is being fetched."""
        ...

    def states(self) -> ProvableStates:
        """Return the states that can be presented. Only where there is a state."""
        ...


class ChainView(Protocol):
    """A read-only chain."""

    @property
    def policy(self) -> Policy:
        """The numbers of the network."""
        ...

    @property
    def network(self) -> int:
        """Network id, 0..255."""
        ...

    @property
    def genesis(self) -> Hash32:
        """Hash of block 0."""
        ...

    @property
    def keeps_bodies(self) -> bool:
        """Whether blocks are stored with their bodies."""
        ...

    @property
    def keeps_state(self) -> bool:
        """Whether blocks are executed and account state is kept."""
        ...

    @property
    def has_state(self) -> bool:
        """Whether the state of the head is stored: not yet while it is being fetched."""
        ...

    @property
    def keeps_history(self) -> bool:
        """Whether every transaction stays stored and can be proven."""
        ...

    @property
    def head(self) -> Header:
        """Newest block of the main chain."""
        ...

    @property
    def macro_head(self) -> MacroHeader:
        """Newest macro block of the main chain: everything up to it is final."""
        ...

    @property
    def election_head(self) -> MacroHeader:
        """Newest election block of the main chain."""
        ...

    @property
    def validators(self) -> Validators:
        """Validators of the epoch that the block after `macro_head` belongs to."""
        ...

    def contains(self, block: Hash32) -> bool:
        """Tell whether a block is stored, on the main chain or a fork."""
        ...

    def is_on_main_chain(self, block: Hash32) -> bool:
        """Tell whether a block is stored and on the main chain."""
        ...

    def header(self, block: Hash32) -> Header | None:
        """Return the header of a stored block."""
        ...

    def block(self, block: Hash32, *, with_body: bool) -> Block | None:
        """Return a stored block; with `with_body`, None too if its body is not stored."""
        ...

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        """Return a stored block as `block` does, in its wire form and without decoding it."""
        ...

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the hash of the main chain's block at a height."""
        ...

    def is_pruned(self, height: Height) -> bool:
        """Tell whether the chain has come by a height, and keeps no block of it.

        Election blocks stay, unless the node came by without having them. Of a block of which only
        the hash is known it says nothing.
        """
        ...

    def snapshot(self) -> AbstractContextManager[ChainSnapshot]:
        """Open the chain as it is now. For one answer: the store keeps its pages until closed."""
        ...
