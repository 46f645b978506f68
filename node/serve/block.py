"""Answering with one block."""

from node.chain.view import ChainView
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.status import Refusal, ResponseStatus


def serve_block(request: BlockRequest, chain: ChainView) -> BlockResponse | Refusal:
    """Answer with a stored block, whether it is on the main chain or a fork."""
    if request.with_body and not chain.keeps_bodies:
        return Refusal(ResponseStatus.BODIES_NOT_STORED)
    block = chain.block_bytes(request.hash, with_body=request.with_body)
    if block is not None:
        return BlockResponse(block=block)
    if chain.contains(request.hash):
        # Bodies older than what this profile keeps are gone while their headers stay.
        return Refusal(ResponseStatus.PRUNED)
    return Refusal(ResponseStatus.NOT_FOUND)
