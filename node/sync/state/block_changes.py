"""What blocks change in the accounts, fetched, checked against their headers, and kept for a while.

asked for accounts at 7         answer comes when the store is at 9
kept: changes of 8, 9           the answer is rolled forward with them before it is written
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from node.accounts.diff import DIFF_DOMAIN, decode_changes
from node.blocks.header import Header
from node.crypto.hashes import hash32
from node.sync.state.target import SyncTarget
from protocols.errors import WireError
from protocols.types import Address, Height

Change: TypeAlias = tuple[Address, bytes | None]
"""An account's new value, None to delete it."""


@dataclass(frozen=True, slots=True)
class BlockChanges:
    """The changes of one block."""

    block: SyncTarget
    changes: tuple[Change, ...]
    """Ascending by address."""


def check_changes(
    headers: Sequence[Header], payloads: Sequence[bytes]
) -> tuple[BlockChanges, ...] | None:
    """Check what a peer says that consecutive blocks change; None if one of them is wrong.

    Args:
        headers: Of the blocks, from our chain.
        payloads: One for each of them.
    """
    checked: list[BlockChanges] = []
    for header, payload in zip(headers, payloads, strict=True):
        if hash32(DIFF_DOMAIN + payload) != header.diff_root:
            return None
        try:
            changes = decode_changes(payload)
        except WireError:
            return None
        checked.append(BlockChanges(SyncTarget.of(header), tuple(changes.items())))
    return tuple(checked)


def merged(blocks: Iterable[BlockChanges]) -> dict[Address, bytes | None]:
    """Return what consecutive blocks change together."""
    return {address: value for block in blocks for address, value in block.changes}


class RecentChanges:
    """The last blocks' changes, as far back as an answer may need them."""

    def __init__(self, max_changes: int) -> None:
        """Begin with none.

        Args:
            max_changes: Of accounts, all blocks together.
        """
        self._max_changes = max_changes
        self._blocks: deque[BlockChanges] = deque()
        self._count = 0
        self._floor: Height = 0
        """Height up to which changes have been forgotten."""

    @property
    def count(self) -> int:
        """Changes that are kept."""
        return self._count

    def add(self, blocks: Iterable[BlockChanges]) -> None:
        """Keep the changes of the next blocks, and forget the oldest if they become too many."""
        for block in blocks:
            self._blocks.append(block)
            self._count += len(block.changes)
        while self._count > self._max_changes:
            self._forget_first()

    def since(self, number: Height) -> tuple[BlockChanges, ...] | None:
        """Return the changes of the blocks above a height; None if some are forgotten."""
        if number < self._floor:
            return None
        return tuple(each for each in self._blocks if each.block.number > number)

    def forget_up_to(self, number: Height) -> None:
        """Forget what lies up to a height, and never give anything that needs it."""
        while self._blocks and self._blocks[0].block.number <= number:
            self._forget_first()
        self._floor = max(self._floor, number)

    def _forget_first(self) -> None:
        block = self._blocks.popleft()
        self._count -= len(block.changes)
        self._floor = block.block.number
