"""Hashing many records at once gives what hashing them one by one gives."""

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.bulk import hash_subtree
from node.accounts.pages import ROOT
from node.accounts.records import Records
from node.storage.runs import run_of
from protocols.types import Address
from tests.build.plain_trie import build_subtree
from tests.build.states import states

State = dict[Address, bytes]


@given(states)
def test_it_makes_the_same_branches(state: State) -> None:
    items = sorted(state.items())
    expected: dict[bytes, bytes] = {}
    made: dict[bytes, bytes] = {}
    child = build_subtree(ROOT, items, expected)

    assert hash_subtree(ROOT, Records.of(run_of(items)), 0, len(items), made) == child
    assert made == expected


@given(states, st.booleans())
def test_records_are_those_that_were_put_together(state: State, are_equal: bool) -> None:
    items = [(key, b"=" if are_equal else value) for key, value in sorted(state.items())]
    records = Records.of(run_of(items))

    assert records.payload == run_of(items)
    assert list(records) == items
    decoded = Records.decode(records.payload)
    assert (decoded.addresses, list(decoded.offsets)) == (
        records.addresses,
        list(records.offsets),
    )
    for index in (0, 19):
        column = records.column(index, 1, len(items)) if len(items) > 1 else b""
        assert column == bytes(key[index] for key, _ in items[1:])
