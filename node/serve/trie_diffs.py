"""Answering with what consecutive blocks change in the state."""

from typing import Final

from node.chain.provable_states import ProvableStates
from node.chain.view import ChainView
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.trie_diffs import MAX_DIFFS, TrieDiffsRequest, TrieDiffsResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Height

_CHANGES_OVERHEAD_BYTES: Final = 5
"""Type and length in front of each."""
_RESPONSE_OVERHEAD_BYTES: Final = 8
"""The response's array, its status, and the array of changes."""


def serve_trie_diffs(
    request: TrieDiffsRequest, chain: ChainView, *, max_bytes: int = MAX_RESPONSE_BYTES
) -> TrieDiffsResponse | Refusal:
    """Answer with the changes of the blocks from a height up to a target.

    Args:
        request: What is asked for.
        chain: Our chain.
        max_bytes: Largest encoded response; fewer blocks are sent rather than more bytes. Those
            of one block always fit.
    """
    with chain.snapshot() as snapshot:
        if not (chain.keeps_state and snapshot.has_state):
            return Refusal(ResponseStatus.STATE_NOT_STORED)
        target = snapshot.header(request.target)
        if target is None:
            return Refusal(ResponseStatus.TARGET_NOT_FOUND)
        if not snapshot.is_on_main_chain(request.target):
            return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
        if request.first > target.number:
            return Refusal(ResponseStatus.OUT_OF_RANGE)
        states = snapshot.states()
        if not states.has_changes(request.first):
            return Refusal(ResponseStatus.PRUNED)
        return _collect(states, request.first, target.number, max_bytes)


def _collect(
    states: ProvableStates, first: Height, last: Height, max_bytes: int
) -> TrieDiffsResponse:
    found: list[bytes] = []
    left_bytes = max_bytes - _RESPONSE_OVERHEAD_BYTES
    for height in range(first, min(last, first + MAX_DIFFS - 1) + 1):
        changes = states.changes(height)
        left_bytes -= len(changes) + _CHANGES_OVERHEAD_BYTES
        if found and left_bytes < 0:
            break
        found.append(changes)
    return TrieDiffsResponse(changes=tuple(found))
