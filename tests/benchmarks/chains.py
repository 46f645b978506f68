"""Chains to measure with: valid blocks with a fixed number of transactions each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import Pushed, PushOutcome
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.policy import MAX_BATCH_LENGTH, Policy
from node.storage.disk import DiskStore
from node.testnet.workload import Workload, workload_balances
from tests.build.chain import ChainBuilder
from tests.build.clock import FixedClock
from tests.build.keys import GENESIS_TIMESTAMP, SEED, keys

ACCOUNTS = 1000
"""Funded senders: a block's transfers touch different pages of the trie."""

POLICY = Policy(batch_length=60, batches_per_epoch=1440, slots=64, max_body_bytes=1_000_000)
VALIDATORS = 8


LONG_BATCHES = replace(POLICY, batch_length=MAX_BATCH_LENGTH)
"""What is above the last macro block is followed by live sync, however much it is."""


def genesis_with_accounts(policy: Policy = POLICY) -> Genesis:
    """Return a network whose workload accounts are funded."""
    return Genesis.for_testnet(
        SEED,
        validators=[keys(index) for index in range(VALIDATORS)],
        policy=policy,
        timestamp=GENESIS_TIMESTAMP,
        accounts=workload_balances(0, ACCOUNTS),
    )


def build_chain(
    blocks: int, transactions: int, policy: Policy = POLICY
) -> tuple[Genesis, list[Block]]:
    """Return that many blocks above a genesis, macro blocks among them without transactions."""
    return build_blocks([transactions] * blocks, policy)


def build_blocks(
    transactions: Sequence[int], policy: Policy = POLICY
) -> tuple[Genesis, list[Block]]:
    """Return blocks above a genesis with so many transactions each; macro blocks have none."""
    genesis = genesis_with_accounts(policy)
    builder = ChainBuilder(genesis)
    workload = Workload(seed=0, network=genesis.network, accounts=ACCOUNTS)
    for count in transactions:
        height = builder.next_height
        wanted: Sequence[Transaction] = ()
        if not policy.is_macro(height):
            wanted = workload.take(count, height)
        builder.extend(1, [wanted])
    return genesis, builder.blocks


@contextmanager
def chain_on_disk(genesis: Genesis) -> Iterator[Chain]:
    """Open an empty full chain in a folder of its own, with nothing decoded yet."""
    with TemporaryDirectory() as folder:
        store = DiskStore(Path(folder))
        try:
            yield open_full(store, genesis)
        finally:
            store.close()


def open_full(store: DiskStore, genesis: Genesis) -> Chain:
    """Open a chain with bodies and state."""
    return Chain.open(
        store,
        genesis,
        retention=Retention.ALL,
        keeps_state=True,
        clock=FixedClock(),
        key_cache=KeyCache(),
    )


def fresh(blocks: Sequence[Block]) -> list[Block]:
    """Return blocks as they come from a peer: nothing about them is cached."""
    return [Block.decode(block.encode()) for block in blocks]


def push_in_batches(chain: Chain, blocks: Sequence[Block]) -> None:
    """Push as catching up does: one transaction for each batch, up to its macro block."""
    start = 0
    for end, block in enumerate(blocks, start=1):
        if block.is_macro or end == len(blocks):
            for result in chain.push(blocks[start:end]):
                assert isinstance(result, Pushed), result
                assert result.outcome is PushOutcome.EXTENDED
            start = end
