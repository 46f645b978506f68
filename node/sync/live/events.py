"""What block live sync tells the rest of the node: pushes that ended, peers that drifted away."""

from dataclasses import dataclass
from typing import TypeAlias

from node.chain.results import BlockError
from protocols.types import Hash32, PeerId


@dataclass(frozen=True, slots=True)
class AcceptedAnnouncedBlock:
    """A block whose parent was known is on the main chain."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class AcceptedBufferedBlock:
    """A block that waited for its parent is on the main chain."""

    hash: Hash32
    buffer_size: int
    """Blocks that still wait."""


@dataclass(frozen=True, slots=True)
class ReceivedMissingBlocks:
    """Blocks that we asked for have been stored, ascending."""

    hashes: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class RejectedBlock:
    """A block broke a rule, or stands on one that did."""

    hash: Hash32
    error: BlockError | None = None
    """The rule, or None if the fault is an ancestor's or that of the branch."""


PushEvent: TypeAlias = (
    AcceptedAnnouncedBlock | AcceptedBufferedBlock | ReceivedMissingBlocks | RejectedBlock
)


@dataclass(frozen=True, slots=True)
class Behind:
    """A live peer announced a block too far below our head; it is no longer live."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class Ahead:
    """A live peer is no longer live, since its macro head is above ours.

    It announced a block too far above our head, or no longer keeps what we asked it for.
    """

    peer: PeerId


PeerEvent: TypeAlias = Behind | Ahead

LiveEvent: TypeAlias = PushEvent | PeerEvent
