"""Old states go little by little: no commit deletes many rows, and none stays for ever."""

from random import Random

import pytest

from node.accounts import state_history, trie
from node.accounts.state_at import StateAt
from node.accounts.state_history import (
    GROUP_BLOCKS,
    PRUNED_PER_ROW,
    begin,
    oldest_state,
    prune,
    record,
)
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer
from protocols.types import Address, Hash32, Height
from tests.build.diffs import diff_between
from tests.build.plain_trie import root_from_records

MAX_PRUNED_ROWS = 64
"""Less than a batch of these tests adds."""

TABLES = Table.DIFFS, Table.OLD_ACCOUNTS, Table.OLD_BRANCHES


def rows(reader: Reader) -> int:
    return sum(1 for table in TABLES for _ in reader.scan(table))


def records(reader: Reader) -> list[tuple[Address, bytes]]:
    return [(Address(address), value) for address, value in reader.scan(Table.ACCOUNTS)]


def push(writer: Writer, height: Height, changes: dict[Address, bytes | None]) -> Hash32:
    diff = diff_between(writer, changes)
    update = trie.plan(writer, diff.changes)
    record(writer, height, diff, update)
    update.write(writer)
    return update.root


def changes_of(draw: Random, count: int) -> dict[Address, bytes | None]:
    """Change accounts of a small key space, so that some are changed again and again."""
    keys = (Address(bytes(18) + draw.randbytes(2)) for _ in range(count))
    return {key: draw.randbytes(2) for key in keys}


@pytest.fixture(autouse=True)
def _small_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_history, "MAX_PRUNED_ROWS", MAX_PRUNED_ROWS)


def test_no_commit_deletes_more_rows_than_it_may() -> None:
    draw = Random(1)
    with MemoryStore().write() as writer:
        begin(writer, 0)
        for height in range(1, 8):
            push(writer, height, changes_of(draw, 60))
        before = rows(writer)
        assert before > 2 * MAX_PRUNED_ROWS
        prune(writer, 2 * GROUP_BLOCKS)
        assert oldest_state(writer) == 2 * GROUP_BLOCKS
        assert rows(writer) == before - MAX_PRUNED_ROWS

        before = rows(writer)
        push(writer, 2 * GROUP_BLOCKS + 1, changes_of(draw, 1))
        # An account, and each branch above it.
        added = 1 + sum(1 for _ in writer.scan(Table.OLD_BRANCHES, bytes((0, 0, 0, 2))))
        assert rows(writer) == before + added + 1 - PRUNED_PER_ROW * added


def test_what_is_promised_stays_provable_while_the_rest_goes_and_nothing_stays_for_ever() -> None:
    """Blocks that add more than a batch's end may delete, for a long time."""
    batch, retained, draw = GROUP_BLOCKS // 2, 2 * GROUP_BLOCKS, Random(2)
    roots: dict[Height, Hash32] = {}
    most = 0
    with MemoryStore().write() as writer:
        begin(writer, 0)
        roots[0] = trie.root(writer)
        for height in range(1, 24 * batch + 1):
            roots[height] = push(writer, height, changes_of(draw, 12))
            if height % batch == 0:
                prune(writer, max(height - retained, 0))
            if height == retained + 2 * batch:
                most = rows(writer)
            if height % (5 * batch) == 1:
                oldest = oldest_state(writer)
                assert oldest == max(height - 1 - retained, 0)
                for each in (oldest, oldest + 1, max(height - batch, 0), height):
                    view = StateAt(writer, each)
                    assert trie.root(view) == roots[each]
                    assert root_from_records(records(view)) == roots[each]
        # One group is not whole, and what one batch has left is still going.
        assert rows(writer) <= 1.5 * most

        # A chain that does nothing any more has soon deleted all of it.
        for _ in range(120):
            height += GROUP_BLOCKS
            prune(writer, height)
        assert rows(writer) == 0
