"""The history tree: a Merkle mountain range over an epoch's transactions.

Leaves are added on the right. Two trees of one size become one, so what stands is a row of
perfect trees (peaks), each smaller than the one to its left. Nodes are numbered as they are made:

    height 2        6
    height 1     2     5     9         7 leaves: 0 1 3 4 7 8 10
    height 0    0 1   3 4   7 8  10    peaks: 6 9 10

    leaf  = H(0x10 || transaction)                          its encoding, signature included
    inner = H(0x11 || left || right)
    root  = H(0x12 || leaf count: 8 bytes big-endian || peak || peak ...)   peaks from left to right

A tree of n leaves has 2n - popcount(n) nodes, all of them below that position, so going back to n
leaves deletes what stands above and touches nothing else. Each epoch has its own tree, which
starts empty (`EMPTY_ROOT`). H is Blake2b-256.

Nodes lie in `Table.HISTORY` by epoch (4 bytes) and position (8 bytes), big-endian. The newest
node is always a peak and its position gives the leaf count, so no counter can disagree with it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.crypto.hashes import hash32
from node.storage.store import Reader, Table, Writer
from protocols.types import Hash32

LEAF_DOMAIN: Final = b"\x10"
INNER_DOMAIN: Final = b"\x11"
ROOT_DOMAIN: Final = b"\x12"

COUNT_BYTES: Final = 8


@dataclass(frozen=True, slots=True)
class Peaks:
    """All that must be known of a tree to extend it."""

    leaf_count: int = 0
    hashes: tuple[Hash32, ...] = ()
    """Peaks from left to right, one for each bit that is set in the leaf count."""

    @property
    def root(self) -> Hash32:
        """What the header's `history_root` commits to."""
        count = self.leaf_count.to_bytes(COUNT_BYTES, "big")
        return hash32(ROOT_DOMAIN + count + b"".join(self.hashes))


NO_PEAKS: Final = Peaks()

EMPTY_ROOT: Final = NO_PEAKS.root
"""History root of an epoch without transactions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryUpdate:
    """Transactions that were appended in memory. Write it only over the tree it started from."""

    epoch: int
    first_position: int
    """Where `nodes` begin."""
    nodes: tuple[Hash32, ...]
    """New nodes in the order of their positions."""
    peaks: Peaks
    """Afterwards."""

    @property
    def root(self) -> Hash32:
        """History root afterwards."""
        return self.peaks.root

    def write(self, writer: Writer) -> None:
        """Carry it out."""
        nodes = enumerate(self.nodes, self.first_position)
        rows = [(node_key(self.epoch, position), node) for position, node in nodes]
        writer.put_many(Table.HISTORY, rows)


def leaf_hash(transaction: bytes) -> Hash32:
    """Hash the leaf of an encoded transaction."""
    return hash32(LEAF_DOMAIN + transaction)


def inner_hash(left: Hash32, right: Hash32) -> Hash32:
    """Hash the node above two."""
    return hash32(INNER_DOMAIN + left + right)


def node_count(leaf_count: int) -> int:
    """Return how many nodes a tree has: the position of the next leaf."""
    return 2 * leaf_count - leaf_count.bit_count()


def leaf_position(index: int) -> int:
    """Return the position of a leaf, counted from 0."""
    return node_count(index)


def peak_positions(leaf_count: int) -> tuple[int, ...]:
    """Return the positions of the peaks from left to right."""
    positions, end = [], 0
    for height in reversed(range(leaf_count.bit_length())):
        if leaf_count >> height & 1:
            end += 2 ** (height + 1) - 1
            positions.append(end - 1)
    return tuple(positions)


def leaf_count_of(nodes: int) -> int:
    """Return the number of leaves of a tree of `nodes` nodes."""
    leaf_count, left = 0, nodes
    for height in reversed(range(nodes.bit_length())):
        perfect = 2 ** (height + 1) - 1
        if perfect <= left:
            left -= perfect
            leaf_count += 1 << height
    assert left == 0, f"no tree has {nodes} nodes"
    return leaf_count


def node_key(epoch: int, position: int) -> bytes:
    """Return the store key of a node."""
    return epoch.to_bytes(4, "big") + position.to_bytes(8, "big")


def extend(peaks: Peaks, transactions: Iterable[bytes]) -> tuple[Peaks, tuple[Hash32, ...]]:
    """Append encoded transactions; return the new peaks and all new nodes in order of position."""
    leaf_count, row, nodes = peaks.leaf_count, list(peaks.hashes), []
    for transaction in transactions:
        node = leaf_hash(transaction)
        nodes.append(node)
        size = leaf_count
        while size & 1:
            node = inner_hash(row.pop(), node)
            nodes.append(node)
            size >>= 1
        row.append(node)
        leaf_count += 1
    return Peaks(leaf_count, tuple(row)), tuple(nodes)


def load_leaf_count(reader: Reader, epoch: int) -> int:
    """Return the number of transactions in an epoch's stored tree."""
    newest = reader.scan(Table.HISTORY, node_key(epoch, 0), node_key(epoch + 1, 0), reverse=True)
    key, _ = next(newest, (None, b""))
    return 0 if key is None else leaf_count_of(int.from_bytes(key[4:], "big") + 1)


def load_peaks(reader: Reader, epoch: int) -> Peaks:
    """Return the peaks of an epoch's stored tree."""
    leaf_count = load_leaf_count(reader, epoch)
    return Peaks(leaf_count, load_nodes(reader, epoch, peak_positions(leaf_count)))


def root(reader: Reader, epoch: int) -> Hash32:
    """Return the history root of an epoch so far."""
    return load_peaks(reader, epoch).root


def plan(reader: Reader, epoch: int, transactions: Iterable[bytes]) -> HistoryUpdate:
    """Append encoded transactions to an epoch's tree without writing anything."""
    before = load_peaks(reader, epoch)
    after, nodes = extend(before, transactions)
    return HistoryUpdate(
        epoch=epoch, first_position=node_count(before.leaf_count), nodes=nodes, peaks=after
    )


def append(writer: Writer, epoch: int, transactions: Iterable[bytes]) -> Hash32:
    """Append encoded transactions to an epoch's tree and return the new root."""
    planned = plan(writer, epoch, transactions)
    planned.write(writer)
    return planned.root


def truncate(writer: Writer, epoch: int, leaf_count: int) -> Hash32:
    """Go back to the first `leaf_count` leaves and return the root; 0 deletes the tree."""
    start = node_key(epoch, node_count(leaf_count))
    above = [key for key, _ in writer.scan(Table.HISTORY, start, node_key(epoch + 1, 0))]
    for key in above:
        writer.delete(Table.HISTORY, key)
    return root(writer, epoch)


def load_nodes(reader: Reader, epoch: int, positions: Iterable[int]) -> tuple[Hash32, ...]:
    """Return nodes of an epoch's stored tree, which has them."""
    nodes = []
    for position in positions:
        node = reader.get(Table.HISTORY, node_key(epoch, position))
        assert node is not None, f"history tree of epoch {epoch} lacks node {position}"
        nodes.append(Hash32(node))
    return tuple(nodes)
