"""Growing a chain without a network."""

from collections.abc import Sequence
from itertools import pairwise

from node.accounts.transaction import Transaction
from node.chain.genesis import Genesis
from node.chain.growing import GrowingChain
from node.chain.results import Pushed, PushOutcome
from node.chain.retention import Retention
from node.keys import NodeKeys
from node.policy import Policy
from node.storage.memory import MemoryStore
from node.testnet.workload import Workload, workload_balances
from protocols.types import Height
from tests.build.chain import KEY_CACHE, contents, open_chain
from tests.build.clock import FixedClock

POLICY = Policy(
    batch_length=6,
    batches_per_epoch=2,
    slots=16,
    block_separation_ms=1000,
    producer_timeout_ms=4000,
    validity_window_batches=2,
)
KEYS = {each.signing.public_key: each for each in (NodeKeys.derive(7, f"v{n}") for n in range(3))}
GENESIS = Genesis.for_testnet(
    7,
    validators=list(KEYS.values()),
    policy=POLICY,
    timestamp=1_700_000_000_000,
    accounts=workload_balances(7, 5),
)


def grown(batches: int) -> tuple[GrowingChain, MemoryStore]:
    """Grow a chain whose micro blocks hold no, one or two transactions."""
    store = MemoryStore()
    chain = GrowingChain.open(
        store,
        GENESIS,
        retention=Retention.ALL,
        keeps_state=True,
        clock=FixedClock(),
        key_cache=KEY_CACHE,
    )
    workload = Workload(seed=7, network=GENESIS.network, accounts=5)

    def transactions_at(height: Height) -> Sequence[Transaction]:
        return workload.take(height % 3, height)

    for _ in range(batches):
        chain.grow_batch(KEYS, transactions_at)
    return chain, store


def test_it_grows_by_whole_batches() -> None:
    chain, _ = grown(3)

    assert (chain.head.number, chain.macro_head.number, chain.election_head.number) == (18, 18, 12)
    times = [chain.header(chain.hash_at(height)).timestamp for height in range(19)]  # type: ignore[union-attr, arg-type]
    assert {after - before for before, after in pairwise(times)} == {1000}


def test_every_rule_holds_and_nothing_else_is_stored() -> None:
    chain, store = grown(5)
    verifying_store = MemoryStore()
    verifying = open_chain(GENESIS, store=verifying_store)

    for height in range(1, chain.head.number + 1):
        block_hash = chain.hash_at(height)
        assert block_hash is not None
        block = chain.block(block_hash, with_body=True)
        assert block is not None
        (result,) = verifying.push((block,))
        assert isinstance(result, Pushed), result
        assert result.outcome is PushOutcome.EXTENDED

    assert contents(verifying_store) == contents(store)


def test_it_goes_on_from_what_is_stored() -> None:
    whole, _ = grown(2)
    _, store = grown(1)
    chain = GrowingChain.open(
        store,
        GENESIS,
        retention=Retention.ALL,
        keeps_state=True,
        clock=FixedClock(),
        key_cache=KEY_CACHE,
    )
    workload = Workload(seed=7, network=GENESIS.network, accounts=5)
    for height in range(1, 6):
        workload.take(height % 3, height)

    chain.grow_batch(KEYS, lambda height: workload.take(height % 3, height))

    assert chain.head.hash == whole.head.hash
