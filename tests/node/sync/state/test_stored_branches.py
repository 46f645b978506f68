"""Branches that a state sync stores belong to the accounts below them, at every moment."""

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.pages import ROOT
from node.accounts.range_proof import LAST_ADDRESS, RangeAnswer, prove_range, verify_range
from node.storage.memory import MemoryStore
from node.storage.store import Table
from node.sync.state import state_store
from node.sync.state.block_changes import BlockChanges, Change
from node.sync.state.coverage import EVERYTHING, Span, key_of
from node.sync.state.state_store import ProvenPart
from protocols.types import Address
from tests.build.states import keys, states, store_of
from tests.node.sync.state.targets import target

State = dict[Address, bytes]
Changes = dict[Address, bytes | None]

changes = st.dictionaries(keys, st.none() | st.binary(min_size=1, max_size=3), max_size=8)
spans = st.tuples(keys, keys).map(lambda pair: (min(pair), max(pair)))

CROWD = {key_of(number): b"x" for number in range(200)} | {LAST_ADDRESS: b"x"}
"""Neighbours whose branches are all above each of them."""


def block(number: int, changed: Changes) -> BlockChanges:
    ordered: list[Change] = sorted(changed.items())
    return BlockChanges(target(number), tuple(ordered))


def after(state: State, changed: Changes) -> State:
    values = {**state, **changed}
    return {key: value for key, value in values.items() if value is not None}


def proven(state: State, span: Span, *later: BlockChanges) -> ProvenPart:
    """Return a range of a state as a peer proves it, with the branches of its subtrees."""
    store, root = store_of(state)
    with store.read() as reader:
        proof = prove_range(reader, *span, max_leaves=4096, max_bytes=10**6)
    answer = RangeAnswer.decode(*proof)
    verified = verify_range(root, *span, answer)
    assert verified is not None
    return ProvenPart(span, answer.leaves, later, verified.branches)


def begun(strays: State) -> MemoryStore:
    store, _ = store_of(strays)
    with store.write() as writer:
        state_store.begin(writer, target(1))
    return store


def branches_of(store: MemoryStore) -> dict[bytes, bytes]:
    with store.read() as reader:
        return dict(reader.scan(Table.BRANCHES))


def assert_they_belong(store: MemoryStore) -> None:
    with store.read() as reader:
        accounts: State = dict(reader.scan(Table.ACCOUNTS))  # type: ignore[arg-type]
    expected, _ = store_of(accounts)
    assert branches_of(store).items() <= branches_of(expected).items()


@given(states, states, st.lists(spans, max_size=2), changes, changes)
def test_whatever_is_written_and_changed(
    state: State, strays: State, written: list[Span], changed: Changes, more: Changes
) -> None:
    store = begun(strays)
    with store.write() as writer:
        older = [proven(state, span, block(2, changed)) for span in written]
        state_store.write_parts(writer, older)
    assert_they_belong(store)
    with store.write() as writer:
        state_store.write_parts(writer, [proven(after(state, changed), EVERYTHING)])
    assert_they_belong(store)
    with store.write() as writer:
        state_store.apply_blocks(writer, [block(3, more)])
    assert_they_belong(store)


CHANGED: Changes = {key_of(7): b"y", key_of(8): None, key_of(1000): b"z"}


def test_those_above_what_changes_are_made_anew() -> None:
    """Else all of a busy chain's are made again in the end, while nothing is fetched."""
    store = begun({})
    with store.write() as writer:
        state_store.write_parts(writer, [proven(CROWD, EVERYTHING)])
        state_store.apply_blocks(writer, [block(2, CHANGED)])
    expected, _ = store_of(after(CROWD, CHANGED))
    assert branches_of(store) == branches_of(expected)


def test_those_of_an_answer_that_is_rolled_forward_are_made_anew() -> None:
    store = begun({})
    with store.write() as writer:
        state_store.write_parts(writer, [proven(CROWD, EVERYTHING, block(2, CHANGED))])
    expected, _ = store_of(after(CROWD, CHANGED))
    assert branches_of(store) == branches_of(expected)


def test_who_begins_again_trusts_none() -> None:
    store = begun({})
    with store.write() as writer:
        writer.put(Table.BRANCHES, ROOT.key, b"false")
        state_store.begin(writer, target(2))
    assert not branches_of(store)
