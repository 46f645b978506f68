"""What the VOTES topic carries: proposals of macro blocks, votes on them, and skip votes.

Every message is a msgpack array whose first field is its type: 0 proposal, 1 vote, 2 skip vote.
Anybody may publish a message again; its signature is the validator's, whoever carries it.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Final, TypeAlias

from protocols.codec import FieldReader, pack, unpack
from protocols.errors import WireError
from protocols.limits import MAX_HEADER_BYTES, MAX_SLOTS
from protocols.types import (
    BLS_SIGNATURE_BYTES,
    ED25519_SIGNATURE_BYTES,
    SEED_BYTES,
    Hash32,
    Height,
)

MAX_MACRO_BODY_BYTES: Final = 32_768
"""512 rewards of 31 bytes, twice over."""

MAX_VOTE_BYTES: Final = MAX_HEADER_BYTES + MAX_MACRO_BODY_BYTES + 256
"""Largest message of the topic: a proposal with its longest header and body."""

MAX_ROUND: Final = 0xFFFF_FFFF

_MAX_INDEX: Final = MAX_SLOTS - 1
_MAX_NUMBER: Final = 0xFFFF_FFFF


class VoteKind(IntEnum):
    """The two votes of a round."""

    PREVOTE = 0
    """The block of this round's proposal is valid and may be locked on."""
    PRECOMMIT = 1
    """A quorum has prevoted for it; a quorum of these makes the block final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A macro block that the proposer of a round puts to the vote.

    Wire: [0, round: uint 32, valid round: nil | uint 32 below round, proposer: uint 0..511,
    header: bin 1..65536, body: bin 1..32768, signature: bin 64]. Header and body are in their
    own encodings. The signature is Ed25519 by the proposer's signing key over the proposal
    message, which covers network, height, round, valid round and header hash.
    """

    TAG: ClassVar[int] = 0
    round: int
    valid_round: int | None
    """Round in which a quorum prevoted for this very block, or None for a new one."""
    proposer: int
    """Position of the proposer among the validators of the epoch."""
    header: bytes
    body: bytes
    signature: bytes

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack(
            [
                self.TAG,
                self.round,
                self.valid_round,
                self.proposer,
                self.header,
                self.body,
                self.signature,
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """A prevote or precommit of one validator, for a block or for none (nil).

    Wire: [1, kind: 0 prevote | 1 precommit, number: uint 32, round: uint 32,
    block: nil | bin 32, validator: uint 0..511, signature: bin 96]. The signature is BLS over
    the prevote or precommit message: network, height, round and block hash.
    """

    TAG: ClassVar[int] = 1
    kind: VoteKind
    number: Height
    round: int
    block: Hash32 | None
    validator: int
    """Position of the voter among the validators of the epoch."""
    signature: bytes

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack(
            [
                self.TAG,
                int(self.kind),
                self.number,
                self.round,
                self.block,
                self.validator,
                self.signature,
            ]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SkipVote:
    """One validator says that the producer of a height was silent.

    Wire: [2, number: uint 32, parent seed: bin 80, validator: uint 0..511, signature: bin 96].
    The signature is BLS over the skip message: network, height and the seed of the block below.
    """

    TAG: ClassVar[int] = 2
    number: Height
    """Height that the skip block would fill."""
    parent_seed: bytes
    validator: int
    signature: bytes

    def encode(self) -> bytes:
        """Return the wire form."""
        return pack([self.TAG, self.number, self.parent_seed, self.validator, self.signature])


VoteMessage: TypeAlias = Proposal | Vote | SkipVote


def decode_vote_message(payload: bytes) -> VoteMessage:
    """Read one message of the VOTES topic. Signatures are not checked here.

    Raises:
        WireError: The payload is not exactly one such message.
    """
    if len(payload) > MAX_VOTE_BYTES:
        raise WireError("VoteMessage", f"more than {MAX_VOTE_BYTES} bytes")
    value = unpack("VoteMessage", payload)
    tag = value[0] if isinstance(value, list) and value else None
    if type(tag) is not int:
        raise WireError("VoteMessage", "not an array that starts with its type")
    if tag == Proposal.TAG:
        return _read_proposal(value)
    if tag == Vote.TAG:
        return _read_vote(value)
    if tag == SkipVote.TAG:
        return _read_skip_vote(value)
    raise WireError("VoteMessage", f"unknown type {tag}")


def _read_proposal(value: Any) -> Proposal:
    fields = FieldReader.of("Proposal", value, arity=7)
    fields.raw()
    round_number = fields.uint(maximum=MAX_ROUND)
    valid_round = fields.raw()
    return Proposal(
        round=round_number,
        valid_round=None if valid_round is None else _round_below(valid_round, round_number),
        proposer=fields.uint(maximum=_MAX_INDEX),
        header=fields.blob(minimum=1, maximum=MAX_HEADER_BYTES),
        body=fields.blob(minimum=1, maximum=MAX_MACRO_BODY_BYTES),
        signature=fields.exactly(ED25519_SIGNATURE_BYTES),
    )


def _round_below(value: Any, limit: int) -> int:
    if limit == 0:
        raise WireError("Proposal", "a valid round in round 0")
    return FieldReader.of("Proposal", [value], arity=1).uint(maximum=limit - 1)


def _read_vote(value: Any) -> Vote:
    fields = FieldReader.of("Vote", value, arity=7)
    fields.raw()
    kind = VoteKind(fields.uint(maximum=max(VoteKind)))
    number = fields.uint(maximum=_MAX_NUMBER)
    round_number = fields.uint(maximum=MAX_ROUND)
    block = fields.optional_blob(minimum=32, maximum=32)
    return Vote(
        kind=kind,
        number=number,
        round=round_number,
        block=None if block is None else Hash32(block),
        validator=fields.uint(maximum=_MAX_INDEX),
        signature=fields.exactly(BLS_SIGNATURE_BYTES),
    )


def _read_skip_vote(value: Any) -> SkipVote:
    fields = FieldReader.of("SkipVote", value, arity=5)
    fields.raw()
    return SkipVote(
        number=fields.uint(maximum=_MAX_NUMBER),
        parent_seed=fields.exactly(SEED_BYTES),
        validator=fields.uint(maximum=_MAX_INDEX),
        signature=fields.exactly(BLS_SIGNATURE_BYTES),
    )
