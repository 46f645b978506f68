"""What a push ends in, and what the chain tells the rest of the node.

Results and errors are values with names: the queue turns them into gossip verdicts, the log and
the metrics print them, so the text of a member never changes.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from node.blocks.body import EquivocationProof
from protocols.types import Hash32, Height


class BlockError(StrEnum):
    """The rule that a block breaks, in the order in which the rules are checked."""

    WRONG_TYPE = "wrong_type"
    """Header or justification of a kind that does not belong at this height."""
    WRONG_NETWORK = "wrong_network"
    WRONG_VERSION = "wrong_version"
    TOO_LARGE = "too_large"
    """Extra data or body over its limit."""
    WRONG_VALIDATORS = "wrong_validators"
    """Validators without an election or the other way round, or not those that were elected."""
    FROM_FUTURE = "from_future"
    """Timestamp ahead of our clock by more than the tolerated drift."""
    MISSING_BODY = "missing_body"
    WRONG_BODY_ROOT = "wrong_body_root"
    DUPLICATE_TRANSACTION = "duplicate_transaction"
    WRONG_NUMBER = "wrong_number"
    WRONG_PARENT = "wrong_parent"
    WRONG_TIMESTAMP = "wrong_timestamp"
    WRONG_SKIP = "wrong_skip"
    """A skip block with a body, another seed or another time than it must have."""
    WRONG_PRODUCER = "wrong_producer"
    """Not signed by the slot owner of this height."""
    WRONG_SEED = "wrong_seed"
    WRONG_PARENT_ELECTION = "wrong_parent_election"
    WRONG_ROUND = "wrong_round"
    WRONG_PUNISHED_SET = "wrong_punished_set"
    NO_QUORUM = "no_quorum"
    """Aggregate signature invalid or of fewer than a quorum of slots."""
    INVALID_TRANSACTION = "invalid_transaction"
    """Signature, network, amount or validity window of a transaction."""
    INVALID_EQUIVOCATION_PROOF = "invalid_equivocation_proof"
    WRONG_REWARDS = "wrong_rewards"
    INSUFFICIENT_FUNDS = "insufficient_funds"
    WRONG_DIFF_ROOT = "wrong_diff_root"
    WRONG_STATE_ROOT = "wrong_state_root"
    WRONG_HISTORY_ROOT = "wrong_history_root"


class PushOutcome(StrEnum):
    """What became of a valid block."""

    EXTENDED = "extended"
    """It is the new head, child of the old one or, adopted by macro sync, somewhere above it."""
    REBRANCHED = "rebranched"
    """Its branch replaced ours; it is the new head."""
    FORKED = "forked"
    """Stored on a branch that is not ours."""
    KNOWN = "known"
    """Stored before."""
    IGNORED = "ignored"
    """Final blocks are above it, or its branch can never win."""


@dataclass(frozen=True, slots=True)
class Extended:
    """The main chain grew by one block."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class Rebranched:
    """The main chain changed branches. Both lists ascend from the block above the fork point."""

    reverted: tuple[Hash32, ...]
    adopted: tuple[Hash32, ...]


@dataclass(frozen=True, slots=True)
class Stored:
    """A block was stored on a fork."""

    hash: Hash32


@dataclass(frozen=True, slots=True)
class Finalized:
    """A macro block made its ancestors final. All lists ascend by height."""

    hash: Hash32
    number: Height
    accepted: tuple[Hash32, ...]
    """Blocks of the batch that became final, the macro block last."""
    rejected: tuple[Hash32, ...]
    """Stored blocks of closed branches, deleted now."""


@dataclass(frozen=True, slots=True)
class EpochFinalized:
    """An election block became final. Comes after its `Finalized`."""

    hash: Hash32
    number: Height


@dataclass(frozen=True, slots=True)
class HistoryAdopted:
    """A whole batch that a history sync has fetched is on the main chain. Its `Finalized` follows.

    Blocks that stood above the macro block before are no longer there, unless they are in it.
    """

    first: Height
    """Of the batch."""
    last: Height
    """Of the batch: its macro block's."""
    hash: Hash32
    """Of the macro block."""


@dataclass(frozen=True, slots=True)
class EquivocationFound:
    """A producer signed two blocks of one height; both are processed as usual."""

    proof: EquivocationProof


ChainEvent: TypeAlias = (
    Extended | Rebranched | Stored | Finalized | EpochFinalized | HistoryAdopted | EquivocationFound
)


@dataclass(frozen=True, slots=True)
class Pushed:
    """A push that found nothing wrong with the block."""

    outcome: PushOutcome
    events: tuple[ChainEvent, ...] = ()
    is_deferred: bool = False
    """Whether what takes the state is still to be found out: signatures and effects of its
    transactions."""


@dataclass(frozen=True, slots=True)
class Orphan:
    """The parent is not stored. The queue buffers such blocks; it never pushes them."""

    parent: Hash32


@dataclass(frozen=True, slots=True)
class InvalidBlock:
    """The block breaks a rule. Nothing changed."""

    error: BlockError
    hash: Hash32
    """The block that broke it: on a rebranch it may be an ancestor of the one pushed."""


@dataclass(frozen=True, slots=True)
class InvalidFork:
    """The branch leaves the main chain below the last macro block. Never followed."""

    hash: Hash32


PushResult: TypeAlias = Pushed | Orphan | InvalidBlock | InvalidFork
