"""Whatever is changed in a proven answer, it no longer leads to the root."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from node.chain.history_proof import load_proof, verify_leaves, verify_range
from node.chain.history_tree import NO_PEAKS, append, extend, leaf_hash
from node.crypto.hashes import hash32
from node.storage.memory import MemoryStore
from node.storage.store import Store
from protocols.types import Hash32

MAX_LEAVES = 150


def leaf(index: int) -> bytes:
    return b"transaction %d" % index


@cache
def tree() -> Store:
    """Return the largest tree; smaller ones are its beginnings."""
    store = MemoryStore()
    with store.write() as writer:
        append(writer, 1, map(leaf, range(MAX_LEAVES)))
    return store


@cache
def root_of(leaf_count: int) -> Hash32:
    return extend(NO_PEAKS, map(leaf, range(leaf_count)))[0].root


@dataclass(frozen=True)
class Answer:
    """A true answer about a tree."""

    leaf_count: int
    indices: tuple[int, ...]
    proof: tuple[Hash32, ...]

    @property
    def leaves(self) -> dict[int, bytes]:
        """Return the leaves by index."""
        return {index: leaf(index) for index in self.indices}

    def is_refused(
        self,
        leaves: Mapping[int, bytes] | None = None,
        leaf_count: int | None = None,
        proof: Sequence[Hash32] | None = None,
    ) -> bool:
        """Tell whether the answer, changed in this way, misses the root."""
        found = verify_leaves(
            self.leaves if leaves is None else leaves,
            self.leaf_count if leaf_count is None else leaf_count,
            self.proof if proof is None else proof,
        )
        return found != root_of(self.leaf_count)


def answer(leaf_count: int, indices: Sequence[int]) -> Answer:
    with tree().read() as reader:
        proof = load_proof(reader, 1, indices, leaf_count)
    assert proof is not None
    return Answer(leaf_count, tuple(indices), proof)


@st.composite
def ranges(draw: st.DrawFn) -> Answer:
    leaf_count = draw(st.integers(1, MAX_LEAVES))
    first = draw(st.integers(0, leaf_count - 1))
    return answer(leaf_count, range(first, draw(st.integers(first + 1, leaf_count))))


@st.composite
def sets(draw: st.DrawFn) -> Answer:
    leaf_count = draw(st.integers(1, MAX_LEAVES))
    some = draw(st.sets(st.integers(0, leaf_count - 1), min_size=1, max_size=10))
    return answer(leaf_count, sorted(some))


answers = ranges() | sets()


@given(answers)
def test_a_true_answer_leads_to_the_root(true: Answer) -> None:
    assert not true.is_refused()


@given(ranges())
def test_a_range_is_a_set_of_leaves_side_by_side(true: Answer) -> None:
    some = [leaf(index) for index in true.indices]

    found = verify_range(some, true.indices[0], true.leaf_count, true.proof)
    assert found == root_of(true.leaf_count)


@given(answers, st.data())
def test_changed_leaves(true: Answer, data: st.DataObject) -> None:
    changed = data.draw(st.sampled_from(true.indices))
    other = data.draw(st.sampled_from(range(MAX_LEAVES + 1)).filter(lambda index: index != changed))

    assert true.is_refused(true.leaves | {changed: leaf(other)})
    assert true.is_refused(true.leaves | {changed: leaf(changed) + b"\x00"})
    assert true.is_refused(true.leaves | {changed: leaf_hash(leaf(changed))})


@given(answers, st.data())
def test_more_or_fewer_leaves(true: Answer, data: st.DataObject) -> None:
    dropped = data.draw(st.sampled_from(true.indices))
    added = data.draw(st.integers(-1, true.leaf_count).filter(lambda at: at not in true.indices))
    without = {index: each for index, each in true.leaves.items() if index != dropped}

    assert true.is_refused(without)
    assert true.is_refused(true.leaves | {added: leaf(added)})
    assert true.is_refused(without | {added: leaf(dropped)})


@given(answers, st.data())
def test_swapped_leaves(true: Answer, data: st.DataObject) -> None:
    one, other = (data.draw(st.sampled_from(true.indices)) for _ in range(2))

    swapped = true.leaves | {one: leaf(other), other: leaf(one)}
    assert true.is_refused(swapped) == (one != other)


@given(answers, st.integers(-MAX_LEAVES, MAX_LEAVES).filter(bool))
def test_moved_leaves(true: Answer, offset: int) -> None:
    assert true.is_refused({index + offset: each for index, each in true.leaves.items()})


@given(answers, st.integers(0, 2 * MAX_LEAVES))
def test_another_leaf_count(true: Answer, leaf_count: int) -> None:
    assert true.is_refused(leaf_count=leaf_count) == (leaf_count != true.leaf_count)


@given(answers, st.data())
def test_changed_proofs(true: Answer, data: st.DataObject) -> None:
    junk, proof = hash32(b"junk"), list(true.proof)
    at = data.draw(st.integers(0, len(proof)))

    assert true.is_refused(proof=[*proof[:at], junk, *proof[at:]])
    assert true.is_refused(proof=[*proof, *proof[-1:], junk])
    if at < len(proof):
        assert true.is_refused(proof=[*proof[:at], junk, *proof[at + 1 :]])
        assert true.is_refused(proof=[*proof[:at], *proof[at + 1 :]])
        assert true.is_refused(proof=[*proof[:at], proof[at], *proof[at:]])
    if len(proof) > 1:
        assert true.is_refused(proof=[*proof[1:], proof[0]])
