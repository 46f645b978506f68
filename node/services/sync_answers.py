"""Responses of peers as inputs of the sync machines: decoded, hashed, not judged."""

from typing import Final

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.chain.history_proof import verify_range
from node.sync.effects import SendRequest
from node.sync.inputs import (
    Answer,
    BatchSetArrived,
    BlocksArrived,
    HeadArrived,
    HistoryChunkArrived,
    MacroChainArrived,
    RequestRefused,
)
from node.sync.tickets import TicketId
from protocols.ids import RequestProtocol
from protocols.messages.batch_set import BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.macro_chain import MacroChainRequest, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.status import Refusal

PROTOCOLS: Final = {
    HeadRequest: RequestProtocol.HEAD,
    BlockRequest: RequestProtocol.BLOCK,
    MissingBlocksRequest: RequestProtocol.MISSING_BLOCKS,
    MacroChainRequest: RequestProtocol.MACRO_CHAIN,
    BatchSetRequest: RequestProtocol.BATCH_SET,
    HistoryChunkRequest: RequestProtocol.HISTORY_CHUNK,
}
"""The protocol of each request."""


def decode_answer(send: SendRequest, payload: bytes) -> Answer:
    """Read a response. Also hashes what will be hashed, while it is off the trio thread.

    Raises:
        WireError: It is not the response to this request.
    """
    answer: Answer | Refusal
    match send.request:
        case HeadRequest():
            head = HeadResponse.decode(payload)
            answer = head if isinstance(head, Refusal) else HeadArrived(send.id, head)
        case MacroChainRequest():
            chain = MacroChainResponse.decode(payload)
            answer = chain if isinstance(chain, Refusal) else MacroChainArrived(send.id, chain)
        case BlockRequest() | MissingBlocksRequest() as asked_for_blocks:
            answer = _blocks(send.id, asked_for_blocks, payload)
        case BatchSetRequest():
            answer = _batches(send.id, payload)
        case HistoryChunkRequest() as asked_for_history:
            answer = _chunk(send.id, asked_for_history, payload)
    return RequestRefused(send.id, answer.status) if isinstance(answer, Refusal) else answer


def _blocks(
    ticket: TicketId, request: BlockRequest | MissingBlocksRequest, payload: bytes
) -> BlocksArrived | Refusal:
    response: BlockResponse | MissingBlocksResponse | Refusal
    if isinstance(request, BlockRequest):
        response = BlockResponse.decode(payload)
    else:
        response = MissingBlocksResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    encoded = (response.block,) if isinstance(response, BlockResponse) else response.blocks
    blocks = tuple(Block.decode(block) for block in encoded)
    for block in blocks:
        _hash(block)
    return BlocksArrived(ticket, blocks, len(payload))


def _batches(ticket: TicketId, payload: bytes) -> BatchSetArrived | Refusal:
    response = BatchSetResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    batches = []
    for batch in response.batches:
        block = Block.decode(batch.macro_block)
        _hash(block)
        batches.append((block, batch.history_length))
    return BatchSetArrived(ticket, tuple(batches), len(payload))


def _chunk(
    ticket: TicketId, request: HistoryChunkRequest, payload: bytes
) -> HistoryChunkArrived | Refusal:
    response = HistoryChunkResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    transactions = tuple(Transaction.decode(each) for each in response.transactions)
    root = verify_range(response.transactions, request.first, response.leaf_count, response.proof)
    return HistoryChunkArrived(ticket, transactions, response.leaf_count, root, len(payload))


def _hash(block: Block) -> None:
    """Compute the hashes of a block, which it then keeps."""
    _ = block.hash
    if block.body is not None:
        _ = block.body.root
