"""The trie and diffs under any sequence of changes."""

from collections.abc import Mapping
from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from node.accounts import trie
from node.accounts.branch_patch import NEW_BRANCH, patched
from node.accounts.diff import Change, Diff, decode_changes
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table, Writer
from protocols.errors import WireError
from protocols.types import Address
from tests.build.accounts import fill
from tests.build.diffs import diff_between
from tests.build.plain_trie import root_from_records

Changes = dict[Address, bytes | None]


def stretched(short: bytes) -> Address:
    """Make an address whose nibbles lie deep or high, so that few of them already crowd a place."""
    return Address(short[:1] + bytes(18) + short[1:])


addresses = st.binary(min_size=2, max_size=2).map(stretched) | st.builds(
    stretched, st.integers(0, 511).map(lambda number: number.to_bytes(2, "big"))
)
values = st.none() | st.binary(min_size=1, max_size=3)
change_lists = st.lists(
    st.dictionaries(addresses, values, max_size=12)
    | st.tuples(st.integers(0, 400), st.integers(1, 110), values).map(
        lambda run: {stretched((run[0] + n).to_bytes(2, "big")): run[2] for n in range(run[1])}
    ),
    max_size=8,
)
"""Single accounts, and runs of neighbours that fill or empty whole pages."""


def apply(model: dict[Address, bytes], changes: Changes) -> None:
    for address, value in changes.items():
        if value is None:
            model.pop(address, None)
        else:
            model[address] = value


def branches_from_scratch(model: dict[Address, bytes]) -> dict[bytes, bytes]:
    with MemoryStore().write() as writer:
        fill(writer, model)
        return dict(writer.scan(Table.BRANCHES))


def content(writer: Writer) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    return dict(writer.scan(Table.ACCOUNTS)), dict(writer.scan(Table.BRANCHES))


@given(change_lists)
def test_any_sequence_of_updates_ends_in_the_trie_made_from_scratch(
    sequence: list[Changes],
) -> None:
    model: dict[Address, bytes] = {}
    with MemoryStore().write() as writer:
        for changes in sequence:
            root = trie.update(writer, changes)
            apply(model, changes)
            assert root == trie.root(writer) == root_from_records(model.items())
        assert content(writer) == (model, branches_from_scratch(model))


@given(change_lists)
def test_what_is_planned_leads_to_the_trie_made_from_scratch_and_back(
    sequence: list[Changes],
) -> None:
    model: dict[Address, bytes] = {}
    with MemoryStore().write() as writer:
        for changes in sequence:
            before = dict(writer.scan(Table.BRANCHES))
            planned = trie.plan(writer, changes)
            apply(model, changes)
            after = branches_from_scratch(model)
            assert planned.root == root_from_records(model.items())
            assert merged(before, planned.branches) == after
            assert set(planned.patches) <= set(planned.branches)
            for key in planned.branches:
                patch = planned.patches.get(key, NEW_BRANCH)
                assert patched(after.get(key), [patch]) == before.get(key)
            planned.write(writer)


def merged(
    branches: dict[bytes, bytes], changes: Mapping[bytes, bytes | None]
) -> dict[bytes, bytes]:
    both = {**branches, **changes}
    return {key: branch for key, branch in both.items() if branch is not None}


@given(change_lists)
def test_the_shape_depends_only_on_the_addresses(sequence: list[Changes]) -> None:
    """Values and hashes differ, but branches stand in the same places with the same counts."""
    with MemoryStore().write() as first, MemoryStore().write() as second:
        for changes in sequence:
            trie.update(first, changes)
        addresses = [Address(key) for key, _ in first.scan(Table.ACCOUNTS)]
        fill(second, dict.fromkeys(addresses, b"other"))
        assert places_and_counts(first) == places_and_counts(second)


def places_and_counts(writer: Writer) -> list[tuple[bytes, list[bytes]]]:
    return [
        (place, [branch[at : at + 8] for at in range(0, len(branch), 40)])
        for place, branch in writer.scan(Table.BRANCHES)
    ]


@given(change_lists)
def test_deleting_everything_leaves_nothing(sequence: list[Changes]) -> None:
    with MemoryStore().write() as writer:
        for changes in sequence:
            trie.update(writer, changes)
        everything = [Address(key) for key, _ in writer.scan(Table.ACCOUNTS)]
        assert trie.update(writer, dict.fromkeys(everything)) == trie.EMPTY_ROOT
        assert content(writer) == ({}, {})


@given(change_lists, change_lists)
def test_undoing_diffs_restores_every_root(before: list[Changes], after: list[Changes]) -> None:
    store: Store = MemoryStore()
    with store.write() as writer:
        for changes in before:
            trie.update(writer, changes)
        done: list[tuple[bytes, Diff]] = []
        start = content(writer)
        for changes in after:
            diff = diff_between(writer, changes)
            done.append((trie.root(writer), diff))
            assert trie.update(writer, diff.changes) == trie.plan(writer, changes).root
        for root, diff in reversed(done):
            again = Diff.decode(diff.encode())
            assert trie.update(writer, again.inverse().changes) == root
        assert content(writer) == start


@given(st.dictionaries(addresses, values, max_size=20), st.dictionaries(addresses, values))
def test_a_diff_comes_back_in_both_forms(stored: Changes, changes: Changes) -> None:
    with MemoryStore().write() as writer:
        trie.update(writer, stored)
        diff = diff_between(writer, changes)
    assert Diff.decode(diff.encode()) == diff
    assert decode_changes(diff.encode_changes()) == diff.changes
    assert diff.inverse().inverse() == diff
    assert all(entry.old != entry.new for entry in diff.entries)


@given(st.binary(max_size=80) | st.binary(max_size=6).map(lambda end: bytes(19) + b"\1" + end))
def test_what_decodes_encodes_to_the_same_bytes(payload: bytes) -> None:
    with suppress(WireError):
        assert Diff.decode(payload).encode() == payload
    with suppress(WireError):
        changes = decode_changes(payload)
        diff = Diff(tuple(Change(address, None, value) for address, value in changes.items()))
        assert diff.encode_changes() == payload
