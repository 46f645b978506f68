"""A macro machine for tests: four validators with a slot each, quorum 3; r proposes in round r."""

from node.validator.macro_events import (
    ContentChecked,
    DeadlinePassed,
    MacroEvent,
    ParentReached,
    ProposalArrived,
    VoteArrived,
)
from node.validator.macro_machine import MacroMachine
from node.validator.macro_timeouts import MacroTimeouts
from node.validator.macro_values import (
    MacroContent,
    MacroRecord,
    OwnVote,
    Polka,
    SignedProposal,
)
from protocols.messages.votes import Vote, VoteKind
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.keys import validators
from tests.build.macro import (
    NUMBER,
    PARENT,
    content,
    policy,
    prevote,
    proposal,
    signature,
)

OPENS_AT = 10.0
OTHER_PARENT = digest("other parent")
A = content("a")
B = content("b")
PREVOTE_A = OwnVote(VoteKind.PREVOTE, 0, A.hash)
PREVOTE_NIL = OwnVote(VoteKind.PREVOTE, 0, None)
PRECOMMIT_A = OwnVote(VoteKind.PRECOMMIT, 0, A.hash)
PRECOMMIT_NIL = OwnVote(VoteKind.PRECOMMIT, 0, None)
TIMEOUTS = MacroTimeouts(propose_s=4, vote_s=2, step_s=1, repeat_s=100)


def machine(
    own_index: int = 1, *, restored: MacroRecord | None = None, timeouts: MacroTimeouts = TIMEOUTS
) -> MacroMachine:
    """Return a machine; validator r proposes in round r."""
    return MacroMachine(
        number=NUMBER,
        validators=validators(4),
        own_index=own_index,
        policy=policy(4),
        timeouts=timeouts,
        restored=restored,
    )


def reached(parent: Hash32 = PARENT, *, offset: int = 0) -> ParentReached:
    return ParentReached(parent, OPENS_AT, lambda round_: (round_ + offset) % 4)


def started(own_index: int = 1, *, restored: MacroRecord | None = None) -> MacroMachine:
    """Return a machine in its first round."""
    voter = machine(own_index, restored=restored)
    voter.handle(reached(), 0)
    voter.handle(DeadlinePassed(), OPENS_AT)
    return voter


def feed(voter: MacroMachine, *events: MacroEvent, now: float = OPENS_AT) -> None:
    for event in events:
        voter.handle(event, now)


def votes(*messages: Vote) -> list[VoteArrived]:
    return [VoteArrived(message) for message in messages]


def with_valid_a(own_index: int = 1) -> MacroMachine:
    """Return a machine that has a checked proposal A in round 0, and has prevoted for it."""
    voter = started(own_index)
    feed(voter, ProposalArrived(proposal(A)), ContentChecked(0, A.hash, is_valid=True))
    return voter


def locked_on_a() -> MacroMachine:
    """Return validator 1 with precommit for A in round 0."""
    voter = with_valid_a()
    feed(voter, *votes(prevote(1, A.hash), prevote(0, A.hash), prevote(2, A.hash)))
    return voter


def polka(block: MacroContent, *signers: int, round_: int = 0) -> Polka:
    return Polka(round_, proposal(block), tuple((i, signature(i)) for i in signers))


def record(
    *own_votes: OwnVote,
    round_: int = 0,
    own: SignedProposal | None = None,
    locked: Polka | None = None,
    valid: Polka | None = None,
) -> MacroRecord:
    return MacroRecord(
        number=NUMBER,
        round=round_,
        votes=own_votes,
        proposal=own,
        locked=locked,
        valid=valid or locked,
    )


def in_round(voter: MacroMachine, round_: int, now: float) -> None:
    """Bring a machine to a round by votes of two others that are there."""
    feed(voter, *votes(prevote(2, None, round_=round_), prevote(3, None, round_=round_)), now=now)
    assert voter.round == round_
