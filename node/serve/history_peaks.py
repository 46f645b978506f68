"""Answering with the peaks of a history tree as it was after a block."""

from node.chain.view import ChainView
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.status import Refusal, ResponseStatus


def serve_history_peaks(
    request: HistoryPeaksRequest, chain: ChainView
) -> HistoryPeaksResponse | Refusal:
    """Answer with all that must be known of a history to extend it."""
    if not chain.keeps_state:
        return Refusal(ResponseStatus.HISTORY_NOT_STORED)
    with chain.snapshot() as snapshot:
        verifier = snapshot.header(request.verifier)
        if verifier is None:
            return Refusal(ResponseStatus.TARGET_NOT_FOUND)
        if not snapshot.is_on_main_chain(request.verifier):
            return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
        peaks = snapshot.history_peaks(chain.policy, verifier.number)
        if peaks is None:
            return Refusal(ResponseStatus.PRUNED)
        return HistoryPeaksResponse(leaf_count=peaks.leaf_count, peaks=peaks.hashes)
