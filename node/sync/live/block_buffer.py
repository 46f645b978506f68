"""Blocks that wait for their parents, bounded by count, bytes, and per peer and height.

An entry is one block hash. It may hold several *copies*: blocks of the same hash with different
justifications, of which only one may be good. The hash covers the header alone, so a forged copy
must not keep the good one out. Each peer has at most one of them: an honest one has checked its
own, and a liar's further forgeries would take the room of others.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from node.blocks.block import Block
from node.net.network import MessageId
from node.sync.live.config import QueueConfig
from protocols.types import Hash32, Height, PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcedBlock:
    """A block and where it came from."""

    block: Block
    peer: PeerId
    headers: tuple[MessageId, ...] = ()
    """Announcements of its header and justification that wait for a verdict."""
    bodies: tuple[MessageId, ...] = ()
    """Announcements of its body. Neither these nor those: the block was requested."""

    @property
    def messages(self) -> tuple[MessageId, ...]:
        """All announcements that wait for a verdict."""
        return self.headers + self.bodies

    @property
    def is_announced(self) -> bool:
        """Whether it came over gossip."""
        return bool(self.headers or self.bodies)

    @property
    def size_bytes(self) -> int:
        """Bytes of header and body: what buffering it costs."""
        body = self.block.body
        return len(self.block.header.encoded) + (0 if body is None else len(body.encoded))


@dataclass(slots=True)
class Entry:
    """All copies of one buffered block."""

    copies: list[SourcedBlock] = field(default_factory=list)

    @property
    def block(self) -> Block:
        """The first copy's block."""
        return self.copies[0].block

    @property
    def messages(self) -> tuple[MessageId, ...]:
        """All announcements that wait for its verdict."""
        return tuple(message for copy in self.copies for message in copy.messages)


@dataclass(frozen=True, slots=True)
class Overflow:
    """What had no room."""

    messages: tuple[MessageId, ...]
    """Their announcements, to be ignored."""
    blocks: tuple[Hash32, ...] = ()
    """Entries that were thrown out whole."""


class BlockBuffer:
    """Holds entries by hash, finds children and gaps, and throws out what is over a bound."""

    def __init__(self, config: QueueConfig) -> None:
        self._config = config
        self._entries: dict[Hash32, Entry] = {}
        self._children: dict[Hash32, list[Hash32]] = {}
        self._copies_by_peer: Counter[PeerId] = Counter()
        self._announced: Counter[tuple[PeerId, Height]] = Counter()
        self.size_bytes = 0

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __contains__(self, block: Hash32) -> bool:
        """Tell whether a block is buffered."""
        return block in self._entries

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries in the order in which they came."""
        return iter(self._entries.values())

    def first_copy(self, block: Hash32) -> Block | None:
        """Return a buffered block as it came first."""
        entry = self._entries.get(block)
        return None if entry is None else entry.block

    def sender(self, block: Hash32) -> PeerId:
        """Return who sent the first copy of a buffered block."""
        return self._entries[block].copies[0].peer

    def has_child_of(self, parent: Hash32) -> bool:
        """Tell whether a block with this parent is buffered."""
        return parent in self._children

    def add(self, copy: SourcedBlock, *, head: Height) -> Overflow:
        """Keep a block, or throw it or others out.

        Args:
            copy: What came.
            head: Height of our head: what is furthest from it goes first.
        """
        entry = self._entries.get(copy.block.hash)
        if entry is not None and (merged := self._merge(entry, copy)) is not None:
            return merged
        if not self._has_room(entry, copy):
            return Overflow(copy.messages)
        if entry is None:
            entry = self._entries[copy.block.hash] = Entry()
            self._children.setdefault(copy.block.parent_hash, []).append(copy.block.hash)
        entry.copies.append(copy)
        self._count(copy, 1)
        messages: list[MessageId] = []
        blocks: list[Hash32] = []
        while self._is_over():
            evicted = self._evict(head)
            messages += evicted.messages
            blocks += evicted.blocks
        return Overflow(tuple(messages), tuple(blocks))

    def pop(self, block: Hash32) -> Entry | None:
        """Take an entry out."""
        entry = self._entries.pop(block, None)
        if entry is None:
            return None
        for copy in entry.copies:
            self._count(copy, -1)
        self._forget_child(entry.block)
        return entry

    def children(self, parent: Hash32) -> tuple[Hash32, ...]:
        """Return the buffered blocks with this parent, in the order in which they came."""
        return tuple(self._children.get(parent, ()))

    def descendants(self, ancestor: Hash32) -> list[Hash32]:
        """Return the buffered blocks above a block, each after its parent, by height."""
        found: list[Hash32] = []
        layer = self.children(ancestor)
        while layer:
            found += layer
            layer = tuple(child for parent in layer for child in self.children(parent))
        return found

    def up_to(self, height: Height) -> list[Block]:
        """Return the buffered blocks that are not above a height, ascending."""
        low = [entry.block for entry in self if entry.block.number <= height]
        return sorted(low, key=lambda block: block.number)

    def earliest_missing(self, block: Block) -> Hash32:
        """Return the nearest ancestor that is not buffered."""
        while (entry := self._entries.get(block.parent_hash)) is not None:
            block = entry.block
        return block.parent_hash

    def _merge(self, entry: Entry, copy: SourcedBlock) -> Overflow | None:
        """Add the messages of an equal copy to it; None if there is no equal copy."""
        for index, known in enumerate(entry.copies):
            if known.block.justification != copy.block.justification:
                continue
            if len(entry.messages) + len(copy.messages) > self._config.messages_per_block:
                return Overflow(copy.messages)
            self._count(known, -1)
            merged = replace(
                known, headers=known.headers + copy.headers, bodies=known.bodies + copy.bodies
            )
            entry.copies[index] = merged
            self._count(merged, 1)
            return Overflow(())
        return None

    def _has_room(self, entry: Entry | None, copy: SourcedBlock) -> bool:
        if entry is not None:
            if len(entry.copies) >= self._config.copies_per_block:
                return False
            if any(known.peer == copy.peer for known in entry.copies):
                return False
            room = self._config.messages_per_block - len(entry.messages)
            if len(copy.messages) > room:
                return False
        if not copy.is_announced:
            return True
        count = self._announced[copy.peer, copy.block.number]
        return count < self._config.blocks_per_peer_and_height

    def _is_over(self) -> bool:
        too_many = self._copies_by_peer.total() > self._config.buffer_max
        return too_many or self.size_bytes > self._config.buffer_max_bytes

    def _evict(self, head: Height) -> Overflow:
        """Drop the copy that is furthest from the head, of the peer that has the most."""
        # Ties go to the first peer counted, so equal runs evict alike.
        peer = max(self._copies_by_peer, key=self._copies_by_peer.__getitem__)
        owned = [entry for entry in self if any(copy.peer == peer for copy in entry.copies)]
        entry = max(owned, key=lambda each: abs(each.block.number - head))
        copy = next(copy for copy in reversed(entry.copies) if copy.peer == peer)
        if len(entry.copies) == 1:
            self.pop(copy.block.hash)
            return Overflow(copy.messages, (copy.block.hash,))
        entry.copies.remove(copy)
        self._count(copy, -1)
        return Overflow(copy.messages)

    def _count(self, copy: SourcedBlock, sign: int) -> None:
        self.size_bytes += sign * copy.size_bytes
        self._copies_by_peer[copy.peer] += sign
        if not self._copies_by_peer[copy.peer]:
            del self._copies_by_peer[copy.peer]
        if not copy.is_announced:
            return
        key = copy.peer, copy.block.number
        self._announced[key] += sign
        if not self._announced[key]:
            del self._announced[key]

    def _forget_child(self, block: Block) -> None:
        siblings = self._children[block.parent_hash]
        siblings.remove(block.hash)
        if not siblings:
            del self._children[block.parent_hash]
