"""Answering with the macro blocks that lead a peer to our newest one."""

from node.chain.view import ChainView
from node.serve.macro_block import main_macro
from protocols.messages.macro_chain import Checkpoint, MacroChainRequest, MacroChainResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32


def serve_macro_chain(request: MacroChainRequest, chain: ChainView) -> MacroChainResponse | Refusal:
    """Answer with our election blocks after the first locator that we know, and our checkpoint."""
    policy = chain.policy
    # Read before the snapshot is opened, which holds it, because macro blocks are final.
    newest = chain.macro_head
    with chain.snapshot() as snapshot:
        known = (main_macro(snapshot, locator) for locator in request.locators)
        start = next(filter(None, known), None)
        if start is None or snapshot.hash_at(newest.number) != newest.hash:
            # Without the newest there is a chain that has just been given up as a false one.
            return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
        first = policy.election_after(start.number)
        heights = range(first, newest.number + 1, policy.epoch_length)
        epochs: list[Hash32] = []
        for height in heights[: request.max_epochs]:
            election = snapshot.hash_at(height)
            if election is None:
                # A node that trusted its first election block has none between genesis and that.
                return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
            epochs.append(election)
    checkpoint = None
    is_whole = len(epochs) == len(heights)
    if is_whole and newest.number > start.number and not policy.is_election(newest.number):
        checkpoint = Checkpoint(newest.number, newest.hash)
    return MacroChainResponse(epochs=tuple(epochs), checkpoint=checkpoint)
