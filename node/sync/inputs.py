"""What happens to the sync machines. The driver feeds all of it to the root, the `Syncer`."""

from dataclasses import dataclass
from typing import TypeAlias

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.body import Body
from node.blocks.header import Header
from node.blocks.justification import Justification
from node.chain.results import ChainEvent, PushResult
from node.net.network import MessageId, PeerJoined, PeerLeft
from node.sync.tickets import TicketId
from protocols.messages.head import HeadResponse
from protocols.messages.macro_chain import MacroChainResponse
from protocols.status import ResponseStatus
from protocols.types import Hash32, PeerId


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderAnnounced:
    """A header came over gossip, within the rate limit and well-formed."""

    message: MessageId
    peer: PeerId
    """The peer that gave it to us."""
    header: Header
    justification: Justification
    received_ms: int
    """Our wall clock, milliseconds since the Unix epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyAnnounced:
    """A body came over gossip, within the rate limit and well-formed."""

    message: MessageId
    peer: PeerId
    block: Hash32
    body: Body


@dataclass(frozen=True, slots=True)
class BlockLearnt:
    """A block that a head poll asked for has come through the block channel."""

    id: TicketId
    block: Block
    peer: PeerId


@dataclass(frozen=True, slots=True)
class HeadArrived:
    """A peer said what its chain ends in."""

    id: TicketId
    head: HeadResponse


@dataclass(frozen=True, slots=True)
class BlocksArrived:
    """A peer sent blocks, decoded and not checked any further."""

    id: TicketId
    blocks: tuple[Block, ...]
    size_bytes: int
    """Length of the whole response."""


@dataclass(frozen=True, slots=True)
class MacroChainArrived:
    """A peer said which macro blocks lead to its newest one."""

    id: TicketId
    chain: MacroChainResponse


@dataclass(frozen=True, slots=True)
class BatchSetArrived:
    """A peer sent macro blocks of an epoch, decoded and not checked any further."""

    id: TicketId
    batches: tuple[tuple[Block, int], ...]
    """Each macro block without its body, and the epoch's history length up to it."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HistoryChunkArrived:
    """A peer sent transactions of an epoch, decoded, with the root that their proof leads to."""

    id: TicketId
    transactions: tuple[Transaction, ...]
    leaf_count: int
    root: Hash32 | None
    """To compare with the verifier's history root; None if the proof does not fit the range."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class RequestRefused:
    """A peer answered with a named refusal."""

    id: TicketId
    status: ResponseStatus


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """There was no answer, or one that does not decode, for which the peer has been reported."""

    id: TicketId


@dataclass(frozen=True, slots=True)
class QuorumChecked:
    """The signature of a macro block at the end of an answer has been verified."""

    id: TicketId
    is_valid: bool


@dataclass(frozen=True, slots=True)
class PushFinished:
    """A push or adoption is committed. After one that failed there are fewer results."""

    id: TicketId
    results: tuple[PushResult, ...]


@dataclass(frozen=True, slots=True)
class ChainChanged:
    """The chain changed, by a push of ours or by somebody else's (a validator's own block)."""

    events: tuple[ChainEvent, ...]
    """In order. A push of a whole batch is one change, not one for each block."""


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time that the machine asked for has come."""


Answer: TypeAlias = (
    HeadArrived
    | BlocksArrived
    | MacroChainArrived
    | BatchSetArrived
    | HistoryChunkArrived
    | RequestRefused
    | RequestFailed
)
SyncInput: TypeAlias = (
    PeerJoined
    | PeerLeft
    | HeaderAnnounced
    | BodyAnnounced
    | BlockLearnt
    | Answer
    | QuorumChecked
    | PushFinished
    | ChainChanged
    | DeadlinePassed
)
