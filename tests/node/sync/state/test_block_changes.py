"""Changes of blocks: checked against headers, and kept for a while."""

import pytest

from node.accounts.diff import Change as DiffChange
from node.accounts.diff import Diff
from node.blocks.header import Header
from node.crypto.hashes import hash32
from node.sync.state.block_changes import BlockChanges, RecentChanges, check_changes, merged
from node.sync.state.coverage import key_of
from node.sync.state.target import SyncTarget
from tests.build.blocks import micro_header
from tests.node.sync.state.targets import target

DIFFS = [
    Diff((DiffChange(key_of(1), None, b"new"), DiffChange(key_of(9), b"old", None))),
    Diff(),
    Diff((DiffChange(key_of(1), b"new", b"newer"),)),
]


def headers() -> list[Header]:
    return [micro_header(number=number, diff_root=diff.root) for number, diff in enumerate(DIFFS)]


def payloads() -> list[bytes]:
    return [diff.encode_changes() for diff in DIFFS]


def test_right_changes_come_with_their_blocks() -> None:
    assert check_changes(headers(), payloads()) == tuple(
        BlockChanges(SyncTarget.of(header), tuple(diff.changes.items()))
        for header, diff in zip(headers(), DIFFS, strict=True)
    )


@pytest.mark.parametrize("index", range(3))
def test_one_wrong_block_makes_all_of_them_wrong(index: int) -> None:
    wrong = payloads()
    wrong[index] += b"\0"
    assert check_changes(headers(), wrong) is None


def test_bytes_that_are_committed_to_and_are_no_changes_are_wrong() -> None:
    header = micro_header(diff_root=hash32(b"\x02junk"))
    assert check_changes([header], [b"junk"]) is None


def test_the_last_change_of_an_account_counts() -> None:
    blocks = check_changes(headers(), payloads())
    assert blocks is not None
    assert merged(blocks) == {key_of(1): b"newer", key_of(9): None}


def block(number: int, count: int = 1) -> BlockChanges:
    return BlockChanges(target(number), tuple((key_of(index), b"x") for index in range(count)))


def test_changes_above_a_height_are_given() -> None:
    recent = RecentChanges(100)
    blocks = [block(number) for number in range(5, 10)]
    recent.add(blocks)
    assert recent.since(4) == tuple(blocks)
    assert recent.since(7) == tuple(blocks[3:])
    assert recent.since(9) == ()


def test_what_needs_forgotten_changes_gets_none() -> None:
    recent = RecentChanges(100)
    recent.add(block(number) for number in range(5, 10))
    recent.forget_up_to(6)
    assert recent.since(5) is None
    assert recent.since(6) == tuple(block(number) for number in range(7, 10))
    recent.forget_up_to(20)
    assert recent.since(19) is None
    assert recent.since(20) == ()


def test_too_many_changes_push_the_oldest_out() -> None:
    recent = RecentChanges(max_changes=10)
    recent.add(block(number, 4) for number in range(1, 6))
    assert recent.count == 8
    assert recent.since(2) is None
    assert recent.since(3) == (block(4, 4), block(5, 4))
