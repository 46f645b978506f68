"""Proofs that transactions stand at their places in a history tree: see `history_tree`.

    height 2        6             proven: leaves 1 and 2 of 7
    height 1     2     5     9    proof:  0 and 4 (height 0), then the peaks 9 and 10
    height 0    0 1   3 4   7 8  10

The proof is what it takes to compute all peaks, and nothing else. In this order: peaks from left to
right; a peak without a proven leaf below it is in the proof itself; below another one, for each
height from the leaves up, the siblings that are not known by then, from left to right.

Nodes never change when a tree grows, so a proof for any leaf count up to the stored one can be made
from stored nodes. A header's `history_root` commits to the leaf count and every leaf's place: other
leaves, places, counts or proof nodes lead to another root.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from node.chain.history_tree import (
    Peaks,
    inner_hash,
    leaf_hash,
    leaf_position,
    node_key,
)
from node.storage.store import Reader, Table
from protocols.types import Hash32


def load_proof(
    reader: Reader, epoch: int, indices: Sequence[int], leaf_count: int
) -> tuple[Hash32, ...] | None:
    """Make the proof for some leaves of an epoch's stored tree, or None if it lacks a node.

    Args:
        reader: Holds the tree.
        epoch: Of the tree.
        indices: Of the leaves: ascending, below the leaf count, at least one.
        leaf_count: Size of the tree that is proven against, at most the stored one's.
    """
    proof = []
    for height, index in _missing(indices, leaf_count):
        node = reader.get(Table.HISTORY, node_key(epoch, _position(height, index)))
        if node is None:
            return None
        proof.append(Hash32(node))
    return tuple(proof)


def verify_range(
    transactions: Sequence[bytes], first: int, leaf_count: int, proof: Sequence[Hash32]
) -> Hash32 | None:
    """Compute the root from encoded transactions that stand side by side.

    Args:
        transactions: Encodings, in the order of their leaves.
        first: Index of the first leaf.
        leaf_count: Size of the tree.
        proof: As `load_proof` makes it.

    Returns:
        The root, to be compared with the header's. None without transactions, when they do not
        fit into the tree, or when the proof has more or fewer nodes than it takes.
    """
    return verify_leaves(dict(enumerate(transactions, first)), leaf_count, proof)


def verify_leaves(
    transactions: Mapping[int, bytes], leaf_count: int, proof: Sequence[Hash32]
) -> Hash32 | None:
    """Compute the root from encoded transactions by leaf index, as `verify_range` does."""
    indices = sorted(transactions)
    if not indices or indices[0] < 0 or indices[-1] >= leaf_count:
        return None
    if len(proof) != sum(1 for _ in _missing(indices, leaf_count)):
        return None
    given, peaks = iter(proof), []
    for height, _, inside in _split(indices, leaf_count):
        if inside:
            row = {index: leaf_hash(transactions[index]) for index in inside}
            peaks.append(_fold(row, height, given))
        else:
            peaks.append(next(given))
    return Peaks(leaf_count, tuple(peaks)).root


def _split(indices: Sequence[int], leaf_count: int) -> Iterator[tuple[int, int, Sequence[int]]]:
    """Yield height and first leaf of each peak from left to right, and the indices below it."""
    start, done = 0, 0
    for height in reversed(range(leaf_count.bit_length())):
        if leaf_count >> height & 1:
            end = bisect_left(indices, start + (1 << height))
            yield height, start, indices[done:end]
            start, done = start + (1 << height), end


def _missing(indices: Sequence[int], leaf_count: int) -> Iterator[tuple[int, int]]:
    """Yield the proof's nodes in order: height, and index among the nodes of that height."""
    for height, start, inside in _split(indices, leaf_count):
        if not inside:
            yield height, start >> height
            continue
        known = dict.fromkeys(inside)
        for level in range(height):
            yield from ((level, index ^ 1) for index in known if index ^ 1 not in known)
            known = dict.fromkeys(index >> 1 for index in known)


def _position(height: int, index: int) -> int:
    """Return where a node is stored: right after its last leaf come the nodes above that."""
    return leaf_position(((index + 1) << height) - 1) + height


def _fold(row: dict[int, Hash32], height: int, given: Iterator[Hash32]) -> Hash32:
    """Compute a peak from some of its leaves, by index in ascending order, and their siblings."""
    for _ in range(height):
        above: dict[int, Hash32] = {}
        for index, node in row.items():
            if not index & 1:
                right = row.get(index + 1) or next(given)
                above[index >> 1] = inner_hash(node, right)
            elif index - 1 not in row:
                above[index >> 1] = inner_hash(next(given), node)
        row = above
    (peak,) = row.values()
    return peak
