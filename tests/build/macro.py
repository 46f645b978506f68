"""Proposals and votes without real signatures, for machines that get only verified ones."""

from node.blocks.body import MacroBody
from node.policy import Policy
from node.validator.macro_values import MacroContent, OwnVote, SignedProposal
from protocols.messages.votes import Proposal, Vote, VoteKind
from protocols.types import BLS_SIGNATURE_BYTES, ED25519_SIGNATURE_BYTES, Hash32, Height
from tests.build.blocks import digest, macro_header

NUMBER = 4
"""The macro height that is voted on."""

PARENT = digest("parent")


def policy(slots: int) -> Policy:
    """Return a policy with macro blocks at 4, 8, ... and a timeout of 4 s."""
    return Policy(batch_length=4, batches_per_epoch=3, slots=slots)


def content(label: str = "a", *, round_: int = 0, parent: Hash32 = PARENT) -> MacroContent:
    """Return a macro block to propose; another label is another block."""
    header = macro_header(
        number=NUMBER, round=round_, parent_hash=parent, extra_data=label.encode()[:32]
    )
    return MacroContent(header, MacroBody())


def proposal(
    block: MacroContent, *, proposer: int = 0, round_: int = 0, valid_round: int | None = None
) -> SignedProposal:
    """Return a proposal with a signature of zeros."""
    message = Proposal(
        round=round_,
        valid_round=valid_round,
        proposer=proposer,
        header=block.header.encoded,
        body=block.body.encoded,
        signature=bytes(ED25519_SIGNATURE_BYTES),
    )
    return SignedProposal(message, block)


def signature(validator: int) -> bytes:
    """Return bytes that stand for a validator's signature."""
    return bytes([validator]) * BLS_SIGNATURE_BYTES


def vote(
    kind: VoteKind,
    validator: int,
    block: Hash32 | None,
    *,
    round_: int = 0,
    number: Height = NUMBER,
) -> Vote:
    """Return a vote with `signature(validator)`."""
    return Vote(
        kind=kind,
        number=number,
        round=round_,
        block=block,
        validator=validator,
        signature=signature(validator),
    )


def prevote(validator: int, block: Hash32 | None, *, round_: int = 0) -> Vote:
    """Return a prevote."""
    return vote(VoteKind.PREVOTE, validator, block, round_=round_)


def precommit(validator: int, block: Hash32 | None, *, round_: int = 0) -> Vote:
    """Return a precommit."""
    return vote(VoteKind.PRECOMMIT, validator, block, round_=round_)


def signed(own_vote: OwnVote, validator: int) -> Vote:
    """Return an own vote as it is published."""
    return vote(own_vote.kind, validator, own_vote.block, round_=own_vote.round)
