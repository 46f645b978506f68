"""Comparing two states subtree by subtree: what differs is found, and nothing else is asked for."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from node.accounts import trie
from node.accounts.pages import EMPTY_ROOT, NO_CHILD, ROOT, Child, Place
from node.accounts.stored import child_of, subtree_bytes
from node.accounts.subtrees import (
    Branch,
    Page,
    differing,
    open_root,
    open_subtree,
)
from node.crypto.hashes import hash32
from node.storage.store import Reader, Table
from protocols.types import Address
from tests.build.states import states, store_of

State = dict[Address, bytes]


@dataclass
class Repair:
    """Finds what to change in our state to make it theirs, with answers about theirs."""

    ours: Reader
    theirs: Reader
    asked: list[Place] = field(default_factory=list)
    changes: dict[Address, bytes | None] = field(default_factory=dict)

    def run(self) -> None:
        node = open_root(trie.root(self.theirs), self._ask(ROOT))
        assert node is not None
        self._take(ROOT, node)

    def _take(self, place: Place, node: Page | Branch) -> None:
        if isinstance(node, Page):
            ours = self.ours.scan(Table.ACCOUNTS, place.prefix, place.end)
            self.changes.update((Address(address), None) for address, _ in ours)
            self.changes.update((Address(address), value) for address, value in node.records)
            return
        for below, child in differing(self.ours, place, node):
            found = open_subtree(child, self._ask(below))
            assert found is not None
            self._take(below, found)

    def _ask(self, place: Place) -> bytes:
        self.asked.append(place)
        return subtree_bytes(self.theirs, place)


@given(states, states)
def test_a_state_can_be_made_equal_to_another(ours: State, theirs: State) -> None:
    store, _ = store_of(ours)
    other, root = store_of(theirs)
    with store.write() as writer, other.read() as reader:
        repair = Repair(writer, reader)
        repair.run()
        assert trie.update(writer, repair.changes) == root


@given(states, st.data())
def test_one_changed_account_costs_one_path(state: State, data: st.DataObject) -> None:
    state[Address(b"\x37" * 20)] = b"value"
    changed = data.draw(st.sampled_from(sorted(state)))
    store, _ = store_of(state)
    other, root = store_of(state | {changed: b"else"})
    with store.write() as writer, other.read() as reader:
        repair = Repair(writer, reader)
        repair.run()
        assert all(
            changed.hex().startswith(place.prefix.hex()[: place.depth]) for place in repair.asked
        )
        assert [place.depth for place in repair.asked] == list(range(len(repair.asked)))
        assert trie.update(writer, repair.changes) == root


@given(states, st.integers(0), st.integers(0, 7))
def test_a_changed_node_is_refused(state: State, at: int, bit: int) -> None:
    store, root = store_of(state)
    with store.read() as reader:
        payload = subtree_bytes(reader, ROOT)
        child = child_of(reader, ROOT)
    position = at % len(payload)
    changed = bytes((payload[position] ^ 1 << bit,))
    wrong = payload[:position] + changed + payload[position + 1 :]
    assert open_root(root, payload) == open_subtree(child, payload)
    assert open_root(root, payload) is not None
    for content in (wrong, payload[:-1], payload + b"\0", b""):
        assert open_root(root, content) is None
        assert open_subtree(child, content) is None


def test_an_empty_subtree_is_an_empty_page() -> None:
    assert open_subtree(NO_CHILD, b"\0") == open_root(EMPTY_ROOT, b"\0")
    assert open_subtree(NO_CHILD, b"\0" + bytes(23)) is None
    assert open_subtree(Child(1, EMPTY_ROOT), b"") is None


def test_what_is_neither_page_nor_branch_is_refused() -> None:
    for payload in (b"", b"\2", b"\1", b"\1" + bytes(639)):
        assert open_root(hash32(payload), payload) is None
