"""Answering with transactions of an epoch and the proof that they are its history."""

from node.chain.view import ChainView
from node.serve.macro_block import main_macro
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.status import Refusal, ResponseStatus


def serve_history_chunk(
    request: HistoryChunkRequest, chain: ChainView
) -> HistoryChunkResponse | Refusal:
    """Answer with a range of transactions, proven against the verifier's history root."""
    if not chain.keeps_state:
        return Refusal(ResponseStatus.HISTORY_NOT_STORED)
    policy = chain.policy
    with chain.snapshot() as snapshot:
        verifier = main_macro(snapshot, request.verifier)
        if verifier is None:
            return Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)
        leaf_count = snapshot.history_length(verifier.number)
        if leaf_count is None:
            return Refusal(ResponseStatus.PRUNED)
        end = min(request.first + request.limit, leaf_count)
        if request.first >= end:
            return Refusal(ResponseStatus.OUT_OF_RANGE)
        epoch, leaves = policy.epoch_at(verifier.number), range(request.first, end)
        proof = snapshot.history_proof(epoch, leaves, leaf_count)
        transactions = snapshot.transactions(policy, verifier.number, request.first, end)
    if proof is None or transactions is None:
        return Refusal(ResponseStatus.PRUNED)
    return HistoryChunkResponse(transactions=transactions, leaf_count=leaf_count, proof=proof)
