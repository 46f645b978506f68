from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pytest

from node.accounts import missing_branches
from node.accounts.pages import EMPTY_ROOT, PAGE_ACCOUNTS
from node.accounts.trie import plan, rebuild, root, update
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Store, Table, Writer
from protocols.types import Address
from tests.build.accounts import fill
from tests.build.plain_trie import root_from_records


def spread(count: int) -> dict[Address, bytes]:
    """Accounts all over the key space."""
    step = 2**160 // count
    return {Address((n * step).to_bytes(20, "big")): b"value %d" % n for n in range(count)}


def filled(accounts: dict[Address, bytes]) -> Store:
    store = MemoryStore()
    with store.write() as writer:
        fill(writer, accounts)
    return store


def table(store: Store, which: Table) -> dict[bytes, bytes]:
    with store.read() as reader:
        return dict(reader.scan(which))


@dataclass
class Spy(Reader):
    """Counts what is read through it."""

    reader: Reader
    branches: int = 0
    accounts: set[bytes] = field(default_factory=set)

    def get(self, which: Table, key: bytes) -> bytes | None:
        self.branches += which is Table.BRANCHES
        return self.reader.get(which, key)

    def scan(
        self,
        which: Table,
        start: bytes = b"",
        end: bytes | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[tuple[bytes, bytes]]:
        for key, value in self.reader.scan(which, start, end, reverse=reverse):
            self.accounts.add(key)
            yield key, value


def test_an_empty_state_has_the_empty_root() -> None:
    store = MemoryStore()
    with store.write() as writer:
        assert root(writer) == EMPTY_ROOT
        assert update(writer, {}) == EMPTY_ROOT
        assert update(writer, {Address(bytes(20)): None}) == EMPTY_ROOT
        assert rebuild(writer) == EMPTY_ROOT
    assert table(store, Table.BRANCHES) == {}


@pytest.mark.parametrize("count", [1, 63, 64, 65, 66, 300, 1025, 3000])
def test_build_and_update_agree_with_a_trie_made_from_scratch(count: int) -> None:
    accounts = spread(count)
    expected = root_from_records(accounts.items())
    built, updated = filled(accounts), MemoryStore()
    with updated.write() as writer:
        assert update(writer, accounts) == expected
    with built.read() as reader:
        assert root(reader) == expected
    assert table(built, Table.ACCOUNTS) == table(updated, Table.ACCOUNTS) == accounts
    assert table(built, Table.BRANCHES) == table(updated, Table.BRANCHES)


def test_planning_writes_nothing() -> None:
    store = filled(spread(100))
    before = table(store, Table.ACCOUNTS), table(store, Table.BRANCHES)
    changes = {Address(b"\x42" * 20): b"new"}
    with store.read() as reader:
        planned = plan(reader, changes)
    assert (table(store, Table.ACCOUNTS), table(store, Table.BRANCHES)) == before
    with store.write() as writer:
        planned.write(writer)
        assert root(writer) == planned.root
    assert planned.root == root_from_records((spread(100) | changes).items())


def test_a_change_reads_and_writes_only_what_is_above_it() -> None:
    accounts = spread(20_000)
    store = filled(accounts)
    address = sorted(accounts)[12_345]
    with store.read() as reader:
        spy = Spy(reader)
        planned = plan(spy, {address: b"new"})
    # 20,000 evenly: branches at depths 0, 1 and 2, 78 accounts each, then pages of 4 or 5.
    assert spy.branches <= 4
    assert len(spy.accounts) <= PAGE_ACCOUNTS
    assert set(planned.accounts) == {address}
    assert sorted(planned.branches) == [
        b"\x00",
        bytes([1, address[0] & 0xF0]),
        bytes([2, address[0]]),
    ]


def test_a_page_that_overflows_becomes_a_branch_and_back() -> None:
    accounts = spread(PAGE_ACCOUNTS)
    store = filled(accounts)
    extra = Address(b"\x77" * 20)
    with store.write() as writer:
        small = root(writer)
        assert update(writer, {extra: b"extra"}) != small
        assert [key for key, _ in writer.scan(Table.BRANCHES)] == [b"\x00"]
        assert update(writer, {extra: None}) == small
        assert list(writer.scan(Table.BRANCHES)) == []


def test_a_deep_chain_of_branches_merges_in_one_update() -> None:
    crowd = {Address(b"\xab" * 19 + bytes([n])): b"value" for n in range(65)}
    store = filled(crowd)
    assert len(table(store, Table.BRANCHES)) == 39
    with store.write() as writer:
        assert update(writer, dict.fromkeys(crowd, None)) == EMPTY_ROOT
    assert table(store, Table.BRANCHES) == table(store, Table.ACCOUNTS) == {}


def test_only_the_part_that_shrinks_merges() -> None:
    crowd = {Address(b"\xab" * 19 + bytes([n])): b"value" for n in range(65)}
    accounts = spread(200) | crowd
    store = filled(accounts)
    with store.write() as writer:
        after = update(writer, {min(crowd): None})
    del accounts[min(crowd)]
    assert after == root_from_records(accounts.items())
    assert table(store, Table.BRANCHES) == table(filled(accounts), Table.BRANCHES)


def test_the_same_value_again_changes_nothing() -> None:
    accounts = spread(500)
    store = filled(accounts)
    before = table(store, Table.BRANCHES)
    with store.write() as writer:
        assert update(writer, accounts) == root_from_records(accounts.items())
    assert table(store, Table.BRANCHES) == before


def test_the_order_of_changes_does_not_matter() -> None:
    accounts = spread(300)
    backwards = dict(reversed(accounts.items()))
    store = MemoryStore()
    with store.write() as writer:
        assert update(writer, backwards) == root_from_records(accounts.items())


@pytest.mark.parametrize("count", [0, 10, 65, 2000])
def test_rebuild_replaces_wrong_branches(count: int) -> None:
    accounts = spread(count) if count else {}
    store = filled(accounts)
    right = table(store, Table.BRANCHES)
    with store.write() as writer:
        spoil(writer, right)
        assert rebuild(writer) == root_from_records(accounts.items())
    assert table(store, Table.BRANCHES) == right


def spoil(writer: Writer, branches: Iterable[bytes]) -> None:
    for key in branches:
        writer.put(Table.BRANCHES, key, bytes(640))
    writer.put(Table.BRANCHES, b"\x05abc", bytes(640))


@pytest.mark.parametrize("at_once", [64, 65, 100, 400])
def test_rebuild_holds_only_some_accounts_at_a_time(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(missing_branches, "BUILT_AT_ONCE", at_once)
    crowd = {Address((2**159 + n).to_bytes(20, "big")): b"in a crowd" for n in range(300)}
    accounts = {**spread(700), **crowd, Address(b"\xff" * 20): b"last"}
    store = filled(accounts)
    with store.read() as reader:
        assert root(reader) == root_from_records(accounts.items())
    updated = MemoryStore()
    with updated.write() as writer:
        update(writer, accounts)
    assert table(store, Table.BRANCHES) == table(updated, Table.BRANCHES)


def test_a_missing_branch_is_noticed() -> None:
    store = filled(spread(20_000))
    with store.write() as writer:
        writer.delete(Table.BRANCHES, b"\x01\x70")
        with pytest.raises(AssertionError):
            update(writer, {Address(b"\x77" * 20): b"value"})
