"""The history tree under any sequence of appends and truncations."""

from hypothesis import given
from hypothesis import strategies as st

from node.chain import history_tree
from node.crypto.hashes import hash32
from node.storage.memory import MemoryStore
from node.storage.store import Table
from protocols.types import Hash32

steps = st.lists(st.tuples(st.booleans(), st.integers(0, 40)), max_size=12)
"""(whether to append, how many to append or to keep)."""


def fold(leaves: list[Hash32]) -> list[Hash32]:
    """Return the peaks, found the slow way: the largest power of two on the left, then the rest."""
    if not leaves:
        return []
    size = 1 << (len(leaves).bit_length() - 1)
    row = [history_tree.leaf_hash(leaf) for leaf in leaves[:size]]
    while len(row) > 1:
        pairs = zip(row[::2], row[1::2], strict=True)
        row = [history_tree.inner_hash(left, right) for left, right in pairs]
    return row + fold(leaves[size:])


@given(steps)
def test_the_tree_is_that_of_the_remaining_leaves(sequence: list[tuple[bool, int]]) -> None:
    model: list[Hash32] = []
    count = 0
    with MemoryStore().write() as writer:
        for appends, number in sequence:
            if appends:
                new = [hash32(b"%d" % (count + n)) for n in range(number)]
                count += number
                root = history_tree.append(writer, 1, new)
                model += new
            else:
                keep = min(number, len(model))
                root = history_tree.truncate(writer, 1, keep)
                del model[keep:]
            peaks = history_tree.load_peaks(writer, 1)
            assert peaks == history_tree.Peaks(len(model), tuple(fold(model)))
            assert root == peaks.root
            stored = sum(1 for _ in writer.scan(Table.HISTORY))
            assert stored == history_tree.node_count(len(model))


@given(st.integers(0, 2**40))
def test_node_numbers_fit_together(leaf_count: int) -> None:
    nodes = history_tree.node_count(leaf_count)
    positions = history_tree.peak_positions(leaf_count)
    assert history_tree.leaf_count_of(nodes) == leaf_count
    assert len(positions) == leaf_count.bit_count()
    assert list(positions) == sorted(positions)
    assert not positions or positions[-1] == nodes - 1
