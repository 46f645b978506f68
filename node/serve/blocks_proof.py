"""Answering with the proof that blocks are on our main chain.

E1 <----- E2 <----- E3     elections: by parent election hash, down from the block named
|
+- elects who signs M --> l --> l --> n     links: by parent hash, down to the block
"""

from collections.abc import Mapping, Sequence
from typing import Final

from node.chain.view import ChainSnapshot, ChainView
from node.policy import Policy
from node.serve.macro_block import main_macro
from protocols.codec import unpack
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.blocks_proof import (
    MAX_ELECTIONS,
    MAX_LINKS_IN_ALL,
    BlocksProofRequest,
    BlocksProofResponse,
    ProvenBlock,
)
from protocols.status import Refusal, ResponseStatus
from protocols.types import Height

_HEADER_OVERHEAD_BYTES: Final = 5
"""Type and length in front of each header."""
_BLOCK_OVERHEAD_BYTES: Final = 16
"""Array, types and lengths of one proven block."""
_RESPONSE_OVERHEAD_BYTES: Final = 8
"""The response's array, its status, and the two arrays."""


def serve_blocks_proof(
    request: BlocksProofRequest,
    chain: ChainView,
    *,
    max_bytes: int = MAX_RESPONSE_BYTES,
    max_links: int = MAX_LINKS_IN_ALL,
) -> BlocksProofResponse | Refusal:
    """Answer with headers that lead from an election block to some blocks.

    Args:
        request: What is asked for.
        chain: Our chain.
        max_bytes: Largest encoded response; larger proofs are refused.
        max_links: Most links of all blocks together; before any of them is read.
    """
    policy = chain.policy
    with chain.snapshot() as snapshot:
        head = main_macro(snapshot, request.election_head)
        if head is None or head.validators is None:
            return Refusal(ResponseStatus.NOT_A_MACRO_BLOCK)
        newest = policy.macro_at_or_before(snapshot.head_number())
        end = min(newest, policy.election_after(head.number))
        if max(request.numbers) > end:
            return Refusal(ResponseStatus.OUT_OF_RANGE)
        oldest = policy.election_before(min(request.numbers))
        heights = range(head.number - policy.epoch_length, oldest - 1, -policy.epoch_length)
        links = sum(policy.macro_after(number - 1) - number for number in request.numbers)
        if len(heights) > MAX_ELECTIONS or links > max_links:
            return Refusal(ResponseStatus.PROOF_TOO_LARGE)
        elections = _elections(snapshot, heights)
        blocks = _proven(snapshot, policy, request.numbers)
    if elections is None or blocks is None:
        return Refusal(ResponseStatus.PRUNED)
    if _size(elections, blocks) > max_bytes:
        return Refusal(ResponseStatus.PROOF_TOO_LARGE)
    return BlocksProofResponse(elections=elections, blocks=blocks)


def _elections(chain: ChainSnapshot, heights: Sequence[Height]) -> tuple[bytes, ...] | None:
    parts = [_parts_at(chain, height) for height in heights]
    found = [part[0] for part in parts if part is not None]
    return tuple(found) if len(found) == len(heights) else None


def _proven(
    chain: ChainSnapshot, policy: Policy, numbers: Sequence[Height]
) -> tuple[ProvenBlock, ...] | None:
    """Read each batch once, from its macro block down to the lowest block that is asked for."""
    lowest: dict[Height, Height] = {}
    for number in numbers:
        macro = policy.macro_after(number - 1)
        lowest[macro] = min(number, lowest.get(macro, macro))
    batches: dict[Height, tuple[tuple[bytes, bytes], ...]] = {}
    for macro, low in lowest.items():
        parts = [_parts_at(chain, height) for height in range(macro, low - 1, -1)]
        found = tuple(part for part in parts if part is not None)
        if len(found) < len(parts):
            return None
        batches[macro] = found
    return tuple(_proven_block(batches, number, policy) for number in numbers)


def _proven_block(
    batches: Mapping[Height, Sequence[tuple[bytes, bytes]]], number: Height, policy: Policy
) -> ProvenBlock:
    macro = policy.macro_after(number - 1)
    signed, *below = batches[macro][: macro - number + 1]
    return ProvenBlock(*signed, tuple(header for header, _ in below))


def _parts_at(chain: ChainSnapshot, height: Height) -> tuple[bytes, bytes] | None:
    """Return the encoded header and justification of the main chain's block at a height."""
    block_hash = chain.hash_at(height)
    block = None if block_hash is None else chain.block_bytes(block_hash, with_body=False)
    if block is None:
        return None
    header, justification, _ = unpack("StoredBlock", block)
    return header, justification


def _size(elections: Sequence[bytes], blocks: Sequence[ProvenBlock]) -> int:
    """Return at least the size of the encoded response."""
    headers = [*elections, *(each.header for each in blocks)]
    headers += [link for each in blocks for link in each.links]
    size = sum(len(header) + _HEADER_OVERHEAD_BYTES for header in headers)
    size += sum(len(each.justification) + _BLOCK_OVERHEAD_BYTES for each in blocks)
    return size + _RESPONSE_OVERHEAD_BYTES
