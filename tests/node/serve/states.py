"""A chain with accounts for the tests that serve its state."""

from dataclasses import dataclass
from functools import cache
from itertools import count

from node.accounts.account import Account
from node.blocks.block import Block
from node.blocks.header import Header
from node.chain.chain import Chain
from node.storage.store import Table
from protocols.types import Address, Hash32, Height
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, light_chain, open_chain, push_one
from tests.build.fetched import fetched_batches
from tests.build.keys import genesis

LENGTH = 26
"""Macro blocks at 4, 8, ..., 24, so that states from 8 on are kept."""

OLDEST = 8

ABSENT = Address(b"\x33" * 20)


@dataclass(frozen=True, slots=True)
class States:
    """A chain, the states after some of its blocks, and a fork above block 25."""

    builder: ChainBuilder
    chain: Chain
    accounts: dict[Height, dict[Address, bytes]]
    fork: Block

    def header(self, height: Height) -> Header:
        """Return the header of a block of the main chain."""
        return self.builder.block_at(height).header

    def at(self, height: Height) -> Hash32:
        """Return the hash of a block of the main chain."""
        return self.header(height).hash

    def light(self) -> Chain:
        """Return a chain of the same blocks without state."""
        chain = light_chain(self.builder.genesis)
        self.builder.push_all(chain)
        return chain

    def adopted(self) -> Chain:
        """Return a chain that knows the state after block 24 and nothing of those before."""
        chain = open_chain(self.builder.genesis)
        chain.adopt_batches(fetched_batches(self.builder.blocks[:24]))
        return chain


@cache
def states() -> States:
    """Build the chain once: nothing in these tests changes it."""
    builder, nonces = ChainBuilder(genesis(account_count=150)), count(1)
    accounts: dict[Height, dict[Address, bytes]] = {}
    for height in range(1, LENGTH + 1):
        some = [
            transaction(nonce=next(nonces), sender=index, validity_start=max(height - 4, 0))
            for index in range(height % 3)
        ]
        builder.extend(1, [some])
        with builder.chain._store.read() as reader:
            stored = reader.scan(Table.ACCOUNTS)
            accounts[height] = {Address(address): value for address, value in stored}
    assert all(Account.decode(value) for value in accounts[LENGTH].values())
    fork = builder.fork_from(builder.block_at(25).hash)
    fork.extend()
    push_one(builder.chain, fork.blocks[-1])
    assert builder.chain.head.hash == builder.block_at(LENGTH).hash
    return States(builder, builder.chain, accounts, fork.blocks[-1])
