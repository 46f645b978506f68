"""Headers of the newest blocks, decoded, by hash.

The queue asks for parents and for known hashes all the time, mostly of the last batch. A miss is
answered by the store, so the bound costs time and never truth.
"""

from collections.abc import Iterable
from threading import Lock
from typing import Final

from node.blocks.block import Block
from protocols.types import Hash32

RECENT_BLOCKS: Final = 1024
"""Several batches with their forks, at about 2 KB each."""


class RecentBlocks:
    """Holds the blocks pushed last, without bodies. Readable from any thread, one writer.

    Only committed blocks come in, and only from the writer: a reader that filled the cache from an
    older snapshot could bring back a block that has been deleted since.
    """

    def __init__(self, capacity: int = RECENT_BLOCKS) -> None:
        self._capacity = capacity
        self._blocks: dict[Hash32, Block] = {}
        self._lock = Lock()

    def get(self, block: Hash32) -> Block | None:
        """Return a block without its body, or None if it is not among the newest."""
        return self._blocks.get(block)

    def replace(self, *, added: Iterable[Block], deleted: Iterable[Hash32]) -> None:
        """Take in what a commit has added and forget what it has deleted."""
        with self._lock:
            for block_hash in deleted:
                self._blocks.pop(block_hash, None)
            for block in added:
                self._blocks[block.hash] = block
            while len(self._blocks) > self._capacity:
                del self._blocks[next(iter(self._blocks))]
