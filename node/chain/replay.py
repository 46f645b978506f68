"""Executing blocks that were stored without being executed, one after the other.

    state head        macro head          head
        s --- b --- M --- b --- M'  --- b --- b
              ^ accepted: the queue has them  ^ the branch: executed last, before the sync is sealed

Nothing here asks the engine's hooks: what is replayed is never deferred again.

A push that is deferred leaves the signatures of transactions for later. Final blocks need no such
check: a quorum stands behind them, as it does behind the state that they are executed on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Final

from node.blocks.block import Block
from node.chain.block_operations import BlockOperationQueue, OperationKind, QueuedOperation
from node.chain.block_store import load_block
from node.chain.execution import Executed, apply_block, count_transactions, execute_block
from node.chain.finality import finalize_state
from node.chain.head import ChainHead, load_head
from node.chain.pruning import prune
from node.chain.punished import Absences
from node.chain.results import BlockError
from node.chain.settings import ChainSettings
from node.chain.state_mode import executed_header, note_state_head, state_head
from node.storage.store import Reader, Writer
from protocols.types import Hash32

MAX_REPLAYED: Final = 64
"""Operations of one transaction: pushes wait as long as it takes."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """How far one step has come."""

    count: int
    """Operations that have left the queue; 0 if it was empty."""


@dataclass(frozen=True, slots=True)
class ReplayFailed:
    """A final block cannot be executed: state, rules or stored blocks are not what they must be."""

    index: int
    """Of the operation in this step, counted from 0. Those before it are done."""
    count: int
    """Operations of the step."""
    kind: OperationKind
    block: Hash32
    error: BlockError

    def __str__(self) -> str:
        """Return one line for the log."""
        place = f"operation {self.index + 1} of {self.count}"
        return f"{place}, {self.kind.name.lower()} {self.block.hex()[:16]}: {self.error}"


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """A block that was executed over a snapshot, and of which nothing is written yet."""

    above: Hash32
    """The state head of the snapshot."""
    block: Block
    result: Executed | BlockError


def plan_next(
    reader: Reader, branch: Sequence[Hash32], settings: ChainSettings
) -> PlannedBlock | None:
    """Execute the block above the state head, as far as that needs no transaction.

    Args:
        reader: A snapshot.
        branch: The main chain from its macro head on, perhaps from before or after the snapshot.
        settings: Of the chain.

    Returns:
        None if there is nothing to do on this branch, or not yet.
    """
    executed = executed_header(reader)
    if executed is None or executed.hash not in branch[:-1]:
        return None
    block = load_block(reader, branch[branch.index(executed.hash) + 1], with_body=True)
    if block is None or block.body is None:
        return None
    rules = settings.rules_above(load_head(reader, executed.hash, settings.policy))
    result = execute_block(reader, block, executed, rules, Absences(), are_signatures_due=True)
    return PlannedBlock(executed.hash, block, result)


class Replayer:
    """Executes blocks above the state head within one transaction."""

    def __init__(
        self, settings: ChainSettings, writer: Writer, transactions: int | None = None
    ) -> None:
        """Begin at the state head.

        Args:
            settings: Of the chain.
            writer: The transaction.
            transactions: And blocks without any, after which there is enough for it.
        """
        self._settings = settings
        self._writer = writer
        found = state_head(writer)
        assert found is not None, "a target's state comes first"
        self.head: ChainHead = load_head(writer, found, settings.policy)
        """The chain up to the newest block that has been executed."""
        self.deleted: list[Hash32] = []
        """Blocks that are no longer stored."""
        self._left = inf if transactions is None else transactions
        self._rules = settings.rules_above(self.head)

    @property
    def has_enough(self) -> bool:
        """Whether it is time for a commit."""
        return self._left <= 0

    def execute_accepted(self, limit: int) -> Replayed | ReplayFailed:
        """Execute the first final blocks of the queue, and take out what has been done."""
        queue = BlockOperationQueue(self._writer)
        queued = queue.snapshot(limit)
        for index, each in enumerate(queued):
            error = self._accept(each)
            if error is not None:
                queue.remove(queued[:index])
                kind, _, block = each.operation
                return ReplayFailed(index, len(queued), kind, block, error)
            if self.has_enough:
                queued = queued[: index + 1]
                break
        queue.remove(queued)
        return Replayed(len(queued))

    def execute(self, block_hash: Hash32, *, is_final: bool) -> BlockError | None:
        """Execute the child of the state head, or change nothing and say why not.

        Args:
            block_hash: Stored.
            is_final: Whether a quorum stands behind it, and not its producer alone.
        """
        block = load_block(self._writer, block_hash, with_body=True)
        if block is None:
            return BlockError.MISSING_BODY
        if block.parent_hash != self.head.header.hash:
            return BlockError.WRONG_PARENT
        absences = self._absences() if block.is_macro else Absences()
        error = apply_block(
            self._writer,
            block,
            self.head.header,
            self._rules,
            absences,
            are_signatures_due=not is_final,
        )
        if error is not None:
            return error
        self._note_executed(block)
        return None

    def carry_out(self, planned: PlannedBlock) -> BlockError | None:
        """Write what a block does that was executed above this state head, or say why not."""
        assert planned.above == self.head.header.hash
        if isinstance(planned.result, BlockError):
            return planned.result
        planned.result.write(self._writer, planned.block)
        self._note_executed(planned.block)
        return None

    def _note_executed(self, block: Block) -> None:
        self._left -= max(count_transactions(self._writer, block.number), 1)
        self.head = self.head.with_branch(self.head.branch, block)
        note_state_head(self._writer, block.hash)
        if block.is_macro:
            self._rules = self._settings.rules_above(self.head)
            finalize_state(self._writer, block.number, self._settings)
            self.deleted += prune(self._writer, block.number, self._settings)

    def _accept(self, queued: QueuedOperation) -> BlockError | None:
        kind, height, block = queued.operation
        # Blocks that are only verified are executed when they are final, or when the sync is
        # sealed. Rejected ones were deleted by the push that closed their branch.
        if kind is not OperationKind.ACCEPT or height <= self.head.header.number:
            return None
        return self.execute(block, is_final=True)

    def _absences(self) -> Absences:
        """Collect who was skipped in the batch of the state head."""
        blocks = (load_block(self._writer, each) for each in self.head.branch[1:])
        return Absences.of((each for each in blocks if each and each.is_skip), self._rules)
