"""Older states over more accounts than a scan takes at once."""

import pytest

from node.accounts import state_at, trie
from node.accounts.state_at import StateAt
from node.accounts.state_history import GROUP_BLOCKS, begin, record
from node.storage.memory import MemoryStore
from node.storage.store import RECORDS_AT_ONCE, Table, Writer
from protocols.types import Address, Height
from tests.build.diffs import diff_between

COUNT = 3 * RECORDS_AT_ONCE
STEP = 2**160 // COUNT

STATE = {Address((n * STEP).to_bytes(20, "big")): b"value %d" % n for n in range(COUNT)}
ADDRESSES = list(STATE)


def push(writer: Writer, height: Height, changes: dict[Address, bytes | None]) -> None:
    diff = diff_between(writer, changes)
    update = trie.plan(writer, diff.changes)
    record(writer, height, diff, update)
    update.write(writer)


@pytest.mark.parametrize("taken_bytes", [1, 10_000, 20_000, 10**6])
def test_accounts_that_came_changed_and_went_anywhere_are_as_they_were(
    monkeypatch: pytest.MonkeyPatch, taken_bytes: int
) -> None:
    monkeypatch.setattr(state_at, "TAKEN_BYTES", taken_bytes)
    changed = [ADDRESSES[n] for n in (0, RECORDS_AT_ONCE - 1, RECORDS_AT_ONCE, COUNT - 1)]
    new = Address(b"\xff" * 20)
    with MemoryStore().write() as writer:
        begin(writer, 0)
        trie.update(writer, STATE)
        push(writer, 1, dict.fromkeys(changed))
        push(writer, GROUP_BLOCKS - 1, dict.fromkeys(changed, b"again"))
        push(writer, 5 * GROUP_BLOCKS, {new: b"new", ADDRESSES[1]: b"changed"})
        after_1 = {key: value for key, value in STATE.items() if key not in changed}
        after_2 = STATE | dict.fromkeys(changed, b"again")
        expected = {
            0: STATE,
            1: after_1,
            GROUP_BLOCKS - 2: after_1,
            GROUP_BLOCKS - 1: after_2,
            GROUP_BLOCKS: after_2,
            5 * GROUP_BLOCKS - 1: after_2,
            5 * GROUP_BLOCKS: after_2 | {new: b"new", ADDRESSES[1]: b"changed"},
            9 * GROUP_BLOCKS: after_2 | {new: b"new", ADDRESSES[1]: b"changed"},
        }
        for height, state in expected.items():
            view = StateAt(writer, height)
            assert list(view.scan(Table.ACCOUNTS)) == sorted(state.items())
            some = list(view.scan(Table.ACCOUNTS, ADDRESSES[1], ADDRESSES[RECORDS_AT_ONCE + 1]))
            assert some == [
                item
                for item in sorted(state.items())
                if ADDRESSES[1] <= item[0] < ADDRESSES[RECORDS_AT_ONCE + 1]
            ]
            assert trie.root(view) == trie_root(state)
            # An end may lie right behind an address, which then belongs to the range.
            upto = list(view.scan(Table.ACCOUNTS, changed[1], changed[2] + b"\0"))
            assert upto == [
                item for item in sorted(state.items()) if changed[1] <= item[0] <= changed[2]
            ]
            behind = list(view.scan(Table.ACCOUNTS, changed[1] + b"\0", changed[2]))
            assert behind == []


def trie_root(state: dict[Address, bytes]) -> bytes:
    with MemoryStore().write() as writer:
        return trie.update(writer, state)
