"""What a state sync keeps in the store. Each function is to be one transaction.

    COVERAGE   first key -> last key of a range whose accounts are those of the target's state
    ACCOUNTS   accounts; what lies outside of the coverage is of no meaning
    BRANCHES   each belongs to the accounts below it; until the state is whole many are missing
    META       how far it is, in `node.chain.state_progress`

Coverage and accounts change together, and so do target and accounts: whenever the process ends,
what is stored fits together. No commit needs to wait for the disk for that.
"""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from node.accounts import trie
from node.accounts.missing_branches import complete, forget_across
from node.accounts.records import Records
from node.chain.state_progress import (
    StoredProgress,
    accounts_in_trie,
    load_progress,
    save_progress,
)
from node.storage.runs import count_in
from node.storage.store import Reader, Table, Writer, delete_range
from node.sync.state import coverage as stored_coverage
from node.sync.state.block_changes import BlockChanges, Change, merged
from node.sync.state.coverage import EVERYTHING, Coverage, Span
from node.sync.state.target import SyncTarget


@dataclass(frozen=True, slots=True)
class StoredSync:
    """How far a state sync has come."""

    target: SyncTarget | None
    """Whose state the covered accounts are; None before a sync."""
    is_whole: bool
    """Whether everything is covered, with branches, and the root is the target's."""
    accounts: int
    """That are covered."""


@dataclass(frozen=True, slots=True)
class ProvenPart:
    """Accounts of a key range in the state of a block that is not above the target."""

    span: Span
    records: Records
    """All that the range holds after that block."""
    later: tuple[BlockChanges, ...] = ()
    """What the blocks between that block and the target change, anywhere."""
    branches: Mapping[bytes, bytes] = field(default_factory=dict)
    """Above whole subtrees of the range, by store key, as checking it has made them."""


NOTHING: Final = StoredSync(target=None, is_whole=False, accounts=0)


def load(reader: Reader) -> StoredSync:
    """Read how far it has come. The coverage is `coverage.load`."""
    found = load_progress(reader)
    if found is None:
        return NOTHING
    target = SyncTarget(
        number=found.number,
        hash=found.hash,
        state_root=found.state_root,
        history_root=found.history_root,
    )
    return StoredSync(target, found.is_whole, found.accounts)


def begin(writer: Writer, target: SyncTarget) -> None:
    """Start from zero. Accounts that are there go when their range is written."""
    stored_coverage.save(writer, stored_coverage.load(writer), Coverage())
    delete_range(writer, Table.BRANCHES)
    _save(writer, StoredSync(target, is_whole=False, accounts=0))


def write_parts(writer: Writer, parts: Sequence[ProvenPart]) -> None:
    """Make ranges hold exactly their accounts, as of the target, and cover them."""
    stored = load(writer)
    before = stored_coverage.load(writer)
    after = Coverage(before)
    accounts = stored.accounts
    rolled: dict[int, list[Change]] = {}
    """Changes by the number of blocks that they are of: all end at the target."""
    # In the order of their keys: so pages of the store are filled one after the other.
    for part in sorted(parts, key=lambda each: each.span):
        later = part.later
        if len(later) not in rolled:
            rolled[len(later)] = sorted(merged(later).items())
        accounts -= sum(_count(writer, *span) for span in after.within(*part.span))
        accounts += _write_part(writer, part, rolled[len(later)])
        after.add(*part.span)
    stored_coverage.save(writer, before, after)
    _save(writer, StoredSync(stored.target, is_whole=False, accounts=accounts))


def apply_blocks(writer: Writer, blocks: Sequence[BlockChanges]) -> None:
    """Move the target over the next blocks, and what is covered with it.

    A whole state stays whole if its root is the new target's.
    """
    stored = load(writer)
    target, changes = blocks[-1].block, merged(blocks)
    if stored.is_whole:
        is_whole = trie.update(writer, changes) == target.state_root
        _save(writer, StoredSync(target, is_whole, accounts_in_trie(writer)))
        return
    covered = stored_coverage.load(writer).clip(changes.items())
    accounts = stored.accounts + _change(writer, sorted(covered))
    _save(writer, StoredSync(target, is_whole=False, accounts=accounts))


def build(writer: Writer, accounts: int) -> bool:
    """Make branches that are missing. The state is whole if the root is the target's.

    Args:
        writer: The transaction; another one goes on where this one ends.
        accounts: After how many to stop, about.

    Returns:
        Whether no branch is missing any more.
    """
    stored = load(writer)
    assert stored.target is not None
    root = complete(writer, limit=accounts)
    if root is None:
        return False
    is_everything = stored_coverage.load(writer).is_everything
    is_whole = is_everything and root == stored.target.state_root
    _save(writer, StoredSync(stored.target, is_whole, stored.accounts))
    return True


def keep_equal(writer: Writer, target: SyncTarget, differing: Sequence[Span]) -> None:
    """Cover all but the ranges that differ from a target's state, and make it the target.

    Args:
        writer: With branches that belong to the accounts.
        target: Whose state the accounts were compared with.
        differing: Ranges outside of which they are the same.
    """
    coverage = Coverage([EVERYTHING])
    for span in differing:
        coverage.subtract(*span)
    accounts = accounts_in_trie(writer) - sum(_count(writer, *span) for span in coverage.gaps())
    stored_coverage.save(writer, stored_coverage.load(writer), coverage)
    _save(writer, StoredSync(target, is_whole=False, accounts=accounts))


def _write_part(writer: Writer, part: ProvenPart, later: list[Change]) -> int:
    """Write what a range holds after later changes; return how many accounts that are."""
    start, end = part.span
    behind = end + b"\0"
    changes = later[bisect_left(later, (start,)) : bisect_left(later, (behind,))]
    forget_across(writer, start, end)
    writer.put_many(Table.BRANCHES, sorted(part.branches.items()))
    writer.replace_run(start, behind, part.records.payload)
    return len(part.records) + _change(writer, changes)


def _change(writer: Writer, changes: Sequence[Change]) -> int:
    """Change accounts, in their order; return how many more there are."""
    before = sum(writer.get(Table.ACCOUNTS, address) is not None for address, _ in changes)
    trie.update_part(writer, changes)
    return sum(value is not None for _, value in changes) - before


def _count(reader: Reader, start: bytes, end: bytes) -> int:
    return sum(map(count_in, reader.scan_runs(start, end + b"\0")))


def _save(writer: Writer, sync: StoredSync) -> None:
    target = sync.target
    assert target is not None, "begin comes first"
    save_progress(
        writer,
        StoredProgress(
            number=target.number,
            hash=target.hash,
            state_root=target.state_root,
            history_root=target.history_root,
            is_whole=sync.is_whole,
            accounts=sync.accounts,
        ),
    )
