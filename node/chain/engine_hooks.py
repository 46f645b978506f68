"""What the engine asks before it acts on a block: now, or later when there is a state.

A block is verified when it is new, accepted when a macro block makes it final, and rejected when a
final block closes its branch. Each hook runs in the transaction of the push that it belongs to, so
an operation is deferred exactly if the push happens. Replay executes blocks itself and never comes
by here.
"""

from typing import Final, Protocol

from node.blocks.block import Block
from node.chain.block_operations import BlockOperation, BlockOperationQueue, OperationKind
from node.chain.state_mode import is_syncing
from node.storage.store import Writer
from protocols.types import Hash32, Height


class EngineHooks(Protocol):
    """Each returns whether the operation was deferred. If not, the engine carries it out now."""

    @property
    def defers(self) -> bool:
        """Whether all of them do."""
        ...

    def on_verify(self, writer: Writer, block: Block) -> bool:
        """Take note of a new block that passed all rules that need no state."""
        ...

    def on_accept(self, writer: Writer, number: Height, block: Hash32) -> bool:
        """Take note of a block that became final."""
        ...

    def on_reject(self, writer: Writer, number: Height, block: Hash32) -> bool:
        """Take note of a block whose branch is closed."""
        ...


class _ExecuteNow:
    """Of a chain that has its state, or never will."""

    defers = False

    def on_verify(self, writer: Writer, block: Block) -> bool:
        del writer, block
        return False

    def on_accept(self, writer: Writer, number: Height, block: Hash32) -> bool:
        del writer, number, block
        return False

    def on_reject(self, writer: Writer, number: Height, block: Hash32) -> bool:
        del writer, number, block
        return False


class _Defer:
    """Of a chain that is on the way to its state."""

    defers = True

    def on_verify(self, writer: Writer, block: Block) -> bool:
        BlockOperationQueue(writer).enqueue(
            BlockOperation(OperationKind.VERIFY, block.number, block.hash)
        )
        return True

    def on_accept(self, writer: Writer, number: Height, block: Hash32) -> bool:
        BlockOperationQueue(writer).enqueue(BlockOperation(OperationKind.ACCEPT, number, block))
        return True

    def on_reject(self, writer: Writer, number: Height, block: Hash32) -> bool:
        BlockOperationQueue(writer).enqueue(BlockOperation(OperationKind.REJECT, number, block))
        return True


EXECUTE_NOW: Final[EngineHooks] = _ExecuteNow()
DEFER: Final[EngineHooks] = _Defer()


def hooks_of(writer: Writer) -> EngineHooks:
    """Return what the chain does in a transaction: what the store says counts."""
    return DEFER if is_syncing(writer) else EXECUTE_NOW
