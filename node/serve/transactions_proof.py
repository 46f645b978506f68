"""Answering with the proof that transactions are in history."""

from node.accounts.transaction import Transaction
from node.blocks.header import MacroHeader
from node.chain.history_index import TransactionPlace
from node.chain.view import ChainSnapshot, ChainView
from node.policy import Policy
from node.serve.macro_block import main_macro
from protocols.messages.transactions_proof import (
    ProvenTransaction,
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32


def serve_transactions_proof(
    request: TransactionsProofRequest, chain: ChainView
) -> TransactionsProofResponse | Refusal:
    """Answer with transactions of one epoch, proven against a macro block's history root."""
    if not chain.keeps_history:
        return Refusal(ResponseStatus.HISTORY_NOT_STORED)
    with chain.snapshot() as snapshot:
        places: dict[Hash32, TransactionPlace] = {}
        for transaction in request.transactions:
            place = snapshot.find_transaction(transaction)
            if place is None:
                return Refusal(ResponseStatus.NOT_FOUND)
            places[transaction] = place
        verifier = _verifier(request, places, snapshot, chain.policy)
        if verifier is None:
            return Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)
        return _prove(places, verifier, snapshot, chain.policy)


def _verifier(
    request: TransactionsProofRequest,
    places: dict[Hash32, TransactionPlace],
    chain: ChainSnapshot,
    policy: Policy,
) -> MacroHeader | None:
    """Return the macro block to prove against: the one asked for, or the newest of the epoch."""
    if request.verifier is not None:
        return main_macro(chain, request.verifier)
    newest = policy.macro_at_or_before(chain.head_number())
    epoch_end = policy.election_after(places[request.transactions[0]].height)
    block = chain.hash_at(min(newest, epoch_end))
    return None if block is None else main_macro(chain, block)


def _prove(
    places: dict[Hash32, TransactionPlace],
    verifier: MacroHeader,
    chain: ChainSnapshot,
    policy: Policy,
) -> TransactionsProofResponse | Refusal:
    epoch, leaf_count = policy.epoch_at(verifier.number), chain.history_length(verifier.number)
    if leaf_count is None:
        return Refusal(ResponseStatus.PRUNED)
    if any(
        policy.epoch_at(place.height) != epoch or place.index >= leaf_count
        for place in places.values()
    ):
        return Refusal(ResponseStatus.OUT_OF_RANGE)
    transactions: dict[int, bytes] = {}
    for wanted, place in places.items():
        encoded = chain.transaction_bytes(place)
        if encoded is None:
            return Refusal(ResponseStatus.PRUNED)
        if Transaction.decode(encoded).hash != wanted:
            # The index knows only half of a hash.
            return Refusal(ResponseStatus.NOT_FOUND)
        transactions[place.index] = encoded
    proof = chain.history_proof(epoch, sorted(transactions), leaf_count)
    if proof is None:
        return Refusal(ResponseStatus.PRUNED)
    return TransactionsProofResponse(
        verifier=verifier.hash,
        leaf_count=leaf_count,
        transactions=tuple(
            ProvenTransaction(index, transactions[index]) for index in sorted(transactions)
        ),
        proof=proof,
    )
