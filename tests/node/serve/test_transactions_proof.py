"""Transactions-proof requests: what is sent is proven by the verifier's header."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from node.accounts.transaction import Transaction
from node.blocks.header import MacroHeader
from node.chain.chain import Chain
from node.chain.transactions_proof import verify_transactions_proof
from node.serve.transactions_proof import serve_transactions_proof
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.messages.transactions_proof import (
    ProvenTransaction,
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.chain import open_chain
from tests.node.serve.chains import epochs

PRUNED, OUT_OF_RANGE = Refusal(ResponseStatus.PRUNED), Refusal(ResponseStatus.OUT_OF_RANGE)
NOT_FOUND = Refusal(ResponseStatus.NOT_FOUND)


def leaf(epoch: int, index: int) -> Transaction:
    return Transaction.decode(epochs().transactions(epoch)[index])


def ask(
    transactions: Sequence[Hash32], verifier: Hash32 | None = None, chain: Chain | None = None
) -> TransactionsProofResponse | Refusal:
    request = TransactionsProofRequest(transactions=tuple(transactions), verifier=verifier)
    return serve_transactions_proof(request, chain or epochs().chain)


def ask_for(
    epoch: int, indices: Sequence[int], height: int | None = None
) -> TransactionsProofResponse | Refusal:
    verifier = None if height is None else epochs().at(height)
    return ask([leaf(epoch, index).hash for index in indices], verifier)


def header_at(height: int) -> MacroHeader:
    header = epochs().builder.block_at(height).header
    assert isinstance(header, MacroHeader)
    return header


@pytest.mark.parametrize(
    ("epoch", "indices", "asked", "height", "leaf_count"),
    [
        (1, [0], None, 12, 7),
        (1, [0], 4, 4, 2),
        (1, [2, 5], 8, 8, 6),
        (1, [6, 0, 3], 12, 12, 7),
        (1, range(7), None, 12, 7),
        (2, [16, 4, 9], None, 24, 17),
        (2, [8, 8, 8], 16, 16, 9),
        (3, [1, 0], None, 28, 2),
    ],
)
def test_transactions_of_one_epoch_are_proven(
    epoch: int, indices: Sequence[int], asked: int | None, height: int, leaf_count: int
) -> None:
    response = ask_for(epoch, indices, asked)
    wanted = {leaf(epoch, index).hash: leaf(epoch, index) for index in indices}

    assert isinstance(response, TransactionsProofResponse)
    assert (response.verifier, response.leaf_count) == (epochs().at(height), leaf_count)
    assert [each.index for each in response.transactions] == sorted(set(indices))
    assert verify_transactions_proof(response, wanted, header_at(height)) == wanted
    assert TransactionsProofResponse.decode(response.encode()) == response


def test_unknown_transactions_are_named() -> None:
    known = leaf(1, 0).hash

    assert ask([digest("unknown")]) == NOT_FOUND
    assert ask([known, digest("unknown")]) == NOT_FOUND
    assert ask([Hash32(known[:16] + bytes(16))]) == NOT_FOUND


def test_transactions_that_are_not_final_are_unknown() -> None:
    assert ask_for(3, [2]) == NOT_FOUND


def test_transactions_of_another_epoch_or_behind_the_verifier_are_named() -> None:
    assert ask([leaf(1, 0).hash, leaf(2, 0).hash]) == OUT_OF_RANGE
    assert ask_for(1, [0], 24) == OUT_OF_RANGE
    assert ask_for(2, [0], 12) == OUT_OF_RANGE
    assert ask_for(1, [0, 6], 8) == OUT_OF_RANGE


@pytest.mark.parametrize("verifier", [epochs().at(11), digest("unknown")])
def test_only_macro_blocks_of_ours_verify(verifier: Hash32) -> None:
    refusal = ask([leaf(1, 0).hash], verifier)

    assert refusal == Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)


def test_a_node_without_history_names_it_first() -> None:
    refusal = ask([digest("unknown")], chain=epochs().light())

    assert refusal == Refusal(ResponseStatus.HISTORY_NOT_STORED)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        (Table.HISTORY_LENGTHS, (12).to_bytes(4, "big")),
        (Table.HISTORY, (1).to_bytes(4, "big") + (1).to_bytes(8, "big")),
        (Table.BODIES, epochs().at(1)),
    ],
)
def test_what_is_gone_is_named(table: Table, key: bytes) -> None:
    known, store = epochs(), MemoryStore()
    chain = open_chain(known.builder.genesis, store=store)
    known.builder.push_all(chain)
    assert ask([leaf(1, 0).hash], chain=chain) == ask([leaf(1, 0).hash])
    with store.write() as writer:
        writer.delete(table, key)

    assert ask([leaf(1, 0).hash], chain=chain) == PRUNED


def changed(true: TransactionsProofResponse) -> list[TransactionsProofResponse]:
    """Return answers that differ from a true one in one thing."""
    proof, some = true.proof, true.transactions
    junk, other = digest("junk"), leaf(2, 1).encode()
    answers = [replace(true, leaf_count=count) for count in (0, 16, 18, 2**40)]
    answers += [replace(true, verifier=junk)]
    answers += [replace(true, proof=each) for each in (proof[1:], (*proof, junk), proof[::-1])]
    answers += [replace(true, transactions=each) for each in (some[1:], some[::-1], some[:1] * 2)]
    for at, each in enumerate(proof):
        bad = Hash32(bytes([each[0] ^ 1]) + each[1:])
        answers.append(replace(true, proof=(*proof[:at], bad, *proof[at + 1 :])))
    for at, (index, encoded) in enumerate((each.index, each.transaction) for each in some):
        damaged = encoded[:-1] + bytes([encoded[-1] ^ 1])
        for bad_index, bad_encoded in (
            (index, other),
            (index, damaged),
            (index, b"junk"),
            (index + 1, encoded),
            (index - 1, encoded),
        ):
            wrong = ProvenTransaction(bad_index, bad_encoded)
            answers.append(replace(true, transactions=(*some[:at], wrong, *some[at + 1 :])))
    added = ProvenTransaction(1, other)
    answers.append(replace(true, transactions=tuple(sorted((*some, added), key=lambda x: x.index))))
    return answers


def test_whatever_is_changed_is_noticed() -> None:
    true = ask_for(2, [4, 9, 16])
    wanted = {leaf(2, index).hash for index in (4, 9, 16)}
    assert isinstance(true, TransactionsProofResponse)

    for answer in changed(true):
        assert verify_transactions_proof(answer, wanted, header_at(24)) is None
    assert verify_transactions_proof(true, wanted, header_at(20)) is None
    assert verify_transactions_proof(true, wanted, header_at(24)) is not None


def test_an_answer_to_another_question_is_noticed() -> None:
    true = ask_for(2, [4, 9, 16])
    assert isinstance(true, TransactionsProofResponse)

    for indices in ((4, 9), (4, 9, 15), (4, 9, 15, 16)):
        wanted = {leaf(2, index).hash for index in indices}
        assert verify_transactions_proof(true, wanted, header_at(24)) is None
