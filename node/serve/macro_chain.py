"""Answering with the macro blocks that lead a peer to our newest one."""

from node.chain.view import ChainView
from node.serve.macro_block import main_macro
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32


def serve_macro_chain(request: MacroChainRequest, chain: ChainView) -> MacroChainResponse | Refusal:
    """Answer with our election blocks after the first locator that we know, and our checkpoint."""
    policy = chain.policy
    with chain.snapshot() as snapshot:
        known = (main_macro(snapshot, locator) for locator in request.locators)
        start = next(filter(None, known), None)
        newest = policy.macro_at_or_before(snapshot.head_number())
        newest_hash = snapshot.hash_at(newest)
        if start is None or newest_hash is None:
            return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
        first = policy.election_after(start.number)
        heights = range(first, newest + 1, policy.epoch_length)
        epochs: list[Hash32] = []
        for height in heights[: request.max_epochs]:
            election = snapshot.hash_at(height)
            if election is None:
                # A node that trusted its first election block has none between genesis and that.
                return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
            epochs.append(election)
    checkpoint = None
    is_whole = len(epochs) == len(heights)
    if is_whole and newest > start.number and not policy.is_election(newest):
        checkpoint = Checkpoint(newest, newest_hash)
    return MacroChainResponse(epochs=tuple(epochs), checkpoint=checkpoint)
