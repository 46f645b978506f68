"""Events and effects of the macro machine."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from node.validator.macro_values import MacroContent, MacroRecord, OwnVote, SignedProposal
from protocols.messages.votes import Vote, VoteMessage
from protocols.types import Hash32


@dataclass(frozen=True, slots=True)
class ParentReached:
    """The head is now the block below the macro block, or another one at that height."""

    parent: Hash32
    opens_at: float
    """When round 0 may start: a block separation after the parent. Monotonic clock, seconds."""
    proposer_of: Callable[[int], int] = field(compare=False)
    """Round -> position of its proposer among the validators, on top of this parent."""


@dataclass(frozen=True, slots=True)
class Halted:
    """The head is elsewhere, or consensus is lost: sign nothing until `ParentReached`."""


@dataclass(frozen=True, slots=True)
class ProposalArrived:
    """A proposal with a verified signature."""

    proposal: SignedProposal


@dataclass(frozen=True, slots=True)
class VoteArrived:
    """A vote with a verified signature; our own come this way too, once they are stored."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class ContentCreated:
    """Answer to `CreateContent`."""

    round: int
    content: MacroContent


@dataclass(frozen=True, slots=True)
class ContentChecked:
    """Answer to `CheckContent`."""

    round: int
    block: Hash32
    is_valid: bool


@dataclass(frozen=True, slots=True)
class ProposalSigned:
    """Answer to `SignProposal`."""

    proposal: SignedProposal


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time of `next_deadline` has come."""


MacroEvent: TypeAlias = (
    ParentReached
    | Halted
    | ProposalArrived
    | VoteArrived
    | ContentCreated
    | ContentChecked
    | ProposalSigned
    | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class CreateContent:
    """Make a macro block on the head for this round. No answer if the head has moved."""

    round: int


@dataclass(frozen=True, slots=True)
class CheckContent:
    """Verify and execute a proposed block above its parent. No answer if that is not stored."""

    round: int
    content: MacroContent


@dataclass(frozen=True, slots=True)
class SignProposal:
    """Sign this block as the proposer of a round. Nothing is published yet."""

    round: int
    valid_round: int | None
    content: MacroContent


@dataclass(frozen=True, slots=True)
class PublishProposal:
    """Store the record durably, then publish the proposal."""

    proposal: SignedProposal
    record: MacroRecord


@dataclass(frozen=True, slots=True)
class CastVote:
    """Store the record durably, then sign, publish and count the vote."""

    vote: OwnVote
    record: MacroRecord


@dataclass(frozen=True, slots=True)
class Repeat:
    """Publish again: gossip may have lost it, or somebody has come late.

    Own votes are given without signature: after a restart they have to be signed again, which
    gives the same bytes. They count like new ones.
    """

    own_votes: tuple[OwnVote, ...]
    messages: tuple[VoteMessage, ...]


@dataclass(frozen=True, slots=True)
class Decide:
    """A quorum has precommitted: the block is final. The machine is done."""

    content: MacroContent
    round: int
    """Round of the precommits."""
    precommits: tuple[tuple[int, bytes], ...]
    """(validator, BLS signature), by ascending validator."""


MacroEffect: TypeAlias = (
    CreateContent | CheckContent | SignProposal | PublishProposal | CastVote | Repeat | Decide
)
