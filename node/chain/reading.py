"""Reading the chain of one node, from any thread.

The head is one immutable value that is replaced after a commit. Blocks of the batch under way are
answered from memory, others from a snapshot of the store.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from node.accounts.account import Account
from node.blocks.block import Block
from node.blocks.header import Header, MacroHeader
from node.blocks.validators import Validators
from node.chain.block_store import (
    has_block,
    hashes_between,
    load_block,
    load_block_bytes,
    main_hash_at,
)
from node.chain.execution import has_transaction
from node.chain.head import ChainHead
from node.chain.pruning import is_pruned
from node.chain.recent import RecentBlocks
from node.chain.settings import ChainSettings
from node.chain.snapshot import StoredChain
from node.chain.state_mode import is_syncing
from node.errors import NoStateError
from node.policy import Policy
from node.storage.store import Reader, Store, Table
from protocols.types import Address, Hash32, Height


class ChainReader:
    """Implements `ChainView`, and what validators and the daemon read besides."""

    def __init__(
        self, store: Store, genesis: Hash32, settings: ChainSettings, head: ChainHead
    ) -> None:
        self._store = store
        self._genesis = genesis
        self._settings = settings
        self._head = head
        self._recent = RecentBlocks()
        with store.read() as reader:
            self._has_state = settings.keeps_state and not is_syncing(reader)
        self._warm_up()

    @property
    def policy(self) -> Policy:
        """The numbers of the network."""
        return self._settings.policy

    @property
    def network(self) -> int:
        """Network id, 0..255."""
        return self._settings.network

    @property
    def genesis(self) -> Hash32:
        """Hash of block 0."""
        return self._genesis

    @property
    def keeps_bodies(self) -> bool:
        """Whether blocks are stored with their bodies."""
        return self._settings.retention.has_bodies

    @property
    def keeps_state(self) -> bool:
        """Whether blocks are executed and account state is kept."""
        return self._settings.keeps_state

    @property
    def has_state(self) -> bool:
        """Whether the state of the head is stored: not yet while it is being fetched."""
        return self._has_state

    @property
    def keeps_history(self) -> bool:
        """Whether every transaction stays stored and can be proven."""
        return self._settings.keeps_history

    @property
    def head(self) -> Header:
        """Newest block of the main chain."""
        return self._head.header

    @property
    def macro_head(self) -> MacroHeader:
        """Newest macro block of the main chain: everything up to it is final."""
        return self._head.macro

    @property
    def election_head(self) -> MacroHeader:
        """Newest election block of the main chain."""
        return self._head.election

    @property
    def validators(self) -> Validators:
        """Validators of the epoch that the block after `macro_head` belongs to."""
        return self._head.validators

    def contains(self, block: Hash32) -> bool:
        """Tell whether a block is stored, on the main chain or a fork."""
        if self._recent.get(block) is not None:
            return True
        with self._store.read() as reader:
            return has_block(reader, block)

    def is_on_main_chain(self, block: Hash32) -> bool:
        """Tell whether a block is stored and on the main chain."""
        head = self._head
        found = self._find(block)
        if found is None:
            return False
        # Only the batch under way has forks: those of closed batches have been deleted.
        return found.number <= head.macro.number or head.hash_at(found.number) == block

    def header(self, block: Hash32) -> Header | None:
        """Return the header of a stored block."""
        found = self._find(block)
        return None if found is None else found.header

    def block(self, block: Hash32, *, with_body: bool) -> Block | None:
        """Return a stored block; with `with_body`, None too if its body is not stored."""
        if not with_body:
            return self._find(block)
        with self._store.read() as reader:
            return load_block(reader, block, with_body=True)

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        """Return a stored block as `block` does, in its wire form and without decoding it."""
        with self._store.read() as reader:
            return load_block_bytes(reader, block, with_body=with_body)

    def body_bytes(self, block: Hash32) -> bytes | None:
        """Return the encoded body of a stored block, or None if it is not stored."""
        with self._store.read() as reader:
            return reader.get(Table.BODIES, block)

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the hash of the main chain's block at a height."""
        head = self._head
        if height > head.macro.number:
            return head.hash_at(height)
        with self._store.read() as reader:
            return main_hash_at(reader, height)

    def is_pruned(self, height: Height) -> bool:
        """Tell whether the chain has come by a height, and keeps no block of it."""
        with self._store.read() as reader:
            return is_pruned(reader, height)

    @contextmanager
    def snapshot(self) -> Iterator[StoredChain]:
        """Open the chain as it is now, whatever is pushed meanwhile."""
        with self._store.read() as reader:
            yield StoredChain(reader)

    def account(self, address: Address) -> Account:
        """Return an account as of the head.

        Raises:
            NoStateError: There is no state yet.
        """
        with self._store.read() as reader:
            self._check_state(reader)
            stored = reader.get(Table.ACCOUNTS, address)
        return Account(0) if stored is None else Account.decode(stored)

    def contains_transaction(self, transaction: Hash32) -> bool:
        """Tell whether the main chain holds a transaction, inside its validity window.

        Raises:
            NoStateError: There is no state yet.
        """
        with self._store.read() as reader:
            self._check_state(reader)
            return has_transaction(reader, transaction)

    def _check_state(self, reader: Reader) -> None:
        assert self.keeps_state
        if is_syncing(reader):
            raise NoStateError("the state is not complete")

    def _find(self, block: Hash32) -> Block | None:
        found = self._recent.get(block)
        if found is not None:
            return found
        with self._store.read() as reader:
            return load_block(reader, block)

    def _warm_up(self) -> None:
        """Decode the batch under way, forks too: the next blocks will ask for it."""
        macro = self._head.macro.number
        with self._store.read() as reader:
            hashes = hashes_between(reader, macro, self.policy.macro_after(macro) + 1)
            blocks = [load_block(reader, block_hash) for _, block_hash in hashes]
        self._recent.replace(added=[block for block in blocks if block is not None], deleted=())
