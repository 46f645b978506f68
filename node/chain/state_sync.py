"""What a chain does on the way to its state: each method is one transaction, in turn with pushes.

    no state:   headers, bodies and links are checked, blocks are stored, nothing is executed
    move_target, store_batch      while accounts are fetched
    index_window                  before the target's state is complete, some at a time
    complete_state                the target's accounts are the state; the target becomes state head
    execute_accepted              final blocks above the state head, some at a time
    seal                          the branch above the macro head, some blocks at a time; once none
                                  is left pushes execute

A crash between any two of them is nothing: all that counts is in the store.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Final, TypeVar

from node.blocks.block import Block
from node.chain.block_operations import BlockOperationQueue, BlockOperationView
from node.chain.block_store import (
    delete_branch,
    load_block,
    main_hash_at,
    unset_main,
)
from node.chain.head import ChainHead
from node.chain.pruning import keep_from, prune
from node.chain.reading import ChainReader
from node.chain.replay import (
    MAX_REPLAYED,
    PlannedBlock,
    Replayed,
    Replayer,
    ReplayFailed,
    plan_next,
)
from node.chain.results import ChainEvent, InvalidBlock, Rebranched
from node.chain.settings import ChainSettings
from node.chain.state_completion import StateCompletion
from node.chain.state_mode import (
    end_syncing,
    is_syncing,
    note_target,
    state_head,
    sync_target,
)
from node.chain.window import check_batch, first_missing, save_batch, window_line
from node.chain.window_index import MAX_INDEXED, index_step
from node.storage.store import Store, Table, Writer
from protocols.types import Hash32, Height

HEAD_KEY: Final = b"head"

ErrorT = TypeVar("ErrorT")


@dataclass(frozen=True, slots=True)
class SealOutcome:
    """What came of closing the queue."""

    is_sealed: bool
    """False if blocks are still to be executed, or the sync has begun anew meanwhile."""
    left: int = 0
    """Blocks above the macro head that are still to be executed, if all final ones have been."""
    invalid: InvalidBlock | None = None
    """A block above the macro head that cannot be executed. It is deleted, with all above it."""
    events: tuple[ChainEvent, ...] = ()


class StateSyncChain(ChainReader):
    """A chain that can be on the way to its state."""

    def __init__(
        self, store: Store, genesis: Hash32, settings: ChainSettings, head: ChainHead
    ) -> None:
        super().__init__(store, genesis, settings, head)
        self._pushing = Lock()

    def deferred_operations(self) -> int:
        """Count the operations that wait for the state. They lie on disk, without a bound."""
        with self._store.read() as reader:
            return len(BlockOperationView(reader))

    def move_target(self, height: Height) -> None:
        """Fetch the state of a final block from now on; what was deferred up to it is done with.

        Args:
            height: At most the macro head's, at least that of the target before.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing, self._store.write() as writer:
            assert is_syncing(writer)
            assert state_head(writer) is None
            assert height <= self._head.macro.number, "a target is final"
            target = main_hash_at(writer, height)
            assert target is not None
            before = sync_target(writer)
            if before is None:
                keep_from(writer, window_line(height, self.policy))
            else:
                known = load_block(writer, before)
                assert known is not None
                assert known.number <= height, "targets ascend"
            note_target(writer, target)
            BlockOperationQueue(writer).prune(height)

    def lowest_whole(self, target: Height) -> Block | None:
        """Return the lowest block that is stored whole, with all between it and a target.

        None if the target itself is not. Without its body; not below the target's window.
        """
        line = window_line(target, self.policy)
        with self._store.read() as reader:
            missing = first_missing(reader, target, line)
            lowest = main_hash_at(reader, line if missing is None else missing + 1)
            return None if missing == target or lowest is None else load_block(reader, lowest)

    def store_batch(self, blocks: Sequence[Block]) -> InvalidBlock | None:
        """Store the blocks of a batch below a final block, whole and on the main chain.

        Args:
            blocks: With their bodies, descending: micro blocks of one batch, and the macro block
                below them. Or only a macro block that is stored without its body.

        Returns:
            The block that is wrong; then nothing has happened.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing, self._store.write(durable=False) as writer:
            invalid = check_batch(writer, blocks, self._settings)
            if invalid is None:
                save_batch(writer, blocks)
        return invalid

    def index_window(self, limit: int = MAX_INDEXED) -> bool:
        """Index some of the target's window, all of which is stored; return whether all is done.

        Args:
            limit: Transactions, and blocks without any, after which no further block is looked at.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing, self._store.write(durable=False) as writer:
            target = sync_target(writer)
            block = None if target is None else load_block(writer, target)
            if block is None:
                return True
            line = window_line(block.number, self.policy)
            return index_step(writer, block.number, line, self.policy, limit)

    def complete_state(self, finalize: Callable[[StateCompletion], ErrorT | None]) -> ErrorT | None:
        """Run the finalizer in one transaction.

        Args:
            finalize: Checks first and writes then: after an error it has written nothing.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing, self._store.write() as writer:
            return finalize(StateCompletion(self._settings, writer, self._head))

    def execute_accepted(
        self, limit: int = MAX_REPLAYED, *, transactions: int | None = None
    ) -> Replayed | ReplayFailed:
        """Execute the first final blocks that were deferred, and forget their operations.

        Args:
            limit: Most operations to take.
            transactions: And blocks without any, after which no further block is executed; None is
                no limit.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing:
            # Atomic, and a power cut may take it back: then it is done again.
            with self._store.write(durable=False) as writer:
                replayer = Replayer(self._settings, writer, transactions)
                outcome = replayer.execute_accepted(limit)
            self._recent.replace(added=[], deleted=replayer.deleted)
        return outcome

    def plan_next(self) -> PlannedBlock | None:
        """Execute the next block above the macro head, while pushes go on; `seal` writes it.

        None if there is none, or if final blocks come first.
        """
        branch = self._head.branch
        with self._store.read() as reader:
            return plan_next(reader, branch, self._settings)

    def seal(
        self, transactions: int | None = None, planned: PlannedBlock | None = None
    ) -> SealOutcome:
        """Execute some of what is above the macro head, and have the state once nothing is left.

        No push can come between the look at what is left and the end of the queue.

        Args:
            transactions: And blocks without any, after which no further block is executed; None is
                no limit, however long pushes have to wait.
            planned: What the first block to execute does, if it is still that.

        Raises:
            StorageError: The disk refused. Nothing has happened.
        """
        with self._pushing:
            # A power cut may take it back: then it is done again.
            with self._store.write(durable=False) as writer:
                queue = BlockOperationQueue(writer)
                if state_head(writer) is None or queue.holds_accepted:
                    return SealOutcome(is_sealed=False)
                replayer = Replayer(self._settings, writer, transactions)
                outcome = self._execute_branch(writer, replayer, planned)
                if outcome.is_sealed:
                    queue.clear()
                    end_syncing(writer)
                    replayer.deleted += prune(writer, self._head.macro.number, self._settings)
            self._recent.replace(added=[], deleted=replayer.deleted)
            if outcome.is_sealed:
                self._head = replayer.head
                self._has_state = True
        return outcome

    def _execute_branch(
        self, writer: Writer, replayer: Replayer, planned: PlannedBlock | None
    ) -> SealOutcome:
        """Execute blocks above the macro head. A fork may still revert them."""
        executed = replayer.head.header.hash
        assert executed in self._head.branch, "all final blocks have been executed"
        waiting = self._head.branch[self._head.branch.index(executed) + 1 :]
        for place, block in enumerate(waiting):
            if replayer.has_enough:
                return SealOutcome(is_sealed=False, left=len(waiting) - place)
            if planned is not None and planned.block.hash == block:
                error = replayer.carry_out(planned)
            else:
                error = replayer.execute(block, is_final=False)
            if error is not None:
                event = self._drop_branch(writer, replayer, block)
                invalid = InvalidBlock(error, block)
                return SealOutcome(is_sealed=True, invalid=invalid, events=(event,))
        return SealOutcome(is_sealed=True)

    def _drop_branch(self, writer: Writer, replayer: Replayer, failed: Hash32) -> Rebranched:
        """Delete a block of the branch and all above it: the head is the one that was executed."""
        branch = self._head.branch
        reverted = branch[branch.index(failed) :]
        block = load_block(writer, failed)
        assert block is not None
        for height in range(block.number, self._head.header.number + 1):
            unset_main(writer, height)
        end = self.policy.macro_after(self._head.macro.number) + 1
        replayer.deleted += delete_branch(writer, block, end)
        writer.put(Table.META, HEAD_KEY, replayer.head.header.hash)
        return Rebranched(reverted=reverted, adopted=())
