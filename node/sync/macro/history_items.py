"""The questions of a history sync, one kind for each thing that it fetches."""

from dataclasses import dataclass
from typing import TypeAlias

from node.sync.macro.target import Target
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import Direction, Hash32, Height

HistoryRequest: TypeAlias = (
    BatchSetRequest | MissingBlocksRequest | HistoryChunkRequest | BlockRequest
)


@dataclass(frozen=True, slots=True)
class SetItem:
    """Macro blocks of an epoch."""

    target: Target
    after: Height

    @property
    def number(self) -> Height:
        """Height of the macro block that whoever answers must have."""
        return self.target.height

    @property
    def request(self) -> HistoryRequest:
        """What is sent."""
        return BatchSetRequest(self.target.hash, self.after)


@dataclass(frozen=True, slots=True)
class HeadersItem:
    """Headers and justifications of a batch."""

    number: Height
    """Of its macro block."""
    macro: Hash32
    previous: Hash32
    """The macro block below."""

    @property
    def request(self) -> HistoryRequest:
        """What is sent."""
        return MissingBlocksRequest(
            target=self.macro,
            with_body=False,
            locators=(self.previous,),
            direction=Direction.FORWARD,
        )


@dataclass(frozen=True, slots=True)
class LeavesItem:
    """Transactions of an epoch."""

    number: Height
    """Of the verifier."""
    verifier: Hash32
    first: int
    limit: int

    @property
    def request(self) -> HistoryRequest:
        """What is sent."""
        return HistoryChunkRequest(verifier=self.verifier, first=self.first, limit=self.limit)


@dataclass(frozen=True, slots=True)
class BodyItem:
    """A whole body: one that holds more than transactions."""

    number: Height
    """Of the macro block above it."""
    block: Hash32

    @property
    def request(self) -> HistoryRequest:
        """What is sent."""
        return BlockRequest(hash=self.block, with_body=True)


Item: TypeAlias = SetItem | HeadersItem | LeavesItem | BodyItem
