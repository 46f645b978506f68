"""Answering with the macro blocks of an epoch, and how long its history was at each."""

from typing import Final

from node.chain.view import ChainSnapshot, ChainView
from node.serve.macro_block import main_macro
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.batch_set import MAX_BATCHES, BatchInfo, BatchSetRequest, BatchSetResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Height

_BATCH_OVERHEAD_BYTES: Final = 15
"""Array, type and length of the block, and the history length."""
_RESPONSE_OVERHEAD_BYTES: Final = 8
"""The response's array, its status, and the array of batches."""


def serve_batch_set(
    request: BatchSetRequest,
    chain: ChainView,
    *,
    max_batches: int = MAX_BATCHES,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> BatchSetResponse | Refusal:
    """Answer with the macro blocks of the target's epoch, up to the target.

    Args:
        request: What is asked for.
        chain: Our chain.
        max_batches: Most batches in the response.
        max_bytes: Largest encoded response; fewer batches are sent rather than more bytes.
    """
    if not chain.keeps_state:
        return Refusal(ResponseStatus.HISTORY_NOT_STORED)
    policy = chain.policy
    with chain.snapshot() as snapshot:
        target = main_macro(snapshot, request.target)
        if target is None:
            return Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)
        start = max(request.after, policy.election_before(target.number))
        heights = range(policy.macro_after(start), target.number + 1, policy.batch_length)
        batches: list[BatchInfo] = []
        left_bytes = max_bytes - _RESPONSE_OVERHEAD_BYTES
        for height in heights[:max_batches]:
            batch = _load_batch(snapshot, height)
            if batch is None:
                return Refusal(ResponseStatus.PRUNED)
            left_bytes -= len(batch.macro_block) + _BATCH_OVERHEAD_BYTES
            if left_bytes < 0:
                break
            batches.append(batch)
    return BatchSetResponse(batches=tuple(batches))


def _load_batch(chain: ChainSnapshot, height: Height) -> BatchInfo | None:
    block_hash, length = chain.hash_at(height), chain.history_length(height)
    if block_hash is None or length is None:
        return None
    block = chain.block_bytes(block_hash, with_body=False)
    return None if block is None else BatchInfo(block, length)
