"""Batches as a history sync puts them together, from blocks that a builder has made."""

from collections.abc import Iterator, Sequence

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.chain.fetched import FetchedBatch


def fetched_batches(blocks: Sequence[Block]) -> tuple[FetchedBatch, ...]:
    """Return whole batches of consecutive blocks; the last one must be a macro block.

    All of it is decoded anew, as what a peer has sent: nothing is cached.
    """
    return tuple(_fetched_batch(batch) for batch in _split(blocks))


def _split(blocks: Sequence[Block]) -> Iterator[Sequence[Block]]:
    start = 0
    for end, block in enumerate(blocks, start=1):
        if block.is_macro:
            yield blocks[start:end]
            start = end
    assert start == len(blocks), "a part of a batch is left over"


def _fetched_batch(blocks: Sequence[Block]) -> FetchedBatch:
    bodies = [(block, block.body) for block in blocks if isinstance(block.body, MicroBody)]
    return FetchedBatch(
        macro=_bare(blocks[-1]),
        blocks=tuple(_bare(block) for block in blocks[:-1]),
        transactions=tuple(
            Transaction.decode(transaction.encode())
            for _, body in bodies
            for transaction in body.transactions
        ),
        bodies={block.hash: body for block, body in bodies if body.equivocation_proofs},
    )


def _bare(block: Block) -> Block:
    return Block.decode(block.without_body().encode())
