"""Verdicts on transactions. Block 2 is the head; the window is 8 blocks."""

from dataclasses import replace

import pytest

from node.accounts.transaction import MAX_COINS, Transaction
from node.blocks.signatures import SIGNED
from node.gossip.transactions import Judgement, Refusal, admit, judge_transaction
from node.net.network import Verdict
from node.validator.mempool import Mempool, MempoolLimits
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder
from tests.build.keys import genesis

INCLUDED = transaction(nonce=99)
COINS = 1000


@pytest.fixture(scope="module")
def builder() -> ChainBuilder:
    """Return a chain whose accounts own 1000 coins each, the first a few less."""
    made = ChainBuilder(genesis(coins=COINS))
    made.extend(2, [[INCLUDED]])
    return made


def pool(**limits: int) -> Mempool:
    mempool = Mempool(validity_window_blocks=8, limits=MempoolLimits(**limits))
    mempool.on_head(2)
    return mempool


def judge(each: Transaction, builder: ChainBuilder, mempool: Mempool | None = None) -> Judgement:
    # An empty pool is falsy.
    waiting = pool() if mempool is None else mempool
    return judge_transaction(each.encode(), builder.chain, waiting)


def test_a_good_one_is_accepted_and_waits(builder: ChainBuilder) -> None:
    mempool = pool()

    assert judge(transaction(), builder, mempool) == Judgement(Verdict.ACCEPT)
    assert mempool.get(transaction().hash) == transaction()


def test_only_what_is_taken_is_not_verified_again(builder: ChainBuilder) -> None:
    taken, too_dear = transaction(nonce=901), transaction(nonce=902, value=COINS)
    false = replace(transaction(nonce=903), signature=bytes(64))

    others = [too_dear, false, transaction(nonce=904, fee=0)]
    full = pool(max_transactions=1)

    for each in (taken, *others):
        judge(each, builder, full)

    assert taken in SIGNED
    assert not any(each in SIGNED for each in others)


@pytest.mark.parametrize("payload", [b"", b"junk", transaction().encode() + b"\0"])
def test_junk_is_rejected(builder: ChainBuilder, payload: bytes) -> None:
    judgement = judge_transaction(payload, builder.chain, pool())

    assert judgement == Judgement(Verdict.REJECT)


@pytest.mark.parametrize(
    ("each", "refusal"),
    [
        (transaction(network=2), Refusal.WRONG_NETWORK),
        (transaction(value=MAX_COINS, fee=1), Refusal.WRONG_AMOUNT),
        (replace(transaction(), value=11), Refusal.WRONG_SIGNATURE),
        (replace(transaction(), signature=bytes(64)), Refusal.WRONG_SIGNATURE),
    ],
)
def test_what_no_honest_peer_relays_is_rejected(
    builder: ChainBuilder, each: Transaction, refusal: Refusal
) -> None:
    mempool = pool()

    assert judge(each, builder, mempool) == Judgement(Verdict.REJECT, refusal)
    assert len(mempool) == 0


@pytest.mark.parametrize(
    ("each", "refusal"),
    [
        (INCLUDED, Refusal.KNOWN),
        (transaction(validity_start=12), Refusal.TOO_EARLY),
        (transaction(value=COINS), Refusal.INSUFFICIENT_FUNDS),
        (transaction(sender=7), Refusal.INSUFFICIENT_FUNDS),
    ],
)
def test_what_depends_on_the_head_is_ignored(
    builder: ChainBuilder, each: Transaction, refusal: Refusal
) -> None:
    assert judge(each, builder) == Judgement(Verdict.IGNORE, refusal)


def test_the_edges_of_the_window() -> None:
    builder = ChainBuilder(genesis(coins=COINS))
    builder.extend(9)
    mempool = pool()

    assert admit(transaction(validity_start=2), builder.chain, mempool) is None
    assert admit(transaction(validity_start=1), builder.chain, mempool) is Refusal.EXPIRED
    assert admit(transaction(validity_start=18), builder.chain, mempool) is None
    assert admit(transaction(validity_start=19), builder.chain, mempool) is Refusal.TOO_EARLY


def test_one_that_waits_is_ignored(builder: ChainBuilder) -> None:
    mempool = pool()
    judge(transaction(), builder, mempool)

    known = Judgement(Verdict.IGNORE, Refusal.KNOWN)
    assert judge(transaction(), builder, mempool) == known


def test_funds_are_counted_over_all_that_wait(builder: ChainBuilder) -> None:
    mempool = pool()
    first, second = (transaction(sender=1, value=600, fee=1, nonce=n) for n in (1, 2))

    assert admit(first, builder.chain, mempool) is None
    assert admit(second, builder.chain, mempool) is Refusal.INSUFFICIENT_FUNDS


def test_a_full_pool_ignores(builder: ChainBuilder) -> None:
    full = pool(max_transactions=1)
    judge(transaction(fee=5), builder, full)
    assert judge(transaction(fee=4, nonce=1), builder, full) == Judgement(
        Verdict.IGNORE, Refusal.FULL
    )

    crowded = pool(max_per_sender=1)
    judge(transaction(), builder, crowded)
    assert judge(transaction(nonce=1), builder, crowded) == Judgement(
        Verdict.IGNORE, Refusal.SENDER_FULL
    )
