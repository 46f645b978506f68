"""What the sync machines want done. The driver carries it out in order."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from node.blocks.block import Block
from node.blocks.validators import Validators
from node.chain.fetched import FetchedBatch
from node.errors import Fault
from node.net.network import MessageId, Verdict
from node.sync.live.events import LiveEvent
from node.sync.tickets import TicketId
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.head import HeadRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.macro_chain import MacroChainRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import PeerId

Request: TypeAlias = (
    HeadRequest
    | BlockRequest
    | MissingBlocksRequest
    | MacroChainRequest
    | BatchSetRequest
    | HistoryChunkRequest
)


@dataclass(frozen=True, slots=True)
class SendRequest:
    """Ask a peer; answer with one of `Answer`."""

    id: TicketId
    peer: PeerId
    request: Request


@dataclass(frozen=True, slots=True)
class CancelRequest:
    """The answer is no longer wanted."""

    id: TicketId


@dataclass(frozen=True, slots=True)
class CheckQuorum:
    """Verify the quorum signature of a macro block in a worker; answer with QuorumChecked."""

    id: TicketId
    block: Block
    validators: Validators
    """Those of the epoch that the block is in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PushBlocks:
    """Load the voting keys, push the blocks in order, judge the messages before the commit.

    Answer with PushFinished.
    """

    id: TicketId
    blocks: tuple[Block, ...]
    headers: tuple[MessageId, ...] = ()
    """Announcements of the one block of this push: the driver gives them its `verdicts_of`."""
    bodies: tuple[MessageId, ...] = ()
    """Announcements of its body."""
    voting_keys: tuple[bytes, ...] = ()
    """Keys that verifying these blocks will need, not loaded before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AdoptMacroBlocks:
    """Adopt macro blocks without what lies between them. Answer with PushFinished."""

    id: TicketId
    blocks: tuple[Block, ...]
    """Ascending: election blocks of consecutive epochs, then at most one checkpoint."""
    is_trusted: bool = False
    """The first is taken on trust: only a Pico does that, and only above genesis."""


@dataclass(frozen=True, slots=True)
class AdoptBatches:
    """Adopt whole batches that a history sync has put together. Answer with PushFinished."""

    id: TicketId
    batches: tuple[FetchedBatch, ...]
    """Consecutive, from the one above our macro head."""


@dataclass(frozen=True, slots=True)
class ResetChain:
    """Throw away all that is above genesis, which was false. Answer with PushFinished."""

    id: TicketId


@dataclass(frozen=True, slots=True)
class Resolve:
    """Give a gossip message its one verdict."""

    message: MessageId
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ReportPeer:
    """Take score from a peer."""

    peer: PeerId
    fault: Fault


class DisconnectReason(Enum):
    """Why we end a connection that works."""

    DRIFTED = "drifted"
    """Out of both windows for longer than tolerated, and coming no closer."""


@dataclass(frozen=True, slots=True)
class DisconnectPeer:
    """Close the connection to a peer."""

    peer: PeerId
    reason: DisconnectReason


@dataclass(frozen=True, slots=True)
class ConsensusEstablished:
    """We agree with enough peers on the head."""


@dataclass(frozen=True, slots=True)
class ConsensusLost:
    """Too few live peers are left to say so."""


SyncEvent: TypeAlias = LiveEvent | ConsensusEstablished | ConsensusLost


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the consumers of this service."""

    event: SyncEvent


Effect: TypeAlias = (
    SendRequest
    | CancelRequest
    | CheckQuorum
    | PushBlocks
    | AdoptMacroBlocks
    | AdoptBatches
    | ResetChain
    | Resolve
    | ReportPeer
    | DisconnectPeer
    | Emit
)
