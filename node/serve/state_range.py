"""Answering with accounts of a key range in the state after a block, and one proof of them all."""

from node.accounts.range_proof import prove_range
from node.chain.view import ChainSnapshot, ChainView
from protocols.messages.state_range import (
    MAX_LEAVES_BYTES,
    ProvenRange,
    StateRangeRequest,
    StateRangeResponse,
)
from protocols.status import Refusal, ResponseStatus


def serve_state_range(request: StateRangeRequest, chain: ChainView) -> StateRangeResponse | Refusal:
    """Answer with a range of accounts, or only with the heights whose states can be proven."""
    if not chain.keeps_state:
        return Refusal(ResponseStatus.STATE_NOT_STORED)
    with chain.snapshot() as snapshot:
        if not snapshot.has_state:
            return Refusal(ResponseStatus.STATE_NOT_STORED)
        states = snapshot.states()
        return StateRangeResponse(
            oldest=states.oldest, newest=states.newest, answer=_answer(request, snapshot)
        )


def _answer(request: StateRangeRequest, snapshot: ChainSnapshot) -> ProvenRange | None:
    target, states = snapshot.header(request.target), snapshot.states()
    if target is None or not snapshot.is_on_main_chain(request.target):
        return None
    if not states.has(target.number):
        return None
    leaves, proof = prove_range(
        states.at(target.number),
        request.start,
        request.end,
        max_leaves=request.limit,
        max_bytes=MAX_LEAVES_BYTES,
    )
    return ProvenRange(leaves=leaves, proof=proof)
