"""What a block does to account state, history and the index of transactions.

It is computed over a reader, compared with the header's roots, and only then written. The parent
of the block must be the newest block that was written.

    UNDO          height, hash         -> diff of a micro block, until it is final; none if empty
    TRANSACTIONS  transaction hash     -> height
                  height               -> hashes of that block's transactions, to undo and to prune
"""

from dataclasses import dataclass

from node.accounts.diff import EMPTY_DIFF, Diff
from node.accounts.ledger import StateChange, execute_macro, execute_micro, revert
from node.accounts.state_history import forget_block, record
from node.blocks.block import Block
from node.blocks.body import Body, MacroBody, MicroBody
from node.blocks.header import Header
from node.blocks.validators import SignerSet
from node.blocks.verify import BatchRules, history_root_after, verify_signatures
from node.chain import history_tree
from node.chain.block_store import height_key
from node.chain.history_tree import HistoryUpdate
from node.chain.punished import Absences
from node.chain.results import BlockError
from node.policy import Policy
from node.storage.store import Reader, Table, Writer
from protocols.types import HASH_BYTES, Hash32, Height

_EMPTY_DIFF_ROOT = EMPTY_DIFF.root


@dataclass(frozen=True, slots=True, kw_only=True)
class Executed:
    """The effect of a block, not yet written."""

    state: StateChange | None = None
    """None if no account changes."""
    history: HistoryUpdate | None = None
    """None if no transaction is added."""
    transactions: tuple[Hash32, ...] = ()
    diff_root: Hash32
    state_root: Hash32
    history_root: Hash32

    def mismatch(self, header: Header) -> BlockError | None:
        """Compare with what a header promises."""
        if header.diff_root != self.diff_root:
            return BlockError.WRONG_DIFF_ROOT
        if header.state_root != self.state_root:
            return BlockError.WRONG_STATE_ROOT
        if header.history_root != self.history_root:
            return BlockError.WRONG_HISTORY_ROOT
        return None

    def write(self, writer: Writer, block: Block) -> None:
        """Carry it out."""
        if self.state is not None:
            record(writer, block.number, self.state.diff, self.state.trie)
            self.state.write(writer)
            if not block.is_macro:
                # A macro block is final at once: it is never undone.
                writer.put(Table.UNDO, _undo_key(block), self.state.diff.encode())
        if self.history is not None:
            self.history.write(writer)
        if self.transactions:
            index_transactions(writer, block.number, self.transactions)


def execute(
    reader: Reader,
    body: Body,
    parent: Header,
    rules: BatchRules,
    *,
    unrewarded: SignerSet | None = None,
) -> Executed | BlockError:
    """Compute the effect of a body above a parent whose state is the reader's.

    Args:
        reader: The state after the parent.
        body: Passed `verify_body`.
        parent: The block below.
        rules: Of the batch.
        unrewarded: Slots that get nothing of a macro block's rewards.
    """
    if isinstance(body, MicroBody):
        return _execute_micro(reader, body, parent, rules)
    return _execute_macro(reader, body, parent, rules, unrewarded or SignerSet(0))


def execute_block(
    reader: Reader,
    block: Block,
    parent: Header,
    rules: BatchRules,
    absences: Absences,
    *,
    are_signatures_due: bool = False,
) -> Executed | BlockError:
    """Compute the effect of a block, and compare it with what its header promises.

    Args:
        reader: The state after the parent.
        block: With its body.
        parent: The block below.
        rules: Of the batch.
        absences: Of the batch, on this branch; counts only for a macro block.
        are_signatures_due: Whether the signatures of its transactions are checked first: it may
            have been stored when there was no state to execute it on.
    """
    assert block.body is not None
    error = verify_signatures(block) if are_signatures_due else None
    if error is not None:
        return error
    unrewarded = absences.unrewarded(rules) if block.is_macro else None
    executed = execute(reader, block.body, parent, rules, unrewarded=unrewarded)
    if isinstance(executed, BlockError):
        return executed
    return executed.mismatch(block.header) or executed


def apply_block(
    writer: Writer,
    block: Block,
    parent: Header,
    rules: BatchRules,
    absences: Absences,
    *,
    are_signatures_due: bool = False,
) -> BlockError | None:
    """Execute a block as `execute_block` does, or write nothing and say why not."""
    executed = execute_block(
        writer, block, parent, rules, absences, are_signatures_due=are_signatures_due
    )
    if isinstance(executed, BlockError):
        return executed
    executed.write(writer, block)
    return None


def without_effect(parent: Header, policy: Policy) -> Executed:
    """Return the effect of an empty micro block: it needs no state to be known."""
    return Executed(
        diff_root=_EMPTY_DIFF_ROOT,
        state_root=parent.state_root,
        history_root=history_root_after(parent, policy),
    )


def has_transaction(reader: Reader, transaction: Hash32) -> bool:
    """Tell whether the main chain holds a transaction, inside its validity window."""
    return reader.get(Table.TRANSACTIONS, transaction) is not None


def index_transactions(writer: Writer, number: Height, transactions: tuple[Hash32, ...]) -> None:
    """Note which transactions the main chain's block at a height holds."""
    height = height_key(number)
    writer.put(Table.TRANSACTIONS, height, b"".join(transactions))
    writer.put_many(Table.TRANSACTIONS, [(each, height) for each in sorted(transactions)])


def count_transactions(reader: Reader, height: Height) -> int:
    """Count the transactions of the main chain's block at a height that are in the index."""
    return len(reader.get(Table.TRANSACTIONS, height_key(height)) or b"") // HASH_BYTES


def revert_accounts(writer: Writer, block: Block) -> bool:
    """Undo what the newest block, a micro block, has changed in the accounts, if anything."""
    undo = writer.get(Table.UNDO, _undo_key(block))
    if undo is not None:
        revert(writer, Diff.decode(undo))
    return undo is not None


def revert_block(writer: Writer, block: Block, policy: Policy) -> None:
    """Undo the newest block that was written, a micro block."""
    if revert_accounts(writer, block):
        forget_block(writer, block.number)
        writer.delete(Table.UNDO, _undo_key(block))
    transactions = forget_transactions(writer, block.number)
    if transactions:
        epoch = policy.epoch_at(block.number)
        leaf_count = history_tree.load_leaf_count(writer, epoch)
        history_tree.truncate(writer, epoch, leaf_count - transactions)


def forget_transactions(writer: Writer, height: Height) -> int:
    """Take the transactions of the main chain's block at a height out of the index; count them."""
    joined = writer.get(Table.TRANSACTIONS, height_key(height))
    if joined is None:
        return 0
    for start in range(0, len(joined), HASH_BYTES):
        writer.delete(Table.TRANSACTIONS, joined[start : start + HASH_BYTES])
    writer.delete(Table.TRANSACTIONS, height_key(height))
    return len(joined) // HASH_BYTES


def _execute_micro(
    reader: Reader, body: MicroBody, parent: Header, rules: BatchRules
) -> Executed | BlockError:
    if not body.transactions:
        return without_effect(parent, rules.policy)
    hashes = tuple(transaction.hash for transaction in body.transactions)
    if any(has_transaction(reader, transaction) for transaction in hashes):
        return BlockError.DUPLICATE_TRANSACTION
    state = execute_micro(reader, body)
    if isinstance(state, BlockError):
        return state
    encodings = (transaction.encode() for transaction in body.transactions)
    history = history_tree.plan(reader, rules.policy.epoch_at(parent.number + 1), encodings)
    return Executed(
        state=state,
        history=history,
        transactions=hashes,
        diff_root=state.diff_root,
        state_root=state.state_root,
        history_root=history.root,
    )


def _execute_macro(
    reader: Reader, body: MacroBody, parent: Header, rules: BatchRules, unrewarded: SignerSet
) -> Executed | BlockError:
    state = execute_macro(
        reader, body, policy=rules.policy, validators=rules.validators, punished=unrewarded
    )
    if isinstance(state, BlockError):
        return state
    return Executed(
        state=state,
        diff_root=state.diff_root,
        state_root=state.state_root,
        history_root=history_root_after(parent, rules.policy),
    )


def _undo_key(block: Block) -> bytes:
    return height_key(block.number) + block.hash
