"""Batches of a history sync: what is refused, what stays, what is told."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.justification import (
    Justification,
    ProducerSignature,
    QuorumSignature,
    SkipProof,
)
from node.blocks.signing import skip_message
from node.blocks.validators import SignerSet
from node.chain import history_tree
from node.chain.chain import Chain
from node.chain.equivocation import equivocation_between
from node.chain.fetched import FetchedBatch
from node.chain.results import (
    BlockError,
    EpochFinalized,
    Finalized,
    HistoryAdopted,
    InvalidBlock,
    Pushed,
    PushOutcome,
)
from node.crypto import bls
from node.storage.memory import MemoryStore
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder, contents, open_chain, push_one
from tests.build.fetched import fetched_batches
from tests.build.keys import keys, keys_of

PAYMENTS = [transaction(nonce=nonce) for nonce in range(1, 6)]


@cache
def branch() -> ChainBuilder:
    """Four batches; the first has payments in blocks 1 and 3 and a skip block between them."""
    builder = ChainBuilder()
    builder.micro(PAYMENTS[:2])
    builder.skip()
    builder.micro(PAYMENTS[2:4])
    builder.macro()
    builder.extend(12, [[PAYMENTS[4]]])
    return builder


def batches(builder: ChainBuilder | None = None) -> list[FetchedBatch]:
    return list(fetched_batches((builder or branch()).blocks))


def new_chain(store: MemoryStore | None = None) -> Chain:
    return open_chain(branch().genesis, store=store)


def with_justification(batch: FetchedBatch, index: int, proof: Justification) -> FetchedBatch:
    blocks = list(batch.blocks)
    blocks[index] = replace(blocks[index], justification=proof)
    return replace(batch, blocks=tuple(blocks))


def refused(chain: Chain, batch: FetchedBatch) -> InvalidBlock:
    before = contents(chain._store)
    (result,) = chain.adopt_batches([batch])
    assert isinstance(result, InvalidBlock), result
    assert contents(chain._store) == before
    return result


def test_results_and_events() -> None:
    chain = new_chain()
    results = chain.adopt_batches(batches())

    for index, result in enumerate(results):
        blocks = branch().blocks[4 * index : 4 * index + 4]
        number, last = blocks[-1].number, blocks[-1].hash
        hashes = tuple(block.hash for block in blocks)
        epoch = [EpochFinalized(last, 12)] if number == 12 else []
        assert result == Pushed(
            PushOutcome.EXTENDED,
            (HistoryAdopted(number - 3, number, last), Finalized(last, number, hashes, ()), *epoch),
        )
    assert chain.head == chain.macro_head == branch().head
    assert chain.block(branch().blocks[0].hash, with_body=True) == branch().blocks[0]


def test_known_and_lower_batches_change_nothing() -> None:
    store = MemoryStore()
    chain = new_chain(store)
    chain.push(branch().blocks[:8])
    before = contents(store)
    assert chain.adopt_batches(batches()[:2]) == (Pushed(PushOutcome.KNOWN),) * 2
    other = ChainBuilder(mark=b"other")
    other.extend(4)
    assert chain.adopt_batches(batches(other)) == (Pushed(PushOutcome.IGNORED),)
    assert contents(store) == before


def test_what_comes_before_an_error_is_adopted() -> None:
    store = MemoryStore()
    chain = new_chain(store)
    first, second, *_ = batches()
    wrong = replace(second, transactions=())
    results = chain.adopt_batches([first, wrong, second])
    assert [type(result) for result in results] == [Pushed, InvalidBlock]
    assert chain.head == new_chain(store).head == first.macro.header
    assert isinstance(chain.adopt_batches([second])[0], Pushed)


def test_our_own_branch_gives_way_only_to_a_batch_that_is_good() -> None:
    chain = new_chain()
    fork = branch().fork_from(branch().genesis.hash)
    fork.micro([PAYMENTS[4]])
    fork.micro([PAYMENTS[0]])
    chain.push(fork.blocks)
    good = batches()[0]
    refused(chain, replace(good, transactions=good.transactions[:3]))
    assert chain.head == fork.head

    (result,) = chain.adopt_batches([good])
    assert isinstance(result, Pushed)
    final = result.events[1]
    assert isinstance(final, Finalized)
    assert final.rejected == tuple(block.hash for block in fork.blocks)
    assert not any(chain.contains(block.hash) for block in fork.blocks)
    assert chain.contains_transaction(PAYMENTS[0].hash)
    assert not chain.contains_transaction(PAYMENTS[4].hash)


def test_batches_out_of_turn() -> None:
    chain = new_chain()
    assert refused(chain, batches()[1]).error is BlockError.WRONG_NUMBER
    assert refused(chain, batches()[3]).error is BlockError.WRONG_PARENT_ELECTION


def test_macro_blocks_without_a_quorum() -> None:
    batch = batches()[0]
    proof = batch.macro.justification
    assert isinstance(proof, QuorumSignature)
    macro = replace(batch.macro, justification=replace(proof, signers=SignerSet(1)))
    assert refused(new_chain(), replace(batch, macro=macro)) == InvalidBlock(
        BlockError.NO_QUORUM, macro.hash
    )


def _cut(batch: FetchedBatch) -> FetchedBatch:
    return replace(batch, blocks=batch.blocks[1:])


def _cut_end(batch: FetchedBatch) -> FetchedBatch:
    return replace(batch, blocks=batch.blocks[:-1])


def _gap(batch: FetchedBatch) -> FetchedBatch:
    return replace(batch, blocks=batch.blocks[::2])


def _doubled(batch: FetchedBatch) -> FetchedBatch:
    return replace(batch, blocks=(batch.blocks[0], *batch.blocks))


def _none(batch: FetchedBatch) -> FetchedBatch:
    return replace(batch, blocks=())


@pytest.mark.parametrize("change", [_cut, _cut_end, _gap, _doubled, _none])
def test_blocks_that_do_not_hang_together(change: Callable[[FetchedBatch], FetchedBatch]) -> None:
    batch = change(batches()[0])
    result = refused(new_chain(), batch)
    assert result.error is BlockError.WRONG_PARENT
    assert result.hash in {block.hash for block in (*batch.blocks, batch.macro)}


def test_justifications_are_verified() -> None:
    batch = batches()[0]
    forged = ProducerSignature(keys(0).signing.sign(b"another"))
    result = refused(new_chain(), with_justification(batch, 0, forged))
    assert result == InvalidBlock(BlockError.WRONG_PRODUCER, batch.blocks[0].hash)
    proof = batch.blocks[1].justification
    assert isinstance(proof, SkipProof)
    few = with_justification(batch, 1, replace(proof, signers=SignerSet(1)))
    assert refused(new_chain(), few).error is BlockError.NO_QUORUM


def test_justifications_of_another_kind() -> None:
    batch = batches()[0]
    signature, skip = (batch.blocks[index].justification for index in (0, 1))
    for index, proof in [(0, skip), (1, signature), (0, batch.macro.justification)]:
        result = refused(new_chain(), with_justification(batch, index, proof))
        assert result == InvalidBlock(BlockError.WRONG_TYPE, batch.blocks[index].hash)


def test_stored_blocks_keep_their_justification() -> None:
    chain = new_chain()
    chain.push(branch().blocks[:2])
    batch = batches()[0]
    header = batch.blocks[1].header
    message = skip_message(header.network, 2, header.seed)
    signers = keys_of(chain.validators)[:3]
    proof = SkipProof(
        bls.aggregate([who.voting.sign(message) for who in signers]), SignerSet.of(range(3))
    )
    other = with_justification(batch, 1, proof)
    assert isinstance(chain.adopt_batches([other])[0], Pushed)
    assert chain.block(header.hash, with_body=True) == branch().blocks[1]
    # Any quorum will do where none is stored.
    fresh = new_chain()
    fresh.adopt_batches([other])
    stored = fresh.block(header.hash, with_body=False)
    assert stored is not None
    assert stored.justification == proof


def test_wrong_transactions() -> None:
    good = batches()[0]
    sent = good.transactions
    swapped = (sent[1], sent[0], *sent[2:])
    other = (replace(sent[0], signature=bytes(64)), *sent[1:])
    for wrong, index in [((), 0), (sent[:-1], 2), (swapped, 0), (other, 0)]:
        result = refused(new_chain(), replace(good, transactions=wrong))
        assert result == InvalidBlock(BlockError.WRONG_HISTORY_ROOT, good.blocks[index].hash)
    longer = replace(good, transactions=(*sent, PAYMENTS[4]))
    assert refused(new_chain(), longer) == InvalidBlock(
        BlockError.WRONG_HISTORY_ROOT, good.macro.hash
    )


@cache
def branch_with_proof() -> ChainBuilder:
    builder = ChainBuilder()
    other = ChainBuilder(mark=b"other")
    proof = equivocation_between(builder.make_micro(), other.make_micro())
    assert proof is not None
    builder.micro()
    builder.micro([PAYMENTS[0]], equivocation_proofs=[proof])
    builder.micro([PAYMENTS[1]])
    builder.macro()
    return builder


def test_bodies_with_proofs_must_be_given() -> None:
    (batch,) = batches(branch_with_proof())
    carrier = batch.blocks[1]
    chain = new_chain()
    result = refused(chain, replace(batch, bodies={}))
    assert result == InvalidBlock(BlockError.WRONG_BODY_ROOT, carrier.hash)
    wrong = {carrier.hash: MicroBody((), (PAYMENTS[0],))}
    assert refused(chain, replace(batch, bodies=wrong)) == result
    assert isinstance(chain.adopt_batches([batch])[0], Pushed)
    assert chain.block(carrier.hash, with_body=True) == branch_with_proof().blocks[1]


def test_given_bodies_do_not_hide_missing_transactions() -> None:
    (batch,) = batches(branch_with_proof())
    for wrong in (batch.transactions[1:], batch.transactions[:1]):
        result = refused(new_chain(), replace(batch, transactions=wrong))
        assert result.error is BlockError.WRONG_HISTORY_ROOT


def test_given_bodies_belong_where_they_are() -> None:
    """A body that its header names, but whose transactions are not those of the history."""
    builder = ChainBuilder()
    paid = MicroBody((), (PAYMENTS[0],))
    wrong = builder.make_micro([PAYMENTS[1]])
    header = replace(wrong.header, body_root=paid.root)
    assert isinstance(header, MicroHeader)
    batch = forged_batch(builder, builder.signed_micro(header, None), (PAYMENTS[1],))
    batch = replace(batch, bodies={header.hash: paid})
    result = refused(new_chain(), batch)
    assert result == InvalidBlock(BlockError.WRONG_HISTORY_ROOT, header.hash)


def forged_batch(
    builder: ChainBuilder,
    first: Block,
    transactions: tuple[Transaction, ...] = (),
    *,
    skips: int = 2,
) -> FetchedBatch:
    """Return what a quorum that signs anything could make of one block above genesis."""
    blocks = [first]
    for _ in range(skips):
        blocks.append(skip_above(builder, blocks[-1].header))
    return closed_batch(builder, blocks, transactions)


def skip_above(builder: ChainBuilder, parent: Header) -> Block:
    header = replace(
        builder.make_skip().header,
        number=parent.number + 1,
        parent_hash=parent.hash,
        seed=parent.seed,
        history_root=parent.history_root,
    )
    assert isinstance(header, MicroHeader)
    message = skip_message(header.network, header.number, parent.seed)
    return Block(header, SkipProof(*builder.signed_by_all(message)), None)


def closed_batch(
    builder: ChainBuilder, blocks: list[Block], transactions: tuple[Transaction, ...] = ()
) -> FetchedBatch:
    """Return a batch that ends with a real macro block's header on top of any blocks."""
    real, last = branch().block_at(4).header, blocks[-1].header
    assert isinstance(real, MacroHeader)
    header = replace(real, parent_hash=last.hash, history_root=last.history_root)
    return FetchedBatch(
        macro=builder.signed_macro(header, None), blocks=tuple(blocks), transactions=transactions
    )


def test_a_quorum_cannot_number_blocks_as_it_likes() -> None:
    builder = ChainBuilder()
    for number, skips in [(2, 2), (2, 1), (1, 1)]:
        header = replace(builder.make_micro().header, number=number)
        assert isinstance(header, MicroHeader)
        first = builder.signed_micro(header, None)
        result = refused(new_chain(), forged_batch(builder, first, skips=skips))
        assert result.error is BlockError.WRONG_NUMBER


def test_a_quorum_cannot_end_a_batch_in_its_middle() -> None:
    builder = ChainBuilder()
    first = builder.make_micro().without_body()
    second = skip_above(builder, first.header)
    real = branch().block_at(4).header
    assert isinstance(real, MacroHeader)
    header = replace(real, number=3, parent_hash=second.hash)
    third = Block(header, ProducerSignature(bytes(64)), None)
    result = refused(new_chain(), closed_batch(builder, [first, second, third]))
    assert result == InvalidBlock(BlockError.WRONG_TYPE, third.hash)


def test_a_quorum_cannot_spend_what_is_not_there() -> None:
    builder = ChainBuilder()
    overspent = transaction(value=10_000_000)
    body = MicroBody((), (overspent,))
    peaks, _ = history_tree.extend(history_tree.NO_PEAKS, [overspent.encode()])
    header = replace(builder.make_micro().header, body_root=body.root, history_root=peaks.root)
    assert isinstance(header, MicroHeader)
    batch = forged_batch(builder, builder.signed_micro(header, None), (overspent,))
    result = refused(new_chain(), batch)
    assert result == InvalidBlock(BlockError.INSUFFICIENT_FUNDS, header.hash)


@pytest.mark.parametrize(
    ("field", "error"),
    [
        ("state_root", BlockError.WRONG_STATE_ROOT),
        ("body_root", BlockError.WRONG_REWARDS),
        ("history_root", BlockError.WRONG_HISTORY_ROOT),
    ],
)
def test_roots_of_the_macro_block(field: str, error: BlockError) -> None:
    builder = branch().fork_from(branch().block_at(3).hash)
    good = batches()[0]
    assert isinstance(good.macro.header, MacroHeader)
    changed: dict[str, Any] = {field: digest("x")}
    header = replace(good.macro.header, **changed)
    macro = builder.signed_macro(header, None)
    assert refused(new_chain(), replace(good, macro=macro)) == InvalidBlock(error, macro.hash)


def test_pushes_go_on_above() -> None:
    chain = new_chain()
    chain.adopt_batches(batches()[:1])
    builder = branch().fork_from(branch().block_at(4).hash)
    again = transaction(nonce=1, validity_start=0)
    repeating = builder.signed_micro(*_with(builder, [again]))
    assert push_one(chain, repeating) == InvalidBlock(
        BlockError.DUPLICATE_TRANSACTION, repeating.hash
    )
    assert all(isinstance(result, Pushed) for result in chain.push(branch().blocks[4:]))


def _with(builder: ChainBuilder, sent: list[Transaction]) -> tuple[MicroHeader, MicroBody]:
    body = MicroBody((), tuple(sent))
    header = replace(builder.make_micro().header, body_root=body.root)
    assert isinstance(header, MicroHeader)
    return header, body
