"""States of older blocks are presented and proven as if they were the present one."""

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from node.accounts import trie
from node.accounts.key_proof import prove_keys, verify_keys
from node.accounts.range_proof import (
    FIRST_ADDRESS,
    LAST_ADDRESS,
    RangeAnswer,
    prove_range,
    verify_range,
)
from node.accounts.state_at import StateAt
from node.accounts.state_history import (
    GROUP_BLOCKS,
    begin,
    diff_at,
    forget_block,
    oldest_state,
    prune,
    record,
)
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer
from protocols.types import Address, Hash32
from tests.build.diffs import diff_between
from tests.build.states import keys, states

State = dict[Address, bytes]

FIRST = GROUP_BLOCKS - 3
"""Height of the first state: blocks of two groups are above it."""

values = st.binary(min_size=1, max_size=3)
blocks = st.lists(
    st.one_of(
        st.dictionaries(keys, st.none() | values, max_size=8),
        states.map(lambda state: dict(list(state.items())[:150])),
        states.map(lambda state: dict.fromkeys(list(state)[:150])),
        st.just({}),
    ),
    min_size=1,
    max_size=8,
)
"""What blocks change: a few accounts, many new ones, many gone, nothing."""


@dataclass
class Chain:
    """Blocks that only change the state, and what the state was after each."""

    writer: Writer
    states: list[State] = field(default_factory=list)
    roots: list[Hash32] = field(default_factory=list)

    def push(self, changes: dict[Address, bytes | None]) -> None:
        diff = diff_between(self.writer, changes)
        update = trie.plan(self.writer, diff.changes)
        record(self.writer, FIRST + len(self.states), diff, update)
        update.write(self.writer)
        self.states.append(everything(self.writer))
        self.roots.append(update.root)

    def undo(self) -> None:
        height = FIRST + len(self.states) - 1
        trie.update(self.writer, diff_at(self.writer, height).inverse().changes)
        forget_block(self.writer, height)
        self.states.pop()
        self.roots.pop()


def everything(reader: Reader) -> State:
    return {Address(address): value for address, value in reader.scan(Table.ACCOUNTS)}


def started(writer: Writer, state: State) -> Chain:
    begin(writer, FIRST)
    root = trie.update(writer, state)
    return Chain(writer, [everything(writer)], [root])


def check(chain: Chain, index: int, wanted: list[Address], limit: int) -> None:
    view = StateAt(chain.writer, FIRST + index)
    state, root = chain.states[index], chain.roots[index]
    assert everything(view) == state
    assert trie.root(view) == root
    proof = prove_keys(view, wanted)
    assert verify_keys(root, wanted, proof) == {key: state.get(key) for key in wanted}
    assert [view.get(Table.ACCOUNTS, key) for key in wanted] == [state.get(key) for key in wanted]
    start = wanted[0]
    answer = RangeAnswer.decode(
        *prove_range(view, start, LAST_ADDRESS, max_leaves=limit, max_bytes=10_000)
    )
    assert verify_range(root, start, LAST_ADDRESS, answer) is not None
    assert list(answer.leaves) == sorted(item for item in state.items() if item[0] >= start)[:limit]


wanted = st.lists(keys, min_size=1, max_size=4)
limits = st.integers(1, 200)


@given(states, blocks, wanted, limits)
def test_every_state_since_the_beginning_can_be_proven(
    state: State, changes: list[dict[Address, bytes | None]], wanted: list[Address], limit: int
) -> None:
    with MemoryStore().write() as writer:
        chain = started(writer, state)
        for each in changes:
            chain.push(each)
        for index in range(len(chain.states)):
            check(chain, index, wanted, limit)
        assert StateAt(writer, 99).get(Table.BRANCHES, b"\0") == writer.get(Table.BRANCHES, b"\0")


@given(states, blocks, blocks, wanted)
def test_blocks_may_be_undone_and_replaced(
    state: State,
    first: list[dict[Address, bytes | None]],
    second: list[dict[Address, bytes | None]],
    wanted: list[Address],
) -> None:
    with MemoryStore().write() as writer:
        chain = started(writer, state)
        for each in first:
            chain.push(each)
        for _ in first[1:]:
            chain.undo()
        for each in second:
            chain.push(each)
        for index in range(len(chain.states)):
            check(chain, index, wanted, 100)


@given(states, blocks, st.data())
def test_what_is_pruned_is_gone_and_the_rest_is_as_it_was(
    state: State, changes: list[dict[Address, bytes | None]], data: st.DataObject
) -> None:
    with MemoryStore().write() as writer:
        chain = started(writer, state)
        for each in changes:
            chain.push(each)
        oldest = data.draw(st.integers(0, len(changes)))
        prune(writer, FIRST + oldest)
        prune(writer, FIRST + oldest - 1)
        assert oldest_state(writer) == FIRST + oldest
        for index in range(oldest, len(chain.states)):
            check(chain, index, [FIRST_ADDRESS], 50)
        heights = {int.from_bytes(key, "big") for key, _ in writer.scan(Table.DIFFS)}
        assert all(oldest < height - FIRST <= len(changes) for height in heights)


@given(states, blocks)
def test_the_changes_of_each_block_can_be_read_again(
    state: State, changes: list[dict[Address, bytes | None]]
) -> None:
    with MemoryStore().write() as writer:
        chain = started(writer, state)
        for each in changes:
            expected = diff_between(writer, each)
            chain.push(each)
            assert diff_at(writer, FIRST + len(chain.states) - 1) == expected


def test_history_begins_with_the_first_block_that_is_recorded() -> None:
    with MemoryStore().write() as writer:
        assert oldest_state(writer) is None
        diff = diff_between(writer, {FIRST_ADDRESS: b"value"})
        update = trie.plan(writer, diff.changes)
        record(writer, 7, diff, update)
        update.write(writer)
        assert oldest_state(writer) == 6
        assert everything(StateAt(writer, 6)) == {}
        begin(writer, 7)
        assert oldest_state(writer) == 7
        for table in (Table.DIFFS, Table.OLD_ACCOUNTS, Table.OLD_BRANCHES):
            assert list(writer.scan(table)) == []
