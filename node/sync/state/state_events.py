"""What happens to the machine that fetches the accounts, and what it wants done.

It has a driver of its own: ids name its questions, checks and jobs among themselves. An answer
repeats the id of what it answers; an unknown one is late.
"""

from dataclasses import dataclass
from typing import TypeAlias

from node.accounts.pages import Place
from node.accounts.range_proof import Verified
from node.accounts.records import Records
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state.block_changes import BlockChanges
from node.sync.state.coverage import Span
from node.sync.state.repair import Differing, Wanted
from node.sync.state.state_store import ProvenPart, StoredSync
from node.sync.state.target import SyncTarget
from protocols.messages.state_range import ProvenRange
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height, PeerId

Id: TypeAlias = int

# --- what happens ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TargetChosen:
    """The state after this block is wanted. One that is not above the last changes nothing."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class ServerJoined:
    """A peer that serves state may be asked."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class ServerLeft:
    """A peer is gone, or does not serve state any more."""

    peer: PeerId


@dataclass(frozen=True, slots=True)
class RangeArrived:
    """Answers AskRange; decoded, its two parts not looked at."""

    id: Id
    answer: ProvenRange


@dataclass(frozen=True, slots=True)
class ChangesArrived:
    """Answers AskChanges: the changes of each block from the first on."""

    id: Id
    changes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class SubtreesArrived:
    """Answers AskSubtrees: nodes of the first of the places, at least one."""

    id: Id
    nodes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class StateUnavailable:
    """The peer cannot present the state that was asked for, only those between two heights."""

    id: Id
    oldest: Height
    newest: Height


@dataclass(frozen=True, slots=True)
class StateRefused:
    """The peer answered with a named refusal."""

    id: Id
    status: ResponseStatus


@dataclass(frozen=True, slots=True)
class StateFailed:
    """There was no answer, or one that does not decode, for which the peer has been reported."""

    id: Id


@dataclass(frozen=True, slots=True)
class RangeChecked:
    """Answers CheckRange."""

    id: Id
    records: Records | None
    """None if nothing is proven."""
    verified: Verified | None


@dataclass(frozen=True, slots=True)
class ChangesChecked:
    """Answers CheckChanges."""

    id: Id
    blocks: tuple[BlockChanges, ...] | None
    """None if one of them is not what its header commits to."""
    are_known: bool = True
    """False if our chain has forgotten a header, so that nothing can be said of them."""


@dataclass(frozen=True, slots=True)
class SubtreesCompared:
    """Answers CompareSubtrees."""

    id: Id
    differing: tuple[Differing, ...] | None
    """None if a node is not the one that was asked for."""


@dataclass(frozen=True, slots=True)
class JobDone:
    """A transaction of a job is committed."""

    id: Id
    stored: StoredSync
    """What it has left."""
    is_complete: bool = True
    """Whether it is done, and another one like it need not go on."""


StateInput: TypeAlias = (
    TargetChosen
    | ServerJoined
    | ServerLeft
    | RangeArrived
    | ChangesArrived
    | SubtreesArrived
    | StateUnavailable
    | StateRefused
    | StateFailed
    | RangeChecked
    | ChangesChecked
    | SubtreesCompared
    | JobDone
    | DeadlinePassed
)

# --- what is to be done ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AskRange:
    """Ask for accounts. Answered by RangeArrived, StateUnavailable, StateRefused, StateFailed."""

    id: Id
    peer: PeerId
    target: SyncTarget
    span: Span
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskChanges:
    """Ask what blocks change. Answered by ChangesArrived, StateRefused or StateFailed."""

    id: Id
    peer: PeerId
    first: Height
    target: SyncTarget
    """The last block, or one above what an answer holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AskSubtrees:
    """Ask for nodes of a state's trie. Answered as AskRange is, by SubtreesArrived."""

    id: Id
    peer: PeerId
    target: SyncTarget
    places: tuple[Place, ...]


@dataclass(frozen=True, slots=True)
class CancelQuestion:
    """The answer is no longer wanted."""

    id: Id


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckRange:
    """Verify a range in a worker."""

    id: Id
    root: Hash32
    span: Span
    answer: ProvenRange


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckChanges:
    """Compare changes with the headers of our chain from a height on, in a worker."""

    id: Id
    first: Height
    changes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareSubtrees:
    """Verify nodes and compare them with the stored trie, in a worker."""

    id: Id
    wanted: tuple[Wanted, ...]
    nodes: tuple[bytes, ...]
    """As many."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Job: forget what was fetched, and set the first target."""

    id: Id
    target: SyncTarget


@dataclass(frozen=True, slots=True)
class WriteParts:
    """Job: write proven ranges."""

    id: Id
    parts: tuple[ProvenPart, ...]


@dataclass(frozen=True, slots=True)
class ApplyBlocks:
    """Job: move the target over these blocks."""

    id: Id
    blocks: tuple[BlockChanges, ...]


@dataclass(frozen=True, slots=True)
class Build:
    """Job: make branches, and compare the root when none is missing."""

    id: Id
    accounts: int
    """After how many to stop, about; another job goes on."""


@dataclass(frozen=True, slots=True)
class KeepEqual:
    """Job: set a target from which only these ranges differ."""

    id: Id
    target: SyncTarget
    differing: tuple[Span, ...]


Job: TypeAlias = Begin | WriteParts | ApplyBlocks | Build | KeepEqual
"""One transaction each, in a worker, answered with JobDone. One at a time."""


@dataclass(frozen=True, slots=True)
class TargetReached:
    """The stored accounts are the target's, with branches, and the root was compared."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class TargetTooOld:
    """Nobody can present the target's state any more: another target is needed."""

    target: SyncTarget


@dataclass(frozen=True, slots=True)
class TargetPassed:
    """What is stored belongs to a block above the one wanted: this one, or a later one, it must be.

    A process can end after the accounts have moved and before the target has, elsewhere.
    """

    stored: SyncTarget


@dataclass(frozen=True, slots=True)
class RepairStarted:
    """What is stored is compared with a target's state; what differs is fetched again. Log it."""

    cause: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """Everything is fetched again. Log it."""

    cause: str


StateEffect: TypeAlias = (
    AskRange
    | AskChanges
    | AskSubtrees
    | CancelQuestion
    | CheckRange
    | CheckChanges
    | CompareSubtrees
    | Job
    | ReportPeer
    | TargetReached
    | TargetTooOld
    | TargetPassed
    | RepairStarted
    | Restarted
)
