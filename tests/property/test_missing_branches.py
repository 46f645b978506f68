"""Branches that are made next to others which are there already."""

from hypothesis import given
from hypothesis import strategies as st

from node.accounts import trie
from node.accounts.missing_branches import complete, forget_across
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, delete_range
from protocols.types import Address
from tests.build.plain_trie import root_from_records
from tests.build.states import keys, states, store_of

State = dict[Address, bytes]

changes = st.dictionaries(keys, st.none() | st.binary(min_size=1, max_size=3), max_size=8)


def branches_of(reader: Reader) -> dict[bytes, bytes]:
    return dict(reader.scan(Table.BRANCHES))


def all_branches(reader: Reader) -> dict[bytes, bytes]:
    """Return the branches of the stored accounts, made from nothing else."""
    fresh = MemoryStore()
    with fresh.write() as writer:
        writer.put_many(Table.ACCOUNTS, list(reader.scan(Table.ACCOUNTS)))
        trie.rebuild(writer)
        return branches_of(writer)


@given(states, st.lists(st.tuples(keys, keys), max_size=3))
def test_what_is_missing_is_made(state: State, missing: list[tuple[Address, Address]]) -> None:
    store, root = store_of(state)
    with store.write() as writer:
        whole = branches_of(writer)
        for ends in missing:
            forget_across(writer, *sorted(ends))
        assert complete(writer) == root
        assert branches_of(writer) == whole


@given(states, st.integers(1, 200))
def test_what_is_missing_may_be_made_little_by_little(state: State, limit: int) -> None:
    store, root = store_of(state)
    with store.write() as writer:
        delete_range(writer, Table.BRANCHES)
        whole = all_branches(writer)
        made = 0
        while (found := complete(writer, limit=limit)) is None:
            assert branches_of(writer).items() < whole.items()
            assert made < len(branches_of(writer))
            made = len(branches_of(writer))
        assert found == root
        assert branches_of(writer) == whole


@given(states)
def test_all_may_be_missing(state: State) -> None:
    store, root = store_of(state)
    with store.write() as writer:
        delete_range(writer, Table.BRANCHES)
        assert complete(writer) == root
        assert branches_of(writer) == all_branches(writer)


@given(states, changes, st.lists(st.tuples(keys, keys), max_size=2))
def test_what_is_stored_above_changed_accounts_is_made_anew(
    state: State,
    changed: dict[Address, bytes | None],
    forgotten: list[tuple[Address, Address]],
) -> None:
    store, _ = store_of(state)
    with store.write() as writer:
        for ends in forgotten:
            forget_across(writer, *sorted(ends))
        kept = set(branches_of(writer))
        trie.update_part(writer, sorted(changed.items()))
        accounts = dict(writer.scan(Table.ACCOUNTS))
        after = {key: value for key, value in {**state, **changed}.items() if value is not None}
        assert accounts == after
        needed = all_branches(writer)
        assert branches_of(writer).items() <= needed.items()
        assert kept & set(needed) <= set(branches_of(writer))
        assert complete(writer) == root_from_records(after.items())


@given(states, states, st.tuples(keys, keys))
def test_what_stays_around_a_range_belongs_to_its_accounts(
    state: State, other: State, ends: tuple[Address, Address]
) -> None:
    start, end = sorted(ends)
    store, _ = store_of(state)
    with store.write() as writer:
        forget_across(writer, start, end)
        delete_range(writer, Table.ACCOUNTS, start, end + b"\0")
        inside = sorted((key, each) for key, each in other.items() if start <= key <= end)
        writer.put_many(Table.ACCOUNTS, inside)
        assert branches_of(writer).items() <= all_branches(writer).items()


def test_deep_branches_are_found() -> None:
    state = {Address(number.to_bytes(20, "big")): b"x" for number in range(300)}
    store, _ = store_of(state)
    with store.write() as writer:
        assert len(branches_of(writer)) > 38
        delete_range(writer, Table.BRANCHES, end=bytes((38,)))
        assert len(branches_of(writer)) == 1
        assert complete(writer) == root_from_records(state.items())
