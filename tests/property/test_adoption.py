"""A chain that adopts batches ends with the store of one that was pushed to.

Chains are drawn block by block: skip blocks, payments, equivocation proofs, elections. What is
drawn besides is how they come: in which splits, and what is pushed instead of being adopted, on the
main chain or beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache

from hypothesis import given, settings
from hypothesis import strategies as st

from node.blocks.block import Block
from node.blocks.body import EquivocationProof
from node.chain.chain import Chain
from node.chain.equivocation import equivocation_between
from node.chain.results import Finalized, HistoryAdopted, Pushed, PushOutcome
from node.chain.retention import Retention
from node.policy import Policy
from node.storage.memory import MemoryStore
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, contents_now, open_chain
from tests.build.fetched import fetched_batches
from tests.build.keys import genesis

POLICY = Policy(batch_length=3, batches_per_epoch=2, slots=4, validity_window_batches=1)
GENESIS = genesis(policy=POLICY)
BATCHES = 4
MICRO_BLOCKS = BATCHES * (POLICY.batch_length - 1)


class Kind(Enum):
    """What stands at a height that is no macro block's."""

    EMPTY = "empty"
    PAYMENTS = "payments"
    SKIP = "skip"
    PROOF = "proof"


class Step(Enum):
    """How the next blocks come."""

    ADOPT = "adopt"
    PUSH = "push"
    PUSH_FORK = "push fork"


@dataclass(frozen=True)
class Delivery:
    """Some blocks in a row: so many batches, or so many blocks to push."""

    step: Step
    count: int


KINDS = st.lists(st.sampled_from(Kind), min_size=MICRO_BLOCKS, max_size=MICRO_BLOCKS).map(tuple)
DELIVERIES = st.lists(st.builds(Delivery, st.sampled_from(Step), st.integers(1, 3)), max_size=6)


@cache
def grow(kinds: tuple[Kind, ...]) -> ChainBuilder:
    builder, waiting = ChainBuilder(GENESIS), iter(kinds)
    for height in range(1, BATCHES * POLICY.batch_length + 1):
        if POLICY.is_macro(height):
            builder.macro()
        else:
            add(builder, next(waiting))
    return builder


def add(builder: ChainBuilder, kind: Kind) -> None:
    height = builder.next_height
    match kind:
        case Kind.EMPTY:
            builder.micro()
        case Kind.PAYMENTS:
            first = transaction(sender=height % 3, nonce=height, validity_start=height)
            second = transaction(sender=0, recipient=5 + height, validity_start=height)
            builder.micro([first, second])
        case Kind.SKIP:
            builder.skip()
        case Kind.PROOF:
            payment = transaction(sender=1, nonce=1000 + height, validity_start=height)
            builder.micro([payment], equivocation_proofs=[proof_above(builder)])


def proof_above(builder: ChainBuilder) -> EquivocationProof:
    other = builder.fork_from(builder.head.hash)
    proof = equivocation_between(builder.make_micro(), other.make_micro())
    assert proof is not None
    return proof


def deliver(chain: Chain, builder: ChainBuilder, deliveries: Sequence[Delivery]) -> None:
    for delivery in deliveries:
        match delivery.step:
            case Step.ADOPT:
                adopt(chain, builder, delivery.count)
            case Step.PUSH:
                end = chain.head.number + delivery.count
                push(chain, builder.blocks[chain.macro_head.number : end])
            case Step.PUSH_FORK:
                push(chain, fork_above(chain, builder, delivery.count))
    adopt(chain, builder, BATCHES)


def adopt(chain: Chain, builder: ChainBuilder, count: int) -> None:
    macro = chain.macro_head.number
    batches = fetched_batches(builder.blocks[macro : macro + count * POLICY.batch_length])
    for batch, result in zip(batches, chain.adopt_batches(batches), strict=True):
        assert isinstance(result, Pushed), result
        assert result.outcome is PushOutcome.EXTENDED
        adopted, final, *_ = result.events
        first, last = batch.blocks[0].number, batch.macro.number
        assert adopted == HistoryAdopted(first, last, batch.macro.hash)
        assert isinstance(final, Finalized)
        blocks = builder.blocks[first - 1 : last]
        assert final.accepted == tuple(block.hash for block in blocks)


def push(chain: Chain, blocks: Sequence[Block]) -> None:
    assert all(isinstance(result, Pushed) for result in chain.push(blocks))


def fork_above(chain: Chain, builder: ChainBuilder, count: int) -> list[Block]:
    """Return blocks beside the main chain, from its macro head on, up to the end of the batch."""
    macro = chain.macro_head
    if macro == builder.head:
        return []
    fork = builder.fork_from(macro.hash)
    for _ in range(min(count, POLICY.batch_length - 1)):
        fork.micro(
            [transaction(sender=2, nonce=5000 + fork.next_height, validity_start=macro.number)]
        )
    return fork.blocks[macro.number :]


@given(KINDS, DELIVERIES, st.sampled_from([Retention.ALL, Retention.WINDOW]))
@settings(deadline=None, max_examples=25)
def test_adopted_is_as_pushed(
    kinds: tuple[Kind, ...], deliveries: list[Delivery], retention: Retention
) -> None:
    builder = grow(kinds)
    store, pushed_store = MemoryStore(), MemoryStore()
    chain = open_chain(GENESIS, store=store, retention=retention)
    pushed = open_chain(GENESIS, store=pushed_store, retention=retention)
    push(pushed, builder.blocks)
    deliver(chain, builder, deliveries)

    assert chain.head == pushed.head == builder.head
    assert chain.validators == pushed.validators
    mine, theirs = contents_now(store), contents_now(pushed_store)
    assert [table for table in mine if mine[table] != theirs[table]] == []
    assert open_chain(GENESIS, store=store, retention=retention).head == chain.head
    after = builder.fork_from(builder.head.hash)
    after.extend(POLICY.batch_length, [[transaction(nonce=7, validity_start=builder.head.number)]])
    push(chain, after.blocks[builder.head.number :])
