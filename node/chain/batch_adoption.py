"""Whole batches onto the chain, as a history sync has put them together, in one transaction.

number <= macro head    -> Known or Ignored
breaks a rule           -> InvalidBlock, and nothing of the batch is stored
else                    -> the new macro head                               -> Extended

M --- b1 --- b2 --- M'      adopted: afterwards the store holds what pushing would have left
+---- b1 --- x              our own branch above M: undone first, what M' closes is deleted
"""

from node.accounts.state_history import begin
from node.blocks.header import MacroHeader
from node.chain.adoption import Adopter, verify_macro
from node.chain.batch_plan import BatchPlan, PlannedBlock, plan_batch
from node.chain.block_store import (
    hashes_between,
    load_block,
    save_block,
    save_encoded_body,
    set_main,
)
from node.chain.execution import index_transactions, revert_block
from node.chain.fetched import FetchedBatch
from node.chain.finality import finalize
from node.chain.overlay import Overlay
from node.chain.results import (
    BlockError,
    ChainEvent,
    HistoryAdopted,
    InvalidBlock,
    Pushed,
    PushOutcome,
    PushResult,
)
from protocols.types import Hash32


class BatchAdopter(Adopter):
    """Adopts macro blocks with all that lies between them."""

    def adopt(self, batch: FetchedBatch) -> PushResult:
        """Adopt the batch above our macro head. Unless the result is `Pushed`, nothing happened.

        An `InvalidBlock` with WRONG_BODY_ROOT names a block whose body holds more than
        transactions: its body is missing among the batch's `bodies`.
        """
        macro = batch.macro.without_body()
        closed = self._is_closed(macro)
        if closed is not None:
            return closed
        error = verify_macro(
            macro, self.head, self._settings, now_ms=self._now_ms, quorums=self._quorums
        )
        if error is None and macro.number != self._next_macro:
            error = BlockError.WRONG_NUMBER
        if error is not None:
            return InvalidBlock(error, macro.hash)
        overlay = self._without_branch()
        plan = plan_batch(
            overlay or self._writer, batch, self.head.macro, self._settings.rules_above(self.head)
        )
        if isinstance(plan, InvalidBlock):
            return plan
        if overlay is not None:
            overlay.flush(self._writer)
        return Pushed(PushOutcome.EXTENDED, self._write(plan))

    @property
    def _next_macro(self) -> int:
        return self._settings.policy.macro_after(self.head.macro.number)

    def _without_branch(self) -> Overlay | None:
        """Undo our own branch above the macro head, if there is one."""
        branch = self.head.branch[1:]
        if not branch:
            return None
        overlay = Overlay(self._writer)
        for block_hash in reversed(branch):
            block = load_block(self._writer, block_hash)
            assert block is not None, "the branch is stored"
            revert_block(overlay, block, self._settings.policy)
        return overlay

    def _write(self, plan: BatchPlan) -> tuple[ChainEvent, ...]:
        writer, macro = self._writer, plan.macro.header
        assert isinstance(macro, MacroHeader)
        before = self.head
        first = before.macro.number + 1
        known = frozenset(each for _, each in hashes_between(writer, first, macro.number))
        for planned in plan.blocks:
            self._write_block(planned, known)
        plan.history.write(writer)
        plan.state.write(writer)
        # What each block of the batch has changed is not known.
        begin(writer, macro.number)
        save_block(writer, plan.macro)
        set_main(writer, plan.macro)
        self.head = before.with_branch((), plan.macro)
        self.added[plan.macro.hash] = plan.macro.without_body()
        accepted = (*(planned.block.hash for planned in plan.blocks), plan.macro.hash)
        final = finalize(writer, macro, before, accepted, self._settings)
        self.deleted.update(final.deleted)
        for block_hash in final.deleted:
            self.added.pop(block_hash, None)
        return HistoryAdopted(first, macro.number, macro.hash), *final.events

    def _write_block(self, planned: PlannedBlock, known: frozenset[Hash32]) -> None:
        block = planned.block
        # What is stored has been verified, and others may have it with that justification.
        if block.hash not in known:
            save_block(self._writer, block)
            save_encoded_body(self._writer, block.hash, planned.body)
        set_main(self._writer, block)
        if planned.transactions:
            hashes = tuple(transaction.hash for transaction in planned.transactions)
            index_transactions(self._writer, block.number, hashes)
