"""One epoch on its way in, or what there is of it up to a checkpoint.

    ASKED --sound set--> OPEN --all batches adopted--> done, or ASKED for what the set left out
      ^                    |
      +--the set is wrong--+

A batch set (macro blocks and history lengths) says which batches there are. Each batch needs the
headers between its macro blocks and its part of the epoch's transactions, which come in chunks that
do not care about batches. What is held of the chunks ends where the window of batches ends, so an
epoch is never held as a whole.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.chain.fetched import FetchedBatch
from node.sync.inputs import BatchSetArrived, BlocksArrived, HistoryChunkArrived
from node.sync.macro.history_answers import Origin
from node.sync.macro.history_items import BodyItem, HeadersItem, Item, LeavesItem, SetItem
from node.sync.macro.target import Target
from protocols.messages.history_chunk import MAX_TRANSACTION_BYTES
from protocols.types import Hash32, Height, PeerId

MICRO_BLOCK_BYTES: Final = 1024
"""A micro header has at most 450 bytes, its justification 256."""

BATCH_OVERHEAD_BYTES: Final = 1024
"""What a macro block counts while it is held."""


@dataclass(slots=True, eq=False)
class Batch:
    """One batch of a set."""

    macro: Block
    previous: Hash32
    """The macro block below."""
    length: int
    """Blocks, the macro block included."""
    first_leaf: int
    end_leaf: int
    """Its transactions are the leaves from `first_leaf` up to, not including, this one."""
    blocks: tuple[Block, ...] = ()
    """Micro blocks, ascending; none until they have come."""
    sender: PeerId | None = None
    """Who sent them."""
    bodies: dict[Hash32, MicroBody] = field(default_factory=dict)
    missing_body: Hash32 | None = None
    """The chain wants this body whole."""
    size_bytes: int = 0
    """Of headers and bodies."""

    @property
    def number(self) -> Height:
        """Height of its macro block."""
        return self.macro.number

    @property
    def reserve_bytes(self) -> int:
        """The largest sound answer with its headers."""
        return self.length * MICRO_BLOCK_BYTES + len(self.macro.header.encoded)

    @property
    def headers_item(self) -> HeadersItem:
        """The question for its headers."""
        return HeadersItem(self.number, self.macro.hash, self.previous)

    def take_blocks(self, answer: BlocksArrived, sender: PeerId) -> None:
        """Keep its headers; the last is the macro block."""
        self.blocks, self.sender = answer.blocks[:-1], sender
        self.size_bytes += answer.size_bytes

    def take_body(self, block: Hash32, body: MicroBody) -> None:
        """Keep a body that the chain wanted whole."""
        self.bodies[block] = body
        self.missing_body = None
        self.size_bytes += len(body.encoded)

    def forget_blocks(self) -> None:
        """Have the headers fetched again, and what came with them."""
        self.blocks, self.sender, self.size_bytes = (), None, 0
        self.bodies, self.missing_body = {}, None


@dataclass(frozen=True, slots=True)
class Chunk:
    """Transactions of the epoch, proven to be its leaves."""

    transactions: tuple[Transaction, ...]
    sender: PeerId
    size_bytes: int


@dataclass(slots=True, eq=False)
class BatchSet:
    """What one answer has said of the epoch, and what has come for it."""

    owner: PeerId
    """Who sent it: what is wrong with it is this peer's fault."""
    size_bytes: int
    origin: Origin
    end: Origin
    """What a set after it continues."""
    batches: deque[Batch]
    """Those not adopted, ascending."""
    chunk_leaves: int
    """Transactions in a chunk; the last of the set may have fewer."""
    chunks: dict[int, Chunk] = field(default_factory=dict)
    """By their first leaf."""
    refusals: dict[PeerId, Height] = field(default_factory=dict)
    """Peers that do not have what the set speaks of, with the height of what they were asked for.
    Either they lie or its owner does."""

    @property
    def content_bytes(self) -> int:
        """What it holds besides the set itself."""
        content = sum(batch.size_bytes for batch in self.batches)
        return content + sum(chunk.size_bytes for chunk in self.chunks.values())

    def leaves_items(self, batch: Batch) -> Iterator[LeavesItem]:
        """Yield the questions for the transactions of a batch that are not there."""
        for first in self._firsts(batch):
            if first not in self.chunks:
                limit = min(self.chunk_leaves, self.end.history_length - first)
                yield LeavesItem(self.end.number, self.end.hash, first, limit)

    def is_whole(self, batch: Batch) -> bool:
        """Tell whether a batch can be adopted."""
        if not batch.blocks or batch.missing_body is not None:
            return False
        return all(first in self.chunks for first in self._firsts(batch))

    def fetched(self, batch: Batch) -> FetchedBatch:
        """Put a whole batch together."""
        transactions: list[Transaction] = []
        for first in self._firsts(batch):
            start, end = max(batch.first_leaf - first, 0), batch.end_leaf - first
            transactions += self.chunks[first].transactions[start:end]
        return FetchedBatch(
            macro=batch.macro,
            blocks=batch.blocks,
            transactions=tuple(transactions),
            bodies=dict(batch.bodies),
        )

    def senders(self, batch: Batch) -> tuple[PeerId, ...]:
        """Return who has sent something of a whole batch: the set, the headers, the leaves."""
        assert batch.sender is not None
        chunks = (self.chunks[first].sender for first in self._firsts(batch))
        return (self.owner, batch.sender, *chunks)

    def weight_of(self, batch: Batch) -> int:
        """Return about how much a whole batch weighs."""
        weight = batch.size_bytes + BATCH_OVERHEAD_BYTES
        for first in self._firsts(batch):
            chunk = self.chunks[first]
            share = min(batch.end_leaf, first + self.chunk_leaves) - max(batch.first_leaf, first)
            weight += chunk.size_bytes * share // len(chunk.transactions)
        return weight

    def take_leaves(self, item: LeavesItem, answer: HistoryChunkArrived, sender: PeerId) -> None:
        """Keep a chunk, unless what it is for has been adopted from elsewhere."""
        if self.batches and item.first + item.limit > self.batches[0].first_leaf:
            self.chunks[item.first] = Chunk(answer.transactions, sender, answer.size_bytes)

    def drop_adopted(self, number: Height) -> None:
        """Forget what lies up to a height."""
        while self.batches and self.batches[0].number <= number:
            self.batches.popleft()
        first_leaf = self.batches[0].first_leaf if self.batches else self.end.history_length
        for first in [each for each in self.chunks if each + self.chunk_leaves <= first_leaf]:
            del self.chunks[first]

    def forget_sender(self, peer: PeerId) -> None:
        """Have headers of a liar fetched again: no hash covers the signatures below them."""
        for batch in self.batches:
            if batch.sender == peer:
                batch.forget_blocks()

    def _firsts(self, batch: Batch) -> range:
        """Return the first leaves of the chunks that a batch needs."""
        if batch.first_leaf == batch.end_leaf:
            return range(0)
        base = self.origin.history_length
        start = batch.first_leaf - (batch.first_leaf - base) % self.chunk_leaves
        return range(start, batch.end_leaf, self.chunk_leaves)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Something that is missing."""

    item: Item
    download: "EpochDownload"
    part: BatchSet | None = None
    """The set that speaks of it; None for a set itself."""
    batch: Batch | None = None
    """The batch that it is needed for first."""
    reserve_bytes: int = 0
    """The largest sound answer. Sets are bounded by their number, and whole bodies are wanted only
    of the next batch to adopt, which is bounded by itself."""


class EpochDownload:
    """Batch sets that lead from an origin to a target, and what has come for them.

    Args:
        target: An election block or a checkpoint.
        origin: The macro block below, which is ours or the target of another download.
        chunk_leaves: Transactions to be asked for at once.
    """

    def __init__(self, target: Target, origin: Origin, chunk_leaves: int) -> None:
        self.target = target
        self.parts: deque[BatchSet] = deque()
        self.peers: tuple[PeerId, ...] = ()
        """Those that claim to have the target."""
        self._origin = origin
        self._chunk_leaves = chunk_leaves

    @property
    def end(self) -> Origin:
        """How far the sets lead."""
        return self.parts[-1].end if self.parts else self._origin

    @property
    def content_bytes(self) -> int:
        """What it holds besides the sets themselves."""
        return sum(part.content_bytes for part in self.parts)

    @property
    def held_bytes(self) -> int:
        """All that it holds."""
        return self.content_bytes + sum(part.size_bytes for part in self.parts)

    def continues(self, origin: Origin) -> bool:
        """Tell whether a macro block is the origin, or above it in this epoch."""
        return self._origin.election == origin.election and self._origin.number <= origin.number

    def wanted(self, *, content_until: Height, sets_until: Height) -> Iterator[Wanted]:
        """Yield what is missing, that of lower batches first.

        Args:
            content_until: Nothing of batches above this height.
            sets_until: No batch set that starts above this height.
        """
        for part, batch in self._batches():
            if batch.number > content_until:
                break
            if not batch.blocks:
                yield Wanted(batch.headers_item, self, part, batch, batch.reserve_bytes)
            for item in part.leaves_items(batch):
                yield Wanted(item, self, part, batch, item.limit * MAX_TRANSACTION_BYTES)
            if batch.missing_body is not None:
                yield Wanted(BodyItem(batch.number, batch.missing_body), self, part, batch)
        if self.end.number < min(self.target.height, sets_until + 1):
            yield Wanted(SetItem(self.target, self.end.number), self)

    def whole(self) -> Iterator[tuple[BatchSet, Batch]]:
        """Yield the batches at the beginning that can be adopted."""
        for part, batch in self._batches():
            if not part.is_whole(batch):
                return
            yield part, batch

    def take_set(self, answer: BatchSetArrived, owner: PeerId) -> None:
        """Open a sound batch set."""
        before = self.end
        batches: deque[Batch] = deque()
        previous, number, length = before.hash, before.number, before.history_length
        for block, history_length in answer.batches:
            batches.append(Batch(block, previous, block.number - number, length, history_length))
            previous, number, length = block.hash, block.number, history_length
        last = batches[-1].macro
        end = Origin(
            number=last.number,
            hash=last.hash,
            election=before.election,
            history_length=length,
            history_root=last.header.history_root,
        )
        self.parts.append(
            BatchSet(owner, answer.size_bytes, before, end, batches, self._chunk_leaves)
        )

    def advance(self, origin: Origin) -> PeerId | None:
        """Note that the chain has come to a macro block of this epoch.

        Returns:
            The owner of a set that says something else than our chain; the set is dropped.
        """
        self._origin = origin
        while self.parts and self.parts[0].end.number <= origin.number:
            self.parts.popleft()
        if not self.parts:
            return None
        part = self.parts[0]
        part.drop_adopted(origin.number)
        first = part.batches[0]
        if (first.previous, first.first_leaf) == (origin.hash, origin.history_length):
            return None
        self.parts.clear()
        return part.owner

    def drop(self, part: BatchSet) -> None:
        """Forget a set, and what hangs from it."""
        while part in self.parts:
            self.parts.pop()

    def drop_refused(self) -> None:
        """Forget the sets that nobody is left to ask about."""
        for part in tuple(self.parts):
            if part.refusals.keys() >= set(self.peers):
                self.drop(part)

    def forget_peer(self, peer: PeerId) -> None:
        """Have all fetched again that a liar has sent."""
        for part in tuple(self.parts):
            if part.owner == peer:
                self.drop(part)
            else:
                part.forget_sender(peer)

    def _batches(self) -> Iterator[tuple[BatchSet, Batch]]:
        for part in self.parts:
            for batch in part.batches:
                yield part, batch
