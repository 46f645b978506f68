"""What a batch that a history sync has fetched does to the store, computed before it is written.

    header     b1        b2        b3 (skip)   M
    root       r1        r2        r2          r2
    leaves   t1 t2     t3          -           -       taken until the root is the header's

Nothing is taken on the word of whoever has sent it. A quorum has signed the hash of M, the headers
hang from it by their parent hashes, and from the headers hang the transactions (history root) and
bodies (body root). So seeds, timestamps, the signatures of transactions and the account changes of
single micro blocks are not verified once more: honest validators have done that before they signed.
The state after the batch is computed here, and must be the one of M.

No hash covers the justification of a micro block, so each is verified as if it were pushed: a
false one would be served to others, and they would blame us.
"""

from dataclasses import dataclass

from node.accounts.account import REWARD_POT
from node.accounts.ledger import Ledger, StateChange, expected_rewards, state_change
from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY, MacroBody, MicroBody, join_transactions
from node.blocks.header import Header, MacroHeader, MicroHeader
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signing import skip_message
from node.blocks.verify import BatchRules, is_signed_by_quorum
from node.chain import history_tree
from node.chain.fetched import FetchedBatch
from node.chain.history_tree import HistoryUpdate, node_count
from node.chain.punished import Absences
from node.chain.results import BlockError, InvalidBlock
from node.crypto import ed25519
from node.crypto.hashes import hash32
from node.storage.store import Reader
from protocols.types import Hash32


@dataclass(frozen=True, slots=True)
class PlannedBlock:
    """A micro block of a batch, ready to be stored."""

    block: Block
    """Without its body."""
    body: bytes
    """Its encoding."""
    transactions: tuple[Transaction, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch that is good, and what it changes."""

    blocks: tuple[PlannedBlock, ...]
    macro: Block
    """With its body."""
    history: HistoryUpdate
    state: StateChange


def plan_batch(
    reader: Reader, batch: FetchedBatch, macro_head: MacroHeader, rules: BatchRules
) -> BatchPlan | InvalidBlock:
    """Verify all of a batch below its macro block, and execute it.

    Args:
        reader: The state after `macro_head`.
        batch: Its macro block has been verified.
        macro_head: The end of the batch before.
        rules: Of the batch.
    """
    broken = _check_links(batch, macro_head) or _check_justifications(batch, macro_head, rules)
    if broken is not None:
        return broken
    bodies = _Bodies(reader, batch, rules)
    blocks: list[PlannedBlock] = []
    for block in batch.blocks:
        planned = bodies.planned(block)
        if isinstance(planned, BlockError):
            return InvalidBlock(planned, block.hash)
        blocks.append(planned)
    history = bodies.finished()
    if isinstance(history, BlockError):
        return InvalidBlock(history, batch.macro.hash)
    executed = _execute(reader, batch, blocks, rules)
    if isinstance(executed, InvalidBlock):
        return executed
    body, state = executed
    macro = Block(batch.macro.header, batch.macro.justification, body)
    return BatchPlan(blocks=tuple(blocks), macro=macro, history=history, state=state)


def _check_links(batch: FetchedBatch, macro_head: MacroHeader) -> InvalidBlock | None:
    """Check from the macro block down that each block is the parent of the one above it."""
    child: Header = batch.macro.header
    for block in reversed(batch.blocks):
        header = block.header
        if header.hash != child.parent_hash:
            return InvalidBlock(BlockError.WRONG_PARENT, header.hash)
        if not isinstance(header, MicroHeader):
            return InvalidBlock(BlockError.WRONG_TYPE, header.hash)
        if header.number != child.number - 1:
            return InvalidBlock(BlockError.WRONG_NUMBER, header.hash)
        child = header
    if child.parent_hash != macro_head.hash:
        return InvalidBlock(BlockError.WRONG_PARENT, child.hash)
    if child.number != macro_head.number + 1:
        return InvalidBlock(BlockError.WRONG_NUMBER, child.hash)
    return None


def _check_justifications(
    batch: FetchedBatch, macro_head: MacroHeader, rules: BatchRules
) -> InvalidBlock | None:
    parent: Header = macro_head
    for block in batch.blocks:
        error = check_justification(block, parent, rules)
        if error is not None:
            return InvalidBlock(error, block.hash)
        parent = block.header
    return None


def check_justification(block: Block, parent: Header, rules: BatchRules) -> BlockError | None:
    """Check who has signed a micro block whose hash is known to be good.

    Args:
        block: Of the batch, its body not looked at.
        parent: The block below.
        rules: Of the batch.
    """
    # A producer cannot repeat the seed, a skip block must.
    was_skipped = block.header.seed == parent.seed
    if was_skipped != block.is_skip:
        return BlockError.WRONG_TYPE
    match block.justification:
        case ProducerSignature(signature):
            owner = rules.slot_owner(parent.seed, block.number)
            is_valid = ed25519.verify(owner.signing_key, block.hash, signature)
            return None if is_valid else BlockError.WRONG_PRODUCER
        case SkipProof() as proof:
            message = skip_message(rules.network, block.number, parent.seed)
            is_valid = is_signed_by_quorum(
                proof, message, rules.validators, rules.policy, rules.keys
            )
            return None if is_valid else BlockError.NO_QUORUM
        case QuorumSignature():
            return BlockError.WRONG_TYPE


class _Bodies:
    """Deals the transactions of a batch out to its blocks, in order, by their history roots."""

    def __init__(self, reader: Reader, batch: FetchedBatch, rules: BatchRules) -> None:
        self._batch = batch
        self._epoch = rules.policy.epoch_at(batch.macro.number)
        self._peaks = history_tree.load_peaks(reader, self._epoch)
        self._first_position = node_count(self._peaks.leaf_count)
        self._root = self._peaks.root
        self._nodes: list[Hash32] = []
        self._dealt = 0

    def planned(self, block: Block) -> PlannedBlock | BlockError:
        """Give a block its body."""
        header = block.header
        given = self._batch.bodies.get(block.hash)
        if given is not None:
            return self._given(block, given)
        first = self._dealt
        encodings = self._deal(header.history_root)
        if encodings is None:
            return BlockError.WRONG_HISTORY_ROOT
        body = join_transactions(encodings) if encodings else EMPTY_MICRO_BODY.encoded
        root = hash32(body) if encodings else EMPTY_MICRO_BODY.root
        if root != header.body_root:
            return BlockError.WRONG_BODY_ROOT
        return PlannedBlock(
            block.without_body(), body, self._batch.transactions[first : self._dealt]
        )

    def finished(self) -> HistoryUpdate | BlockError:
        """Return what all blocks together have added to the history, which must be all of it."""
        is_all = self._dealt == len(self._batch.transactions)
        if not is_all or self._root != self._batch.macro.header.history_root:
            return BlockError.WRONG_HISTORY_ROOT
        return HistoryUpdate(
            epoch=self._epoch,
            first_position=self._first_position,
            nodes=tuple(self._nodes),
            peaks=self._peaks,
        )

    def _deal(self, root: Hash32) -> list[bytes] | None:
        """Append transactions until the history has a root; None if it never has."""
        encodings = []
        while self._root != root:
            if self._dealt == len(self._batch.transactions):
                return None
            encodings.append(self._batch.transactions[self._dealt].encode())
            self._append(encodings[-1:])
        return encodings

    def _given(self, block: Block, body: MicroBody) -> PlannedBlock | BlockError:
        """Take a body that was fetched whole, with the next transactions in it."""
        if body.root != block.header.body_root:
            return BlockError.WRONG_BODY_ROOT
        self._append([transaction.encode() for transaction in body.transactions])
        if self._root != block.header.history_root:
            return BlockError.WRONG_HISTORY_ROOT
        return PlannedBlock(block.without_body(), body.encoded, body.transactions)

    def _append(self, encodings: list[bytes]) -> None:
        self._peaks, nodes = history_tree.extend(self._peaks, encodings)
        self._nodes += nodes
        self._root = self._peaks.root
        self._dealt += len(encodings)


def _execute(
    reader: Reader, batch: FetchedBatch, blocks: list[PlannedBlock], rules: BatchRules
) -> tuple[MacroBody, StateChange] | InvalidBlock:
    """Apply all transactions of a batch, then the rewards of its macro block."""
    macro, ledger = batch.macro, Ledger(reader)
    for planned in blocks:
        for transaction in planned.transactions:
            error = ledger.pay(transaction)
            if error is not None:
                return InvalidBlock(error, planned.block.hash)
    absences = Absences.of((block for block in batch.blocks if block.is_skip), rules)
    unrewarded = absences.unrewarded(rules)
    pot = ledger.balance(REWARD_POT)
    body = MacroBody(expected_rewards(pot, rules.policy, rules.validators, unrewarded))
    if body.root != macro.header.body_root:
        return InvalidBlock(BlockError.WRONG_REWARDS, macro.hash)
    ledger.pay_out(body.rewards, rules.policy)
    state = state_change(reader, ledger.diff())
    if state.state_root != macro.header.state_root:
        return InvalidBlock(BlockError.WRONG_STATE_ROOT, macro.hash)
    return body, state
