"""Finding what differs between a stored state and another one."""

from hypothesis import given
from hypothesis import strategies as st

from node.accounts.pages import ROOT
from node.accounts.stored import subtree_bytes
from node.crypto.hashes import hash32
from node.storage.memory import MemoryStore
from node.sync.state.coverage import EVERYTHING, Coverage, key_of
from node.sync.state.repair import Repair, Wanted, compare
from node.sync.state.target import SyncTarget
from protocols.types import Address, Hash32
from tests.build.states import keys, states, store_of

State = dict[Address, bytes]

changes = st.dictionaries(keys, st.none() | st.just(b"changed"), max_size=6)


def to(root: Hash32) -> SyncTarget:
    return SyncTarget(number=1, hash=hash32(b""), state_root=root, history_root=hash32(b""))


def walk(ours: MemoryStore, theirs: MemoryStore, root: Hash32, *, max_nodes: int) -> Coverage:
    """Let a repair look at everything it wants to; return what differs."""
    repair, opened = Repair(to(root), max_nodes=max_nodes), 0
    with ours.read() as reader, theirs.read() as source:
        while not repair.is_done:
            wanted = repair.wanted(3)
            nodes = [subtree_bytes(source, each.place) for each in wanted]
            found = compare(reader, wanted, nodes)
            assert found is not None
            repair.take(len(wanted), found)
            opened += len(wanted)
    assert opened <= max_nodes
    return Coverage(repair.differing)


def after(state: State, changed: dict[Address, bytes | None]) -> State:
    merged: dict[Address, bytes | None] = {**state, **changed}
    return {key: value for key, value in merged.items() if value is not None}


@given(states, changes, st.sampled_from([1, 5, 1000]))
def test_every_key_that_differs_is_found(
    state: State, changed: dict[Address, bytes | None], max_nodes: int
) -> None:
    other = after(state, changed)
    (ours, _), (theirs, root) = store_of(state), store_of(other)
    differing = walk(ours, theirs, root, max_nodes=max_nodes)

    keys_that_differ = {key for key in {*state, *other} if state.get(key) != other.get(key)}
    assert all(key in differing for key in keys_that_differ)
    assert bool(keys_that_differ) == bool(len(differing))


def test_little_more_than_what_differs_is_found() -> None:
    state = {key_of(number << 148): b"value" for number in range(4096)}
    other = {**state, key_of(77 << 148): b"another"}
    (ours, _), (theirs, root) = store_of(state), store_of(other)
    differing = walk(ours, theirs, root, max_nodes=100)

    assert sum(key in differing for key in state) <= 64


def test_without_a_branch_of_ours_everything_differs() -> None:
    state = {key_of(number << 148): b"value" for number in range(4096)}
    theirs, root = store_of(state)
    assert list(walk(MemoryStore(), theirs, root, max_nodes=100)) == [EVERYTHING]


@given(st.binary(max_size=40), states)
def test_a_node_that_was_not_asked_for_is_noticed(payload: bytes, state: State) -> None:
    ours, root = store_of(state)
    with ours.read() as reader:
        right = subtree_bytes(reader, ROOT)
        wanted = [Wanted(ROOT, root)]
        assert compare(reader, wanted, [right]) == ()
        assert (compare(reader, wanted, [payload]) is None) == (payload != right)


def test_bytes_with_the_right_hash_that_are_no_node_are_refused() -> None:
    with MemoryStore().read() as reader:
        for junk in (b"\x00junk", b"\x01junk", b"\x07"):
            assert compare(reader, [Wanted(ROOT, hash32(junk))], [junk]) is None
