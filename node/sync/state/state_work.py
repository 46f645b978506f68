"""The work that the state sync has done in a worker. A driver opens the transactions."""

from collections.abc import Callable

from node.accounts.range_proof import RangeAnswer, verify_range
from node.blocks.header import Header
from node.storage.store import Reader, Writer
from node.sync.state import state_store
from node.sync.state.block_changes import check_changes
from node.sync.state.repair import compare
from node.sync.state.state_events import (
    ApplyBlocks,
    Begin,
    Build,
    ChangesChecked,
    CheckChanges,
    CheckRange,
    CompareSubtrees,
    Job,
    JobDone,
    KeepEqual,
    RangeChecked,
    SubtreesCompared,
    WriteParts,
)
from protocols.errors import WireError
from protocols.types import Height


def run_check_range(check: CheckRange) -> RangeChecked:
    """Decode and verify a range."""
    start, end = check.span
    try:
        answer = RangeAnswer.decode(check.answer.leaves, check.answer.proof)
    except WireError:
        return RangeChecked(check.id, None, None)
    verified = verify_range(check.root, start, end, answer)
    return RangeChecked(check.id, None if verified is None else answer.leaves, verified)


def run_check_changes(
    check: CheckChanges, header_at: Callable[[Height], Header | None]
) -> ChangesChecked:
    """Compare changes with the headers of our chain.

    It has forgotten them below the window of its target, where the accounts may have been left.
    """
    headers: list[Header] = []
    for height in range(check.first, check.first + len(check.changes)):
        header = header_at(height)
        if header is None:
            return ChangesChecked(check.id, None, are_known=False)
        headers.append(header)
    return ChangesChecked(check.id, check_changes(headers, check.changes))


def run_compare(check: CompareSubtrees, reader: Reader) -> SubtreesCompared:
    """Compare nodes with the stored trie."""
    return SubtreesCompared(check.id, compare(reader, check.wanted, check.nodes))


def run_job(job: Job, writer: Writer) -> JobDone:
    """Do a job in one transaction. The answer counts once it is committed."""
    is_complete = True
    match job:
        case Begin(_, target):
            state_store.begin(writer, target)
        case WriteParts(_, parts):
            state_store.write_parts(writer, parts)
        case ApplyBlocks(_, blocks):
            state_store.apply_blocks(writer, blocks)
        case Build(_, accounts):
            is_complete = state_store.build(writer, accounts)
        case KeepEqual(_, target, differing):
            state_store.keep_equal(writer, target, differing)
    return JobDone(job.id, state_store.load(writer), is_complete=is_complete)
