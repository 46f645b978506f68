"""What a history sync has fetched of one batch, before the chain has looked at it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MicroBody
from protocols.types import Hash32


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedBatch:
    """A macro block and all that lies between it and the macro block before."""

    macro: Block
    """Without its body, which follows from the state."""
    blocks: tuple[Block, ...]
    """The micro blocks, ascending, without bodies."""
    transactions: tuple[Transaction, ...]
    """Of all of them, in order, proven to be leaves of the epoch's history tree."""
    bodies: Mapping[Hash32, MicroBody] = field(default_factory=dict)
    """Bodies that hold more than transactions, by block hash: equivocation proofs."""
