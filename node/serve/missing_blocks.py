"""Answering with the blocks that lead a peer to the block that it wants.

    forward    locator  b+1  b+2 ... target          main chain only, ascending
               |------| [--------------]             at most to the next macro block

    backward   macro  b+1 ... target                 forks allowed, descending
               [-------------------]                 down to a locator (excluded) or a macro block

The chain may change between two of our looks at it. An answer stays hash-linked all the same: it
ends before the first block that no longer fits.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from node.blocks.header import Header
from node.chain.view import ChainView
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
    target = chain.header(request.target)
    if target is None:
        return Refusal(ResponseStatus.TARGET_NOT_FOUND)
    match request.direction:
        case Direction.FORWARD:
            hashes: Iterable[Hash32] | Refusal = _forward(request, target, chain)
        case Direction.BACKWARD:
            hashes = _backward(request, target, chain)
    if isinstance(hashes, Refusal):
        return hashes
    return _collect(hashes, chain, with_body=request.with_body, max_bytes=max_bytes)


def _forward(
    request: MissingBlocksRequest, target: Header, chain: ChainView
) -> list[Hash32] | Refusal:
    if not chain.is_on_main_chain(target.hash):
        return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
    locator = next(filter(chain.is_on_main_chain, request.locators), None)
    start = None if locator is None else chain.header(locator)
    if start is None:
        return Refusal(ResponseStatus.UNKNOWN_LOCATORS)
    hashes = list(_ascend(start, target, chain))
    if not hashes and start.number < target.number:
        # A rebranch came in between. An empty success would say that nothing is missing.
        return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
    return hashes


def _ascend(start: Header, target: Header, chain: ChainView) -> Iterator[Hash32]:
    """Yield the main chain's hashes after `start`, up to the target or the next macro block."""
    last = min(target.number, chain.policy.macro_after(start.number))
    parent = start.hash
    for height in range(start.number + 1, last + 1):
        block = chain.hash_at(height)
        header = None if block is None else chain.header(block)
        if header is None or header.parent_hash != parent:
            return
        yield header.hash
        parent = header.hash


def _backward(request: MissingBlocksRequest, target: Header, chain: ChainView) -> Iterator[Hash32]:
    """Yield the hashes from the target down to a locator (excluded) or macro block (included)."""
    locators = frozenset(request.locators)
    header: Header | None = target
    while header is not None and header.hash not in locators:
        yield header.hash
        if chain.policy.is_macro(header.number):
            return
        header = chain.header(header.parent_hash)


def _collect(
    hashes: Iterable[Hash32], chain: ChainView, *, with_body: bool, max_bytes: int
) -> MissingBlocksResponse | Refusal:
    blocks: list[bytes] = []
    left_bytes = max_bytes - _RESPONSE_OVERHEAD_BYTES
    for block_hash in hashes:
        block = chain.block_bytes(block_hash, with_body=with_body)
        if block is None:
            # Pruned bodies are the oldest ones, or the block has just been deleted.
            if not blocks:
                return _without_first(with_body=with_body)
            break
        left_bytes -= len(block) + _BLOCK_OVERHEAD_BYTES
        if left_bytes < 0:
            break
        blocks.append(block)
    return MissingBlocksResponse(blocks=tuple(blocks))


def _without_first(*, with_body: bool) -> Refusal:
    return Refusal(ResponseStatus.BODIES_NOT_STORED if with_body else ResponseStatus.NOT_FOUND)
