"""Reading transactions by their place in an epoch's history, from the bodies of its blocks."""

from bisect import bisect_right
from collections.abc import Iterator

from node.blocks.slices import slice_transactions
from node.chain.block_store import main_hash_at
from node.chain.history_lengths import load_history_length
from node.chain.history_tree import Peaks, node_key, peak_positions
from node.policy import Policy
from node.storage.store import Reader, Table
from protocols.types import Hash32, Height


def load_transactions(
    reader: Reader, policy: Policy, macro: Height, first: int, end: int
) -> tuple[bytes, ...] | None:
    """Return encoded transactions of an epoch, or None if not all of them are stored.

    Args:
        reader: Holds lengths, main chain and bodies.
        policy: Of the network.
        macro: Height of a macro block of the epoch, or of the one at its end.
        first: Leaf index of the first transaction.
        end: Leaf index after the last: above `first`, at most the history length at `macro`.
    """
    batch_end = _batch_of(reader, policy, macro, first)
    batch_start = policy.macro_before(batch_end)
    before = 0 if policy.is_election(batch_start) else load_history_length(reader, batch_start)
    if before is None:
        return None
    found: list[bytes] = []
    for body in _micro_bodies(reader, policy, batch_start + 1, macro):
        if body is None:
            return None
        count, some = slice_transactions(body, max(first - before, 0), end - before)
        found += some
        before += count
        if before >= end:
            return tuple(found)
    return None


def load_peaks_at(reader: Reader, policy: Policy, height: Height) -> Peaks | None:
    """Return the peaks of an epoch's tree after a block, or None if not all of it is stored.

    Args:
        reader: Holds lengths, main chain, bodies and trees.
        policy: Of the network.
        height: Of a block of the main chain.
    """
    leaf_count = _length_at(reader, policy, height)
    if leaf_count is None:
        return None
    epoch, peaks = policy.epoch_at(height), []
    for position in peak_positions(leaf_count):
        node = reader.get(Table.HISTORY, node_key(epoch, position))
        if node is None:
            return None
        peaks.append(Hash32(node))
    return Peaks(leaf_count, tuple(peaks))


def _length_at(reader: Reader, policy: Policy, height: Height) -> int | None:
    """Count the transactions of an epoch up to a block of the main chain."""
    macro = policy.macro_at_or_before(height)
    is_new_epoch = policy.is_election(macro) and macro != height
    length = 0 if is_new_epoch else load_history_length(reader, macro)
    for body in _micro_bodies(reader, policy, macro + 1, height + 1):
        if length is None or body is None:
            return None
        count, _ = slice_transactions(body, 0, 0)
        length += count
    return length


def _batch_of(reader: Reader, policy: Policy, macro: Height, leaf: int) -> Height:
    """Return the macro block that ends the batch of a leaf."""
    first_end = policy.election_before(macro) + policy.batch_length
    ends = range(first_end, macro, policy.batch_length)

    def length_at(end: Height) -> int:
        # Lengths that are no longer stored are those of the oldest batches.
        length = load_history_length(reader, end)
        return -1 if length is None else length

    index = bisect_right(ends, leaf, key=length_at)
    return ends[index] if index < len(ends) else macro


def _micro_bodies(
    reader: Reader, policy: Policy, first: Height, end: Height
) -> Iterator[bytes | None]:
    """Yield the bodies of the main chain's micro blocks with `first <= height < end`."""
    for height in range(first, end):
        if not policy.is_macro(height):
            block = main_hash_at(reader, height)
            yield None if block is None else reader.get(Table.BODIES, block)
