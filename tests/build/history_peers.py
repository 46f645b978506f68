"""Peers of a history sync: one chain, and answers from it, honest or spoilt.

All answer with the real serving functions and spoil what came out.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EquivocationProof
from node.blocks.justification import ProducerSignature, QuorumSignature
from node.chain.chain import Chain
from node.chain.equivocation import equivocation_between
from node.chain.history_proof import verify_range
from node.serve.batch_set import serve_batch_set
from node.serve.block import serve_block
from node.serve.history_chunk import serve_history_chunk
from node.serve.missing_blocks import serve_missing_blocks
from node.sync.effects import SendRequest
from node.sync.inputs import (
    Answer,
    BatchSetArrived,
    BlocksArrived,
    HistoryChunkArrived,
    RequestFailed,
    RequestRefused,
)
from node.sync.macro.fetcher import Claim
from node.sync.tickets import TicketId
from protocols.messages.batch_set import BatchSetRequest, BatchSetResponse
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.macro_chain import Checkpoint
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Hash32, Height
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder
from tests.build.keys import SMALL_POLICY

LENGTH = 3 * SMALL_POLICY.epoch_length + 2 * SMALL_POLICY.batch_length
"""Three epochs and two batches."""

EQUIVOCATION = 18
"""The block that holds a proof of equivocation."""

Answering = Callable[[SendRequest, Chain], Answer | None]
"""What a peer with a chain answers; None is silence."""


@cache
def history() -> ChainBuilder:
    """Return a chain with transactions in all epochs but the second. Fork it, never extend it."""
    builder = ChainBuilder()
    while builder.next_height <= LENGTH:
        height = builder.next_height
        if SMALL_POLICY.is_macro(height):
            builder.macro()
        elif height == EQUIVOCATION:
            builder.micro(equivocation_proofs=[_proof(builder)])
        elif height == 6:
            builder.skip()
        else:
            is_quiet = SMALL_POLICY.epoch_at(height) == 2
            count = 0 if is_quiet else height * 7 % 4
            builder.micro(
                [
                    transaction(nonce=10 * height + index, validity_start=height - 1)
                    for index in range(count)
                ]
            )
    return builder


def _proof(builder: ChainBuilder) -> EquivocationProof:
    first = builder.make_micro()
    second = builder.make_micro(timestamp=first.header.timestamp + 1)
    proof = equivocation_between(first, second)
    assert proof is not None
    return proof


def claim_of(chain: Chain, start: Height = 0) -> Claim:
    """Return what an honest peer with this chain claims above a height."""
    policy, macro = chain.policy, chain.macro_head
    elections = range(policy.election_after(start), macro.number + 1, policy.epoch_length)
    epochs = tuple(_hash_at(chain, height) for height in elections)
    has_newer = macro.number > start and not policy.is_election(macro.number)
    newest = Checkpoint(macro.number, macro.hash) if has_newer else None
    return Claim(start=start, epochs=epochs, checkpoint=newest)


def _hash_at(chain: Chain, height: Height) -> Hash32:
    found = chain.hash_at(height)
    assert found is not None
    return found


def honest(sent: SendRequest, chain: Chain) -> Answer:
    """Answer as a node does that follows the rules."""
    return _decoded(sent, _served(sent, chain))


def cutting(sent: SendRequest, chain: Chain) -> Answer:
    """Answer honestly, but with few batches at a time."""
    if isinstance(sent.request, BatchSetRequest):
        return _decoded(sent, serve_batch_set(sent.request, chain, max_batches=2).encode())
    return honest(sent, chain)


def silent(_sent: SendRequest, _chain: Chain) -> None:
    """Never answer."""


def failing(sent: SendRequest, _chain: Chain) -> Answer:
    """Close the stream."""
    return RequestFailed(sent.id)


def refusing(status: ResponseStatus, kind: type | None = None) -> Answering:
    """Return a peer that refuses requests, all of them or one kind."""

    def answer(sent: SendRequest, chain: Chain) -> Answer:
        if kind is None or isinstance(sent.request, kind):
            return RequestRefused(sent.id, status)
        return honest(sent, chain)

    return answer


def changing_a_leaf(sent: SendRequest, chain: Chain) -> Answer:
    """Change the first transaction of each chunk."""
    served = _served(sent, chain)
    if isinstance(sent.request, HistoryChunkRequest):
        response = serve_history_chunk(sent.request, chain)
        assert not hasattr(response, "status")
        others = (transaction(nonce=9999).encode(), *response.transactions[1:])
        served = replace(response, transactions=others).encode()
    return _decoded(sent, served)


def forging_signatures(sent: SendRequest, chain: Chain) -> Answer:
    """Replace the signatures below micro headers, which no hash covers."""
    answer = honest(sent, chain)
    if isinstance(answer, BlocksArrived) and isinstance(sent.request, MissingBlocksRequest):
        forged = ProducerSignature(bytes(64))
        first = Block(answer.blocks[0].header, forged, None)
        return replace(answer, blocks=(first, *answer.blocks[1:]))
    return answer


def reordering(sent: SendRequest, chain: Chain) -> Answer:
    """Send headers that do not hang together."""
    answer = honest(sent, chain)
    if isinstance(answer, BlocksArrived) and isinstance(sent.request, MissingBlocksRequest):
        return replace(answer, blocks=answer.blocks[::-1])
    return answer


def forging_a_macro_block(sent: SendRequest, chain: Chain) -> Answer:
    """Send a set whose first macro block, unless it is the target, nobody has signed."""
    answer = honest(sent, chain)
    if isinstance(answer, BatchSetArrived) and len(answer.batches) > 1:
        return replace(answer, batches=(_forged(answer.batches[0]), *answer.batches[1:]))
    return answer


def forging_with_headers(sent: SendRequest, chain: Chain) -> Answer:
    """Do the same, and have headers for the forged block."""
    if isinstance(sent.request, MissingBlocksRequest) and chain.header(sent.request.target) is None:
        start = chain.header(sent.request.locators[0])
        assert start is not None
        end = start.number + chain.policy.batch_length
        blocks = [_stored(chain, height) for height in range(start.number + 1, end + 1)]
        blocks[-1] = _forged((blocks[-1], 0))[0]
        return BlocksArrived(sent.id, tuple(blocks), 1000)
    return forging_a_macro_block(sent, chain)


def forging_quorums(sent: SendRequest, chain: Chain) -> Answer:
    """Send the right macro blocks with signatures of nobody."""
    answer = honest(sent, chain)
    if isinstance(answer, BatchSetArrived):
        spoilt = [(_unsigned(block), length) for block, length in answer.batches]
        return replace(answer, batches=tuple(spoilt))
    return answer


def miscounting(sent: SendRequest, chain: Chain) -> Answer:
    """Say that the first batch of a set has one transaction less, where it can be."""
    answer = honest(sent, chain)
    if isinstance(answer, BatchSetArrived) and len(answer.batches) > 1:
        (first, length), *rest = answer.batches
        if rest[0][1] > length > 1:
            return replace(answer, batches=((first, length - 1), *rest))
    return answer


def miscounting_the_end(sent: SendRequest, chain: Chain) -> Answer:
    """Say that the last batch of a set has one transaction more."""
    answer = honest(sent, chain)
    if isinstance(answer, BatchSetArrived) and answer.batches[-1][1]:
        *rest, (last, length) = answer.batches
        return replace(answer, batches=(*rest, (last, length + 1)))
    return answer


def _forged(batch: tuple[Block, int]) -> tuple[Block, int]:
    block, length = batch
    header = replace(block.header, state_root=Hash32(bytes(32)))
    return Block(header, block.justification, None), length


def _unsigned(block: Block) -> Block:
    proof = block.justification
    assert isinstance(proof, QuorumSignature)
    return Block(block.header, replace(proof, signature=bytes(96)), None)


def _stored(chain: Chain, height: Height) -> Block:
    block = chain.block(_hash_at(chain, height), with_body=False)
    assert block is not None
    return block


def _served(sent: SendRequest, chain: Chain) -> bytes:
    match sent.request:
        case BatchSetRequest() as request:
            return serve_batch_set(request, chain).encode()
        case MissingBlocksRequest() as request:
            return serve_missing_blocks(request, chain).encode()
        case HistoryChunkRequest() as request:
            return serve_history_chunk(request, chain).encode()
        case BlockRequest() as request:
            return serve_block(request, chain).encode()
        case _:
            raise AssertionError("a history sync asks nothing else")


def _decoded(sent: SendRequest, payload: bytes) -> Answer:
    """Read a response as the service does that drives the machine."""
    content: Answer | Refusal
    match sent.request:
        case BatchSetRequest():
            content = _batch_set(sent.id, payload)
        case HistoryChunkRequest() as request:
            content = _chunk(sent.id, request.first, payload)
        case _:
            content = _blocks(sent, payload)
    return RequestRefused(sent.id, content.status) if isinstance(content, Refusal) else content


def _batch_set(ticket: TicketId, payload: bytes) -> Answer | Refusal:
    response = BatchSetResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    pairs = [(Block.decode(each.macro_block), each.history_length) for each in response.batches]
    return BatchSetArrived(ticket, tuple(pairs), len(payload))


def _chunk(ticket: TicketId, first: int, payload: bytes) -> Answer | Refusal:
    response = HistoryChunkResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    transactions = tuple(Transaction.decode(each) for each in response.transactions)
    root = verify_range(response.transactions, first, response.leaf_count, response.proof)
    return HistoryChunkArrived(ticket, transactions, response.leaf_count, root, len(payload))


def _blocks(sent: SendRequest, payload: bytes) -> Answer | Refusal:
    if isinstance(sent.request, BlockRequest):
        single = BlockResponse.decode(payload)
        encodings: tuple[bytes, ...] = () if isinstance(single, Refusal) else (single.block,)
        refusal = single if isinstance(single, Refusal) else None
    else:
        several = MissingBlocksResponse.decode(payload)
        encodings = () if isinstance(several, Refusal) else several.blocks
        refusal = several if isinstance(several, Refusal) else None
    blocks = tuple(Block.decode(each) for each in encodings)
    return refusal or BlocksArrived(sent.id, blocks, len(payload))
