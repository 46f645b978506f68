"""A chain with a fork for the serve tests, and a view of it that can be tampered with."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Self

from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.blocks.header import Header, MacroHeader
from node.blocks.validators import Validators
from node.chain.chain import Chain
from node.chain.history_index import TransactionPlace
from node.chain.history_tree import Peaks
from node.chain.provable_states import ProvableStates
from node.chain.results import Pushed
from node.policy import Policy
from protocols.types import Hash32, Height
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, light_chain, push_one
from tests.build.keys import genesis

POLICY = Policy(batch_length=5, batches_per_epoch=2, slots=4, validity_window_batches=4)
"""Macro blocks at 5, 10 (election), 15."""
LENGTH = 13


@dataclass(frozen=True, slots=True)
class Forked:
    """A main chain up to 13 and a fork of two blocks above block 11."""

    chain: Chain
    genesis: Hash32
    main: tuple[Block, ...]
    """Blocks 1..13, ascending."""
    fork: tuple[Block, ...]
    """Blocks 12 and 13 of the fork, ascending."""

    def at(self, height: Height) -> Hash32:
        """Return the main chain's hash at a height."""
        return self.main[height - 1].hash if height else self.genesis

    def bytes_between(self, first: Height, last: Height, *, with_body: bool) -> tuple[bytes, ...]:
        """Return the encoded main chain from one height to another, both inclusive."""
        blocks = self.main[first - 1 : last]
        return tuple(encode(block, with_body=with_body) for block in blocks)


def encode(block: Block, *, with_body: bool) -> bytes:
    """Return a block as it should travel."""
    return (block if with_body else block.without_body()).encode()


@cache
def forked() -> Forked:
    """Build the chain once: nothing in these tests changes it."""
    builder = ChainBuilder(genesis(policy=POLICY))
    start = builder.head.hash
    builder.extend(LENGTH, [[transaction(nonce=nonce)] for nonce in range(1, 4)])
    fork = builder.fork_from(builder.block_at(11).hash)
    fork.extend(2)
    for block in fork.blocks[11:]:
        assert isinstance(push_one(builder.chain, block), Pushed)
    assert builder.head.hash == builder.block_at(LENGTH).hash
    return Forked(builder.chain, start, tuple(builder.blocks), tuple(fork.blocks[11:]))


@dataclass(frozen=True, slots=True)
class Epochs:
    """Two epochs and a batch with transactions in some blocks, all on one branch.

    Macro blocks at 4, 8, 12 (election), ..., 24 (election), 28; the head is 30.
    """

    builder: ChainBuilder

    @property
    def chain(self) -> Chain:
        """The chain that has all blocks."""
        return self.builder.chain

    def at(self, height: Height) -> Hash32:
        """Return the hash of a block."""
        return self.builder.block_at(height).hash if height else self.builder.genesis.hash

    def transactions(self, epoch: int) -> list[bytes]:
        """Return the transactions of an epoch, encoded, in order."""
        policy, blocks = self.chain.policy, self.builder.blocks
        bodies = (block.body for block in blocks if policy.epoch_at(block.number) == epoch)
        return [
            each.encode()
            for body in bodies
            if isinstance(body, MicroBody)
            for each in body.transactions
        ]

    def light(self) -> Chain:
        """Return a chain of the same blocks that keeps neither bodies nor state."""
        chain = light_chain(self.builder.genesis)
        self.builder.push_all(chain)
        return chain


COUNTS = {1: 2, 5: 1, 6: 3, 11: 1, 13: 5, 15: 4, 18: 7, 22: 1, 25: 2, 29: 6}
"""Transactions by height: 7 leaves in the first epoch, 17 in the second, 8 in the third so far."""


@cache
def epochs() -> Epochs:
    """Build the chain once: nothing in these tests changes it."""
    builder, nonces = ChainBuilder(), count(1)
    for height in range(1, 31):
        some = [
            transaction(nonce=next(nonces), sender=index % 3, validity_start=max(height - 4, 0))
            for index in range(COUNTS.get(height, 0))
        ]
        if height in {2, 17}:
            builder.skip()
        else:
            builder.extend(1, [some])
    return Epochs(builder)


@dataclass(slots=True)
class TamperedView:
    """A `ChainView` that shows a chain with some answers changed."""

    chain: Chain
    keeps_bodies: bool = True
    without_body: frozenset[Hash32] = frozenset()
    """Blocks whose bodies have been pruned."""
    missing: frozenset[Hash32] = frozenset()
    """Blocks that are not stored."""
    without_length: frozenset[Height] = frozenset()
    """Macro blocks whose history lengths have been pruned."""

    @property
    def policy(self) -> Policy:
        return self.chain.policy

    @property
    def network(self) -> int:
        return self.chain.network

    @property
    def genesis(self) -> Hash32:
        return self.chain.genesis

    @property
    def keeps_state(self) -> bool:
        return self.chain.keeps_state

    @property
    def has_state(self) -> bool:
        return self.chain.has_state

    @property
    def keeps_history(self) -> bool:
        return self.chain.keeps_history

    @property
    def head(self) -> Header:
        return self.chain.head

    @property
    def macro_head(self) -> MacroHeader:
        return self.chain.macro_head

    @property
    def election_head(self) -> MacroHeader:
        return self.chain.election_head

    @property
    def validators(self) -> Validators:
        return self.chain.validators

    def contains(self, block: Hash32) -> bool:
        return self.chain.contains(block)

    def is_on_main_chain(self, block: Hash32) -> bool:
        return self.chain.is_on_main_chain(block)

    def header(self, block: Hash32) -> Header | None:
        return None if block in self.missing else self.chain.header(block)

    def block(self, block: Hash32, *, with_body: bool) -> Block | None:
        return self.chain.block(block, with_body=with_body)

    def block_bytes(self, block: Hash32, *, with_body: bool) -> bytes | None:
        if block in self.missing or (with_body and block in self.without_body):
            return None
        return self.chain.block_bytes(block, with_body=with_body)

    def hash_at(self, height: Height) -> Hash32 | None:
        return self.chain.hash_at(height)

    def is_pruned(self, height: Height) -> bool:
        return self.chain.is_pruned(height)

    def head_number(self) -> Height:
        return self.chain.head.number

    def find_transaction(self, transaction: Hash32) -> TransactionPlace | None:
        with self.chain.snapshot() as snapshot:
            return snapshot.find_transaction(transaction)

    def transaction_bytes(self, place: TransactionPlace) -> bytes | None:
        with self.chain.snapshot() as snapshot:
            return snapshot.transaction_bytes(place)

    def history_length(self, macro: Height) -> int | None:
        with self.chain.snapshot() as snapshot:
            return None if macro in self.without_length else snapshot.history_length(macro)

    def transactions(
        self, policy: Policy, macro: Height, first: int, end: int
    ) -> tuple[bytes, ...] | None:
        with self.chain.snapshot() as snapshot:
            return snapshot.transactions(policy, macro, first, end)

    def history_proof(
        self, epoch: int, indices: Sequence[int], leaf_count: int
    ) -> tuple[Hash32, ...] | None:
        with self.chain.snapshot() as snapshot:
            return snapshot.history_proof(epoch, indices, leaf_count)

    def history_peaks(self, policy: Policy, height: Height) -> Peaks | None:
        with self.chain.snapshot() as snapshot:
            return snapshot.history_peaks(policy, height)

    def states(self) -> ProvableStates:
        with self.chain.snapshot() as snapshot:
            return snapshot.states()

    @contextmanager
    def snapshot(self) -> Iterator[Self]:
        yield self
