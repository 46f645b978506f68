"""What a state sync keeps in the store: each function against a plain model of the state."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.range_proof import LAST_ADDRESS
from node.accounts.records import Records
from node.chain.state_progress import forget_progress
from node.storage.memory import MemoryStore
from node.storage.runs import run_of
from node.storage.store import DELETED_AT_ONCE, Table
from node.sync.state import coverage as stored_coverage
from node.sync.state import state_store
from node.sync.state.block_changes import BlockChanges, Change
from node.sync.state.coverage import EVERYTHING, Span, key_of
from node.sync.state.state_store import NOTHING, ProvenPart, StoredSync
from node.sync.state.target import SyncTarget
from protocols.types import Address
from tests.build.plain_trie import root_from_records
from tests.build.states import keys, states
from tests.node.sync.state.targets import target

State = dict[Address, bytes]

changes = st.dictionaries(keys, st.none() | st.binary(min_size=1, max_size=3), max_size=8)
spans = st.tuples(keys, keys).map(lambda pair: (min(pair), max(pair)))


def part(state: State, span: Span, *later: BlockChanges) -> ProvenPart:
    """Return a range of a state as if it had been proven."""
    items = sorted((key, value) for key, value in state.items() if span[0] <= key <= span[1])
    return ProvenPart(span, Records.of(run_of(items)), later)


def block(number: int, changed: dict[Address, bytes | None]) -> BlockChanges:
    ordered: list[Change] = sorted(changed.items())
    return BlockChanges(target(number), tuple(ordered))


def after(state: State, *blocks: BlockChanges) -> State:
    values: dict[Address, bytes | None] = dict(state)
    for each in blocks:
        values.update(each.changes)
    return {key: value for key, value in values.items() if value is not None}


def covered(store: MemoryStore) -> State:
    """Return the covered accounts, having checked that they are counted right."""
    with store.read() as reader:
        coverage, stored = stored_coverage.load(reader), state_store.load(reader)
        held = {
            Address(key): value for key, value in reader.scan(Table.ACCOUNTS) if key in coverage
        }
    assert stored.accounts == len(held)
    return held


def inside(state: State, span: Span) -> State:
    return {key: value for key, value in state.items() if span[0] <= key <= span[1]}


def begun(strays: State) -> MemoryStore:
    store = MemoryStore()
    with store.write() as writer:
        for key, value in strays.items():
            writer.put(Table.ACCOUNTS, key, value)
        state_store.begin(writer, target(1))
    return store


def test_nothing_is_stored_before_a_sync_and_after_one() -> None:
    store = MemoryStore()
    with store.write() as writer:
        assert state_store.load(writer) == NOTHING
        state_store.begin(writer, target(5))
        state_store.write_parts(writer, [part({}, EVERYTHING)])
        assert state_store.load(writer) == StoredSync(target(5), is_whole=False, accounts=0)
        forget_progress(writer)
        assert state_store.load(writer) == NOTHING
        assert list(writer.scan(Table.COVERAGE)) == list(writer.scan(Table.META)) == []


@given(states, states, st.lists(spans, max_size=4))
def test_a_range_that_is_written_holds_exactly_its_accounts(
    state: State, strays: State, written: list[Span]
) -> None:
    store = begun(strays)
    with store.write() as writer:
        state_store.write_parts(writer, [part(state, span) for span in written])
    expected: State = {}
    for span in written:
        expected |= inside(state, span)
    assert covered(store) == expected
    with store.read() as reader:
        # What lies outside is left alone.
        rest = {key: value for key, value in strays.items() if reader.get(Table.ACCOUNTS, key)}
    assert rest.keys() >= {
        key for key in strays if not any(span[0] <= key <= span[1] for span in written)
    }


@given(states, states, spans, st.lists(changes, max_size=3))
def test_an_older_range_is_rolled_forward(
    state: State, strays: State, span: Span, changed: list[dict[Address, bytes | None]]
) -> None:
    blocks = [block(number, each) for number, each in enumerate(changed, 2)]
    store = begun(strays)
    with store.write() as writer:
        state_store.write_parts(writer, [part(state, span, *blocks)])
    assert covered(store) == inside(after(state, *blocks), span)


@given(states, states, st.lists(spans, max_size=3), st.lists(changes, min_size=1, max_size=3))
def test_changes_touch_what_is_covered_and_move_the_target(
    state: State, strays: State, written: list[Span], changed: list[dict[Address, bytes | None]]
) -> None:
    blocks = [block(number, each) for number, each in enumerate(changed, 2)]
    store = begun(strays)
    with store.write() as writer:
        state_store.write_parts(writer, [part(state, span) for span in written])
        state_store.apply_blocks(writer, blocks)
    expected: State = {}
    for span in written:
        expected |= inside(after(state, *blocks), span)
    assert covered(store) == expected
    with store.read() as reader:
        assert state_store.load(reader).target == blocks[-1].block


def test_more_strays_than_are_held_at_once_are_deleted() -> None:
    strays = {key_of(3 * number): b"stray" for number in range(2 * DELETED_AT_ONCE + 3)}
    store = begun(strays)
    kept = {key_of(3): b"kept", key_of(3 * DELETED_AT_ONCE): b"kept", LAST_ADDRESS: b"new"}
    with store.write() as writer:
        state_store.write_parts(writer, [part(kept, EVERYTHING)])
    assert covered(store) == kept


def with_root(number: int, state: State) -> SyncTarget:
    return replace(target(number), state_root=root_from_records(state.items()))


def built(state: State, wanted: SyncTarget) -> MemoryStore:
    store = MemoryStore()
    with store.write() as writer:
        state_store.begin(writer, wanted)
        state_store.write_parts(writer, [part(state, EVERYTHING)])
        assert state_store.build(writer, 1_000_000)
    return store


def is_whole(store: MemoryStore) -> bool:
    with store.read() as reader:
        return state_store.load(reader).is_whole


@given(states, states)
def test_a_state_is_whole_if_its_root_is_the_targets(state: State, other: State) -> None:
    assert is_whole(built(state, with_root(1, state)))
    assert is_whole(built(state, with_root(1, other))) == (state == other)


def test_a_state_with_a_gap_is_not_whole_whatever_its_root() -> None:
    store = MemoryStore()
    with store.write() as writer:
        state_store.begin(writer, with_root(1, {}))
        state_store.write_parts(writer, [part({}, (key_of(1), LAST_ADDRESS))])
        assert state_store.build(writer, 1_000_000)
    assert not is_whole(store)


@given(states, changes)
def test_a_whole_state_stays_whole_over_right_changes(
    state: State, changed: dict[Address, bytes | None]
) -> None:
    store = built(state, with_root(1, state))
    second = block(2, changed)
    new = after(state, second)
    right = replace(second, block=with_root(2, new))
    with store.write() as writer:
        state_store.apply_blocks(writer, [right])
    assert is_whole(store)
    assert covered(store) == new
    with store.write() as writer:
        # The same again leads to the same state, and the root says another.
        state_store.apply_blocks(writer, [replace(right, block=target(3))])
    assert not is_whole(store)


def test_a_range_that_is_written_ends_a_whole_state() -> None:
    store = built({}, with_root(1, {}))
    with store.write() as writer:
        state_store.write_parts(writer, [part({}, (key_of(1), key_of(2)))])
    assert not is_whole(store)


@given(states, st.lists(spans, max_size=4))
def test_all_but_what_differs_is_covered(state: State, differing: list[Span]) -> None:
    store = built(state, target(1))
    with store.write() as writer:
        state_store.keep_equal(writer, target(2), differing)
        assert state_store.load(writer).target == target(2)
    expected = {
        key: value
        for key, value in state.items()
        if not any(start <= key <= end for start, end in differing)
    }
    assert covered(store) == expected
    assert not is_whole(store)


def test_to_begin_again_covers_nothing() -> None:
    store = built({key_of(5): b"old"}, target(1))
    with store.write() as writer:
        state_store.begin(writer, target(9))
    assert covered(store) == {}
    assert not is_whole(store)
