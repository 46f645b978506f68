"""Where the main chain stands: one immutable value, replaced as a whole after a commit.

    ... --- macro head --- b --- b --- head
            branch[0]                  branch[-1]

Everything up to the macro head is final. The branch above it is at most a batch long, so it is
kept in memory: which blocks of the batch are on the main chain is asked all the time.
"""

from dataclasses import dataclass
from typing import Self

from node.blocks.block import Block
from node.blocks.header import Header, MacroHeader
from node.blocks.validators import Validators
from node.chain.block_store import load_block, main_hash_at
from node.errors import DataFolderError
from node.policy import Policy
from node.storage.store import Reader
from protocols.types import Hash32, Height


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainHead:
    """The newest blocks of the main chain."""

    header: Header
    """Of the head."""
    branch: tuple[Hash32, ...]
    """Hashes from the macro head up to the head, both included."""
    macro: MacroHeader
    election: MacroHeader
    validators: Validators
    """Those that the newest election block has elected."""

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the main chain's hash at a height of the current batch or its macro head."""
        index = height - self.macro.number
        return self.branch[index] if 0 <= index < len(self.branch) else None

    def with_branch(self, below: tuple[Hash32, ...], block: Block) -> Self:
        """Return the head after `block` has been applied above `below`.

        Args:
            below: Hashes from the macro head up to the block's parent.
            block: The new head.
        """
        header, macro, election, validators = block.header, self.macro, self.election, None
        branch = (*below, block.hash)
        if isinstance(header, MacroHeader):
            macro, branch = header, (block.hash,)
            validators = header.next_validators
        if validators is not None:
            election = macro
        return type(self)(
            header=header,
            branch=branch,
            macro=macro,
            election=election,
            validators=validators or self.validators,
        )


def load_head(reader: Reader, head_hash: Hash32, policy: Policy) -> ChainHead:
    """Find the head again after a restart.

    Raises:
        DataFolderError: The store lacks a block that it must have.
    """
    block = _stored(reader, head_hash)
    macro_number = policy.macro_at_or_before(block.number)
    macro = _macro_at(reader, macro_number)
    election = _macro_at(reader, policy.election_at_or_before(block.number))
    if election.next_validators is None:
        raise DataFolderError(f"stored block {election.number} is no election block")
    heights = range(macro_number, block.number + 1)
    return ChainHead(
        header=block.header,
        branch=tuple(_main_hash(reader, height) for height in heights),
        macro=macro,
        election=election,
        validators=election.next_validators,
    )


def _macro_at(reader: Reader, height: Height) -> MacroHeader:
    header = _stored(reader, _main_hash(reader, height)).header
    if not isinstance(header, MacroHeader):
        raise DataFolderError(f"stored block {height} is no macro block")
    return header


def _main_hash(reader: Reader, height: Height) -> Hash32:
    found = main_hash_at(reader, height)
    if found is None:
        raise DataFolderError(f"the store has no block at height {height}")
    return found


def _stored(reader: Reader, block_hash: Hash32) -> Block:
    block = load_block(reader, block_hash)
    if block is None:
        raise DataFolderError(f"the store lacks block {block_hash.hex()}")
    return block
