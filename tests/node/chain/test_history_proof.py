"""Proofs of single leaves and of ranges: what they hold, and what is refused."""

import pytest

from node.chain.history_proof import load_proof, verify_leaves, verify_range
from node.chain.history_tree import NO_PEAKS, append, extend, load_nodes, node_key
from node.storage.memory import MemoryStore
from node.storage.store import Store, Table
from protocols.messages.history_chunk import MAX_PROOF_HASHES
from protocols.types import Hash32

EPOCH = 3


def leaves(count: int) -> list[bytes]:
    return [b"transaction %d" % number for number in range(count)]


def filled(count: int) -> Store:
    store = MemoryStore()
    with store.write() as writer:
        append(writer, EPOCH, leaves(count))
    return store


def root_of(count: int) -> Hash32:
    return extend(NO_PEAKS, leaves(count))[0].root


@pytest.mark.parametrize(
    ("indices", "leaf_count", "positions"),
    [
        ([1, 2], 7, [0, 4, 9, 10]),
        ([0, 1, 2, 3, 4, 5, 6], 7, []),
        ([0], 1, []),
        ([0], 7, [1, 5, 9, 10]),
        ([6], 7, [6, 9]),
        ([1, 2, 4], 7, [0, 4, 8, 10]),
        ([0, 3], 7, [1, 3, 9, 10]),
        ([3, 4, 5], 6, [3, 2]),
        ([2], 3, [2]),
        ([2], 4, [4, 2]),
    ],
)
def test_a_proof_holds_these_nodes_in_this_order(
    indices: list[int], leaf_count: int, positions: list[int]
) -> None:
    """Positions are those of the picture of the history tree."""
    with filled(7).read() as reader:
        proof = load_proof(reader, EPOCH, indices, leaf_count)
        assert proof == load_nodes(reader, EPOCH, positions)
    some = {index: leaves(7)[index] for index in indices}
    assert verify_leaves(some, leaf_count, proof) == root_of(leaf_count)


def test_every_range_of_every_tree_is_proven_from_the_nodes_of_the_largest() -> None:
    with filled(20).read() as reader:
        for leaf_count in range(1, 21):
            for first in range(leaf_count):
                for end in range(first + 1, leaf_count + 1):
                    proof = load_proof(reader, EPOCH, range(first, end), leaf_count)
                    assert proof is not None
                    found = verify_range(leaves(20)[first:end], first, leaf_count, proof)
                    assert found == root_of(leaf_count)


def test_no_proof_from_a_tree_that_lacks_a_node() -> None:
    store = filled(7)
    with store.write() as writer:
        writer.delete(Table.HISTORY, node_key(EPOCH, 0))
        assert load_proof(writer, EPOCH, [1], 7) is None
        assert load_proof(writer, EPOCH, [0, 1], 7) is not None


@pytest.mark.parametrize(
    ("count", "first", "leaf_count"), [(0, 0, 0), (0, 0, 5), (1, -1, 5), (2, 4, 5), (1, 5, 5)]
)
def test_leaves_that_do_not_fit_into_the_tree_prove_nothing(
    count: int, first: int, leaf_count: int
) -> None:
    assert verify_range(leaves(count), first, leaf_count, ()) is None


def test_the_longest_proof_of_the_largest_tree_fits_into_a_response() -> None:
    """Two leaves in the middle of the largest peak, beside one peak of every smaller size."""
    leaf_count = 2**40 - 1
    proof = [Hash32(bytes([number]) * 32) for number in range(MAX_PROOF_HASHES)]
    fitting = [
        length
        for length in range(MAX_PROOF_HASHES + 1)
        if verify_range(leaves(2), 2**38 - 1, leaf_count, proof[:length]) is not None
    ]

    assert fitting == [39 + 2 * 38]
