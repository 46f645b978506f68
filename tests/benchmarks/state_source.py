"""A chain with many accounts to fetch, and blocks above it that change some of them.

The accounts come from nowhere: they are written to disk, and the genesis block commits to them.
Nodes are given that block and no list of accounts, as if transactions had made them.

    <folder>/
        genesis        state root of the genesis block
        data/          the chain, as a History node stores it
        blocks-<n>     what comes next when each block changes n accounts
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

import msgpack

from node.accounts import state_history, trie
from node.accounts.account import Account
from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.chain.genesis import Genesis
from node.chain.growing import GrowingChain
from node.chain.retention import Retention
from node.chain.state_mode import end_syncing
from node.crypto.bls import KeyCache
from node.crypto.ed25519 import SigningKey
from node.crypto.hashes import address_of
from node.keys import NodeKeys
from node.policy import Policy
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from node.storage.store import Table
from node.testnet.workload import BALANCE, FEE, workload_keys
from protocols.types import ADDRESS_BYTES, Address, Hash32, Height
from tests.build.keys import GENESIS_TIMESTAMP, SEED, keys

POLICY: Final = Policy(
    batch_length=10,
    batches_per_epoch=1000,
    slots=8,
    validity_window_batches=3,
    max_body_bytes=1_000_000,
    block_separation_ms=100,
)
"""The faster chain has a macro block each second, and forgets states after four. Nodes take as many
announcements as its blocks need."""

NETWORK: Final = 1
VALIDATORS: Final = 4
SENDERS: Final = 2000
BASE_BATCHES: Final = 4


@dataclass(frozen=True, kw_only=True)
class GrownGenesis(Genesis):
    """A genesis whose accounts are known by their root alone."""

    state_root: Hash32

    def block(self) -> Block:
        """Return block 0 with the root of all accounts."""
        block = super().block()
        return replace(block, header=replace(block.header, state_root=self.state_root))


def genesis_of(folder: Path) -> GrownGenesis:
    """Return the genesis of a source."""
    return _genesis(Hash32((folder / "genesis").read_bytes()))


def later_blocks(folder: Path, changed: int) -> list[bytes]:
    """Return the encoded blocks above a source's head that change so many accounts each."""
    blocks: list[bytes] = msgpack.unpackb((folder / f"blocks-{changed}").read_bytes())
    return blocks


def make_source(folder: Path, accounts: int, later: Mapping[int, int]) -> None:
    """Write a source.

    Args:
        folder: Empty.
        accounts: At least the senders.
        later: Number of blocks by how many accounts each of them changes.
    """
    senders = workload_keys(0, SENDERS)
    addresses = _addresses(senders, accounts)
    data = folder / "data"
    (folder / "genesis").write_bytes(_write_accounts(data, addresses))
    store = DiskStore(data)
    chain = _open(store, genesis_of(folder))
    for _ in range(BASE_BATCHES):
        chain.grow_batch(_signers(), lambda _: [])
    store.close()
    for changed, count in later.items():
        blocks = _grow(folder, senders, addresses, changed, count)
        (folder / f"blocks-{changed}").write_bytes(msgpack.packb(blocks))


def _genesis(state_root: Hash32) -> GrownGenesis:
    first = Genesis.for_testnet(
        SEED,
        validators=[keys(index) for index in range(VALIDATORS)],
        policy=POLICY,
        timestamp=GENESIS_TIMESTAMP,
        network=NETWORK,
    )
    return GrownGenesis(
        network=NETWORK,
        name=first.name,
        timestamp=first.timestamp,
        seed=first.seed,
        policy=first.policy,
        stakes=first.stakes,
        state_root=state_root,
    )


def _addresses(senders: Sequence[SigningKey], accounts: int) -> list[Address]:
    draw = Random(accounts)
    addresses = {address_of(key.public_key) for key in senders}
    while len(addresses) < accounts:
        addresses.add(Address(draw.randbytes(ADDRESS_BYTES)))
    return sorted(addresses)


def _write_accounts(data: Path, addresses: Sequence[Address]) -> Hash32:
    """Make a store whose state is complete, and return its root."""
    store = DiskStore(data)
    value = Account(BALANCE).encode()
    with store.write() as writer:
        writer.put_many(Table.ACCOUNTS, ((address, value) for address in addresses))
        root = trie.rebuild(writer)
    _open(store, _genesis(root), starts_without_state=True)
    with store.write() as writer:
        state_history.begin(writer, 0)
        end_syncing(writer)
    store.close()
    return root


def _open(
    store: DiskStore, genesis: Genesis, *, starts_without_state: bool = False
) -> GrowingChain:
    return GrowingChain.open(
        store,
        genesis,
        retention=Retention.ALL,
        keeps_state=True,
        clock=SystemClock(),
        key_cache=KeyCache(),
        starts_without_state=starts_without_state,
    )


def _grow(
    folder: Path,
    senders: Sequence[SigningKey],
    addresses: Sequence[Address],
    changed: int,
    count: int,
) -> list[bytes]:
    scratch = folder / "scratch"
    shutil.copytree(folder / "data", scratch)
    store = DiskStore(scratch)
    chain = _open(store, genesis_of(folder))
    first, draw = chain.head.number + 1, Random(changed)

    def take(height: Height) -> list[Transaction]:
        # Sender and recipient change.
        offset = height * (changed // 2)
        return [
            _transfer(senders[(offset + each) % SENDERS], draw.choice(addresses), height)
            for each in range(changed // 2)
        ]

    while chain.head.number < first + count:
        chain.grow_batch(_signers(), take, durable=False)
    blocks = [_encoded(chain, height) for height in range(first, chain.head.number + 1)]
    store.close()
    shutil.rmtree(scratch)
    return blocks


def _transfer(sender: SigningKey, recipient: Address, height: Height) -> Transaction:
    transaction = Transaction(
        sender_key=sender.public_key,
        recipient=recipient,
        value=1,
        fee=FEE,
        validity_start=height,
        network=NETWORK,
    )
    return replace(transaction, signature=sender.sign(transaction.hash))


def _encoded(chain: GrowingChain, height: Height) -> bytes:
    found = chain.hash_at(height)
    assert found is not None
    payload = chain.block_bytes(found, with_body=True)
    assert payload is not None
    return payload


def _signers() -> dict[bytes, NodeKeys]:
    validators = [keys(index) for index in range(VALIDATORS)]
    return {each.signing.public_key: each for each in validators}
