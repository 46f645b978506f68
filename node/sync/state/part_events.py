"""What happens to the machines that fetch the window and the history, and what they want done.

Each has a driver of its own: ids name its questions and jobs among themselves.
"""

from dataclasses import dataclass
from typing import TypeAlias

from node.blocks.block import Block
from node.chain.results import InvalidBlock
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state.state_events import (
    CancelQuestion,
    ServerJoined,
    ServerLeft,
    StateFailed,
    StateRefused,
    TargetReached,
    TargetTooOld,
)
from protocols.types import Hash32, Height, PeerId


@dataclass(frozen=True, slots=True)
class BlocksArrived:
    """Answers AskBlocks: decoded blocks, descending, none of them looked at."""

    id: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class LowestFound:
    """Answers FindLowest."""

    id: int
    block: Block | None
    """As `Chain.lowest_whole` gives it."""


@dataclass(frozen=True, slots=True)
class BatchStored:
    """Answers StoreBatch."""

    id: int
    invalid: InvalidBlock | None
    """As `Chain.store_batch` gives it."""
    lowest: Block | None = None
    """The lowest block that is stored whole with all between it and the batch, without its body;
    None if that is the batch's own."""


@dataclass(frozen=True, slots=True)
class PeaksArrived:
    """Answers AskPeaks."""

    id: int
    leaf_count: int
    peaks: tuple[Hash32, ...]
    """As many as bits are set in the leaf count."""


PartInput: TypeAlias = ServerJoined | ServerLeft | StateRefused | StateFailed | DeadlinePassed
"""What happens to both of them."""

BlockInput: TypeAlias = PartInput | BlocksArrived | LowestFound | BatchStored
HistoryInput: TypeAlias = PartInput | PeaksArrived


@dataclass(frozen=True, slots=True)
class AskBlocks:
    """Ask for blocks with bodies from this one down, without locators.

    Answered by BlocksArrived, StateRefused or StateFailed.
    """

    id: int
    peer: PeerId
    first: Hash32


@dataclass(frozen=True, slots=True)
class FindLowest:
    """Look in the store for what is there below a target, in a worker."""

    id: int
    target: Height


@dataclass(frozen=True, slots=True)
class StoreBatch:
    """Check and store the blocks of a batch, in a worker."""

    id: int
    blocks: tuple[Block, ...]
    """Descending, the macro block below them last; or only a macro block."""


@dataclass(frozen=True, slots=True)
class AskPeaks:
    """Ask for a history. Answered by PeaksArrived, StateRefused or StateFailed."""

    id: int
    peer: PeerId
    verifier: Hash32


PartEffect: TypeAlias = CancelQuestion | ReportPeer | TargetReached | TargetTooOld
"""What both of them want."""

BlockEffect: TypeAlias = PartEffect | AskBlocks | FindLowest | StoreBatch
HistoryEffect: TypeAlias = PartEffect | AskPeaks
