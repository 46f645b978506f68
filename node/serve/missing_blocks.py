"""Answering with the blocks that lead a peer to the block that it wants.

    forward    locator  b+1  b+2 ... target          main chain only, ascending
               |------| [--------------]             at most to the next macro block

    backward   macro  b+1 ... target                 forks allowed, descending
               [-------------------]                 down to a locator (excluded) or a macro block

An answer is read from one snapshot of the chain. A push in between could cut it short, and whoever
asked would take that for our fault.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

from node.blocks.header import Header
from node.chain.view import ChainSnapshot, ChainView
from node.policy import Policy
from protocols.limits import MAX_LOCATORS, MAX_RESPONSE_BYTES
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, Hash32

_BLOCK_OVERHEAD_BYTES: Final = 5
"""Type and length in front of each block."""
_RESPONSE_OVERHEAD_BYTES: Final = 8
"""The response's array, its status, and the array of blocks."""


def serve_missing_blocks(
    request: MissingBlocksRequest,
    chain: ChainView,
    *,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> MissingBlocksResponse | Refusal:
    """Answer with the blocks between the asking node's chain and its target.

    Args:
        request: What is asked for.
        chain: Our chain.
        max_bytes: Largest encoded response; fewer blocks are sent rather than more bytes. One
            block of the largest size must fit.
    """
    if len(request.locators) > MAX_LOCATORS:
        return Refusal(ResponseStatus.TOO_MANY_LOCATORS)
    if request.with_body and not chain.keeps_bodies:
        return Refusal(ResponseStatus.BODIES_NOT_STORED)
    with chain.snapshot() as snapshot:
        hashes = _path(request, snapshot, chain.policy)
        if isinstance(hashes, Refusal):
            return hashes
        return _collect(hashes, snapshot, with_body=request.with_body, max_bytes=max_bytes)


_Path: TypeAlias = Iterator[Hash32 | None]
"""Hashes of the blocks to send; None for one that is not stored."""


def _path(request: MissingBlocksRequest, chain: ChainSnapshot, policy: Policy) -> _Path | Refusal:
    target = chain.header(request.target)
    if target is None:
        return Refusal(ResponseStatus.TARGET_NOT_FOUND)
    match request.direction:
        case Direction.FORWARD:
            return _forward(request, target, chain, policy)
        case Direction.BACKWARD:
            return _backward(request, target, chain, policy)


def _forward(
    request: MissingBlocksRequest, target: Header, chain: ChainSnapshot, policy: Policy
) -> _Path | Refusal:
    """Find the main chain's hashes after a locator, up to the target or the next macro block."""
    if not chain.is_on_main_chain(target.hash):
        return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
    locator = next(filter(chain.is_on_main_chain, request.locators), None)
    start = None if locator is None else chain.header(locator)
    if start is None:
        return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
    last = min(target.number, policy.macro_after(start.number))
    if start.number < last and chain.is_pruned(start.number + 1):
        return Refusal(ResponseStatus.PRUNED)
    return (chain.hash_at(height) for height in range(start.number + 1, last + 1))


def _backward(
    request: MissingBlocksRequest, target: Header, chain: ChainSnapshot, policy: Policy
) -> _Path:
    """Yield the hashes from the target down to a locator (excluded) or macro block (included)."""
    locators = frozenset(request.locators)
    header: Header | None = target
    while header is not None and header.hash not in locators:
        yield header.hash
        if policy.is_macro(header.number):
            return
        header = chain.header(header.parent_hash)
    if header is None:
        yield None


def _collect(
    hashes: _Path, chain: ChainSnapshot, *, with_body: bool, max_bytes: int
) -> MissingBlocksResponse | Refusal:
    blocks: list[bytes] = []
    left_bytes = max_bytes - _RESPONSE_OVERHEAD_BYTES
    for block_hash in hashes:
        block = None if block_hash is None else chain.block_bytes(block_hash, with_body=with_body)
        if block is None:
            # An answer with a gap, or that ends before it, is none of those that may be given.
            is_stored = block_hash is not None and chain.header(block_hash) is not None
            status = ResponseStatus.PRUNED if is_stored else ResponseStatus.NOT_FOUND
            return Refusal(status)
        left_bytes -= len(block) + _BLOCK_OVERHEAD_BYTES
        if left_bytes < 0:
            break
        blocks.append(block)
    return MissingBlocksResponse(blocks=tuple(blocks))
