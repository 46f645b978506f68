"""One block after another onto the chain, inside one store transaction.

    number <= macro head        -> Ignored
    stored already              -> Known
    parent not stored           -> Orphan
    parent below the macro head -> InvalidFork
    breaks a rule               -> InvalidBlock
    parent is the head          -> apply                      -> Extended
    macro block on a fork       -> revert ours, apply theirs  -> Rebranched
    other block on a fork       -> compare the branches       -> Rebranched, Forked or Ignored

A block that extends the chain is executed before anything is written. A block of a fork is stored
once signature, seed and links are good, also when no micro block can make its branch win: a macro
block still can. It is executed when its branch becomes the main chain, on an overlay that reaches
the transaction only as a whole; a block that fails then is deleted with everything above it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.blocks.verify import Lineage, verify_alone, verify_successor
from node.chain.block_store import (
    delete_branch,
    hashes_between,
    load_block,
    save_block,
    set_main,
    unset_main,
)
from node.chain.engine_hooks import EngineHooks
from node.chain.equivocation import equivocation_between
from node.chain.execution import apply_block, revert_block
from node.chain.finality import finalize
from node.chain.fork_choice import Order, compare_branches
from node.chain.head import ChainHead
from node.chain.overlay import Overlay
from node.chain.punished import Absences
from node.chain.recent import RecentBlocks
from node.chain.results import (
    BlockError,
    ChainEvent,
    EquivocationFound,
    Extended,
    InvalidBlock,
    InvalidFork,
    Orphan,
    Pushed,
    PushOutcome,
    PushResult,
    Rebranched,
    Stored,
)
from node.chain.settings import ChainSettings
from node.chain.state_mode import executed_header, note_state_head
from node.storage.store import Writer
from protocols.types import Hash32, Height

MAX_BLOCKS_PER_HEIGHT: Final = 16
"""The main chain's, a skip block, and forks of producers that sign more than one block. Disk is
what it bounds: 16 full bodies for each height of one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """A block that passed the light rules, and what they found out about it."""

    block: Block
    parent: Block
    lineage: Lineage
    absences: Absences


class BlockPusher:
    """Pushes blocks within one transaction. What it has learnt counts once that is committed."""

    def __init__(
        self,
        settings: ChainSettings,
        writer: Writer,
        head: ChainHead,
        recent: RecentBlocks,
        now_ms: int,
        hooks: EngineHooks,
    ) -> None:
        self._settings = settings
        self._writer = writer
        self._recent = recent
        self._now_ms = now_ms
        self._hooks = hooks
        self._executes = settings.keeps_state and not hooks.defers
        """Whether blocks that become the head change the state now."""
        self._rules = settings.rules_above(head)
        self.head = head
        """The head as this transaction has it."""
        self.added: dict[Hash32, Block] = {}
        """Blocks that it has stored, without bodies."""
        self.deleted: set[Hash32] = set()

    def push(self, block: Block) -> PushResult:
        """Push one block. Unless the result is `Pushed`, at most failed fork blocks are gone."""
        parent = self._parent_of(block)
        if not isinstance(parent, Block):
            return parent
        if not self._settings.needs_bodies:
            block = block.without_body()
        candidate = self._verify(block, parent)
        if isinstance(candidate, BlockError):
            return InvalidBlock(candidate, block.hash)
        self._hooks.on_verify(self._writer, block)
        if block.parent_hash == self.head.header.hash:
            return self._extend(candidate)
        return self._push_fork(candidate)

    def _parent_of(self, block: Block) -> Block | PushResult:
        """Find what a block continues, or say why that does not matter."""
        if block.number <= self.head.macro.number:
            return Pushed(PushOutcome.IGNORED)
        if self._load(block.hash) is not None:
            return Pushed(PushOutcome.KNOWN)
        parent = self._load(block.parent_hash)
        if parent is None:
            return Orphan(block.parent_hash)
        if parent.number < self.head.macro.number:
            return InvalidFork(block.hash)
        return parent

    def _verify(self, block: Block, parent: Block) -> _Candidate | BlockError:
        error = verify_alone(
            block, self._rules, now_ms=self._now_ms, with_body=self._settings.needs_bodies
        )
        if error is not None:
            return error
        absences = self._absences(parent) if block.is_macro else Absences()
        punished = absences.punished_at(block.number, self._rules) if block.is_macro else None
        lineage = Lineage.of(block.header, parent.header, self._rules, punished)
        error = verify_successor(
            block, lineage, self._rules, are_signatures_due=not self._hooks.defers
        )
        if error is not None:
            return error
        return _Candidate(block=block, parent=parent, lineage=lineage, absences=absences)

    def _extend(self, candidate: _Candidate) -> PushResult:
        block = candidate.block
        error = self._apply(self._writer, block, candidate.parent, candidate.absences)
        if error is not None:
            return InvalidBlock(error, block.hash)
        return self._adopted(candidate, Extended(block.hash), self.head.branch)

    def _push_fork(self, candidate: _Candidate) -> PushResult:
        theirs = self._fork_up_to(candidate.block)
        fork_index = theirs[0].number - 1 - self.head.macro.number
        ours = self._blocks(self.head.branch[fork_index + 1 :])
        order = compare_branches([each.is_skip for each in ours], [each.is_skip for each in theirs])
        if candidate.block.is_macro:
            # A quorum stands behind a macro block, and its ancestors are final with it.
            order = Order.SUPERIOR
        match order:
            case Order.SUPERIOR:
                return self._rebranch(candidate, ours, theirs)
            case Order.UNDECIDED:
                return self._store_fork(candidate, PushOutcome.FORKED)
            case Order.INFERIOR:
                return self._store_fork(candidate, PushOutcome.IGNORED)

    def _rebranch(
        self, candidate: _Candidate, ours: list[Block], theirs: list[Block]
    ) -> PushResult:
        overlay = Overlay(self._writer)
        fork = self._loaded(theirs[0].parent_hash)
        self._leave(overlay, ours, fork)
        parent = fork
        for block in theirs:
            is_stored = block is not candidate.block
            error = self._apply(
                overlay,
                self._with_body(block) if is_stored else block,
                parent,
                candidate.absences,
                are_signatures_due=is_stored,
            )
            if error is not None:
                return self._abandon(block, candidate, error)
            parent = block
        overlay.flush(self._writer)
        below = self.head.branch[: theirs[0].number - self.head.macro.number]
        below += tuple(block.hash for block in theirs[:-1])
        event = Rebranched(
            reverted=tuple(block.hash for block in ours),
            adopted=tuple(block.hash for block in theirs),
        )
        return self._adopted(candidate, event, below)

    def _leave(self, writer: Writer, ours: list[Block], fork: Block) -> None:
        """Take blocks off the main chain, down to where another branch begins."""
        executed = self.head.header if self._executes else executed_header(writer)
        for block in reversed(ours):
            if executed is not None and block.number <= executed.number:
                revert_block(writer, block, self._settings.policy)
            unset_main(writer, block.number)
        if not self._executes and executed is not None and executed.number > fork.number:
            note_state_head(writer, fork.hash)

    def _abandon(self, failed: Block, candidate: _Candidate, error: BlockError) -> InvalidBlock:
        """Delete a stored block that breaks a rule, and what is stored above it."""
        if failed is not candidate.block:
            self._delete_branch(failed)
        return InvalidBlock(error, failed.hash)

    def _apply(
        self,
        writer: Writer,
        block: Block,
        parent: Block,
        absences: Absences,
        *,
        are_signatures_due: bool = False,
    ) -> BlockError | None:
        """Put a block on top of what the writer holds, or write nothing and say why not."""
        if self._executes:
            error = apply_block(
                writer,
                block,
                parent.header,
                self._rules,
                absences,
                are_signatures_due=are_signatures_due,
            )
            if error is not None:
                return error
        set_main(writer, block)
        return None

    def _adopted(
        self, candidate: _Candidate, event: Extended | Rebranched, below: tuple[Hash32, ...]
    ) -> Pushed:
        """Make a block that has been applied above `below` the head."""
        block, before = candidate.block, self.head
        self._save(block)
        self.head = before.with_branch(below, block)
        events: tuple[ChainEvent, ...] = (event, *self._equivocations(candidate))
        if block.is_macro:
            final = finalize(
                self._writer,
                self.head.macro,
                before,
                (*below[1:], block.hash),
                self._settings,
                self._hooks,
            )
            self._note_deleted(final.deleted)
            self._rules = self._settings.rules_above(self.head)
            events += final.events
        outcome = PushOutcome.EXTENDED if isinstance(event, Extended) else PushOutcome.REBRANCHED
        return Pushed(outcome, events, is_deferred=self._hooks.defers)

    def _store_fork(self, candidate: _Candidate, outcome: PushOutcome) -> Pushed:
        self._make_room_at(candidate.block.number)
        self._save(candidate.block)
        stored = Stored(candidate.block.hash)
        return Pushed(outcome, (stored, *self._equivocations(candidate)))

    def _make_room_at(self, height: Height) -> None:
        """Delete a fork where too many blocks have one height: a producer may sign any number.

        A batch that arrives in one push is not hurt: its macro block comes before anything else
        can take the place of its blocks.
        """
        stored = [block for _, block in hashes_between(self._writer, height, height + 1)]
        if len(stored) >= MAX_BLOCKS_PER_HEIGHT:
            first_fork = next(each for each in stored if each != self.head.hash_at(height))
            self._delete_branch(self._loaded(first_fork))

    def _delete_branch(self, block: Block) -> None:
        """Delete a block of a fork and everything that is stored above it."""
        deleted = delete_branch(self._writer, block, self._batch_end)
        self._note_deleted(deleted)

    def _equivocations(self, candidate: _Candidate) -> Iterator[EquivocationFound]:
        """Yield the proof against the first other block of this height and producer, if any."""
        block = candidate.block
        if not isinstance(block.justification, ProducerSignature):
            return
        for _, block_hash in hashes_between(self._writer, block.number, block.number + 1):
            if block_hash == block.hash:
                continue
            other = self._loaded(block_hash)
            parent = self._loaded(other.parent_hash)
            owner = self._rules.slot_owner(parent.header.seed, other.number)
            proof = equivocation_between(block, other)
            if proof is not None and owner.signing_key == candidate.lineage.owner.signing_key:
                yield EquivocationFound(proof)
                return

    def _absences(self, parent: Block) -> Absences:
        """Collect who was skipped between the macro head and a stored block, itself included."""
        skips = []
        block = parent
        while block.number > self.head.macro.number:
            if block.is_skip:
                skips.append(block)
            block = self._loaded(block.parent_hash)
        return Absences.of(skips, self._rules)

    def _fork_up_to(self, block: Block) -> list[Block]:
        """Return the blocks from above the main chain up to a new one, ascending."""
        fork = [block]
        while self.head.hash_at(fork[-1].number - 1) != fork[-1].parent_hash:
            fork.append(self._loaded(fork[-1].parent_hash))
        return fork[::-1]

    def _blocks(self, hashes: tuple[Hash32, ...]) -> list[Block]:
        return [self._loaded(block_hash) for block_hash in hashes]

    def _with_body(self, block: Block) -> Block:
        if not self._executes:
            return block
        whole = load_block(self._writer, block.hash, with_body=True)
        assert whole is not None, "bodies stay stored until they are final"
        return whole

    def _load(self, block: Hash32) -> Block | None:
        if block in self.deleted:
            return None
        found = self.added.get(block) or self._recent.get(block)
        return found or load_block(self._writer, block)

    def _loaded(self, block: Hash32) -> Block:
        found = self._load(block)
        assert found is not None, "a stored block has its ancestors of the batch stored"
        return found

    def _save(self, block: Block) -> None:
        save_block(self._writer, block)
        self.added[block.hash] = block.without_body()
        self.deleted.discard(block.hash)

    def _note_deleted(self, blocks: tuple[Hash32, ...]) -> None:
        self.deleted.update(blocks)
        for block in blocks:
            self.added.pop(block, None)

    @property
    def _batch_end(self) -> Height:
        """First height after the batch under way."""
        return self._settings.policy.macro_after(self.head.macro.number) + 1
