"""What macro voting is about: the block on the table, and what one validator has signed for it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from node.blocks.body import MacroBody, decode_body
from node.blocks.header import MAX_UINT32, MacroHeader, decode_header
from protocols.codec import FieldReader, pack
from protocols.errors import WireError
from protocols.limits import MAX_SLOTS
from protocols.messages.votes import (
    MAX_ROUND,
    MAX_VOTE_BYTES,
    Proposal,
    VoteKind,
    decode_vote_message,
)
from protocols.types import BLS_SIGNATURE_BYTES, Hash32, Height

MAX_OWN_VOTES = 4
"""Two kinds in the newest round signed in and the one before: what others may still need."""


@dataclass(frozen=True)
class MacroContent:
    """A macro block without its justification."""

    header: MacroHeader
    body: MacroBody

    @property
    def hash(self) -> Hash32:
        """Identity of the block."""
        return self.header.hash


@dataclass(frozen=True)
class SignedProposal:
    """A proposal whose header and body have been decoded."""

    message: Proposal
    """As it is published, with the proposer's signature."""
    content: MacroContent

    @property
    def hash(self) -> Hash32:
        """Hash of the block proposed."""
        return self.content.hash

    @property
    def round(self) -> int:
        """Round in which it is put to the vote."""
        return self.message.round

    @property
    def valid_round(self) -> int | None:
        """Round in which a quorum prevoted for it before."""
        return self.message.valid_round

    @cached_property
    def encoded(self) -> bytes:
        """Wire form of the message."""
        return self.message.encode()

    @classmethod
    def of(cls, message: Proposal) -> Self:
        """Decode header and body of a proposal and check that they belong together.

        Raises:
            WireError: They are not a macro block's, or round or body contradict the header.
        """
        header, body = decode_header(message.header), decode_body(message.body)
        if not isinstance(header, MacroHeader) or not isinstance(body, MacroBody):
            raise WireError("Proposal", "not a macro block")
        if header.body_root != body.root:
            raise WireError("Proposal", "the body is not the header's")
        if message.valid_round is None and header.round != message.round:
            raise WireError("Proposal", "a new block that was made for another round")
        if message.valid_round is not None and header.round > message.valid_round:
            raise WireError("Proposal", "valid before it was first proposed")
        return cls(message, MacroContent(header, body))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a proposal message.

        Raises:
            WireError: The payload is not exactly one proposal of a macro block.
        """
        message = decode_vote_message(payload)
        if not isinstance(message, Proposal):
            raise WireError("Proposal", "another message")
        return cls.of(message)


@dataclass(frozen=True, slots=True)
class OwnVote:
    """A vote that this validator has signed. Layout: [kind, round: uint, block: nil | bin 32]."""

    kind: VoteKind
    round: int
    block: Hash32 | None

    def to_fields(self) -> list[Any]:
        """Return the fields of the stored form."""
        return [int(self.kind), self.round, self.block]

    @classmethod
    def from_fields(cls, value: Any) -> Self:
        """Read a stored vote.

        Raises:
            WireError: The value is not a vote.
        """
        fields = FieldReader.of("OwnVote", value, arity=3)
        kind = VoteKind(fields.uint(maximum=max(VoteKind)))
        round_ = fields.uint(maximum=MAX_ROUND)
        block = fields.optional_blob(minimum=32, maximum=32)
        return cls(kind, round_, None if block is None else Hash32(block))


@dataclass(frozen=True)
class Polka:
    """A block and the quorum of prevotes that it got in a round.

    Layout: [round: uint, proposal message: bin, prevotes: array of [validator: uint,
    signature: bin 96]]. The prevotes are kept because a later proposal of the block needs them
    and those who cast them may be gone.
    """

    round: int
    proposal: SignedProposal
    prevotes: tuple[tuple[int, bytes], ...]

    @property
    def hash(self) -> Hash32:
        """Hash of the block."""
        return self.proposal.hash

    def to_fields(self) -> list[Any]:
        """Return the fields of the stored form."""
        return [self.round, self.proposal.encoded, [list(vote) for vote in self.prevotes]]

    @classmethod
    def from_fields(cls, value: Any) -> Self:
        """Read a stored polka.

        Raises:
            WireError: The value is not a polka.
        """
        fields = FieldReader.of("Polka", value, arity=3)
        return cls(
            round=fields.uint(maximum=MAX_ROUND),
            proposal=SignedProposal.decode(fields.blob(maximum=MAX_VOTE_BYTES)),
            prevotes=fields.items(_read_prevote, maximum=MAX_SLOTS),
        )


def _read_prevote(value: Any) -> tuple[int, bytes]:
    fields = FieldReader.of("Polka.prevote", value, arity=2)
    return fields.uint(maximum=MAX_SLOTS - 1), fields.exactly(BLS_SIGNATURE_BYTES)


@dataclass(frozen=True, kw_only=True)
class MacroRecord:
    """Everything that one validator has signed at one macro height, and what binds it.

    Layout: [number: uint, round: uint, votes: array 0..4, proposal message: nil | bin,
    locked: nil | polka, valid: nil | polka]. `valid` is nil too when it is the same as `locked`.
    """

    number: Height
    round: int
    """Newest round signed in. Nothing is ever signed in an older one."""
    votes: tuple[OwnVote, ...]
    """Own votes of that round and the one before."""
    proposal: SignedProposal | None
    """Own proposal of that round."""
    locked: Polka | None
    """The block precommitted to last: binds prevotes until a newer polka is seen."""
    valid: Polka | None
    """The newest block that could still be decided: what this validator would propose."""

    def encode(self) -> bytes:
        """Return the stored form."""
        return pack(
            [
                self.number,
                self.round,
                [vote.to_fields() for vote in self.votes],
                None if self.proposal is None else self.proposal.encoded,
                None if self.locked is None else self.locked.to_fields(),
                None if self.valid in (None, self.locked) else self.valid.to_fields(),
            ]
        )

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a stored record.

        Raises:
            WireError: The payload is not exactly one record.
        """
        fields = FieldReader.unpack("MacroRecord", payload, arity=6)
        number, round_ = fields.uint(maximum=MAX_UINT32), fields.uint(maximum=MAX_ROUND)
        votes = fields.items(OwnVote.from_fields, maximum=MAX_OWN_VOTES)
        proposal = fields.optional_blob(maximum=MAX_VOTE_BYTES)
        locked = _optional(fields.raw(), Polka.from_fields)
        return cls(
            number=number,
            round=round_,
            votes=votes,
            proposal=None if proposal is None else SignedProposal.decode(proposal),
            locked=locked,
            valid=_optional(fields.raw(), Polka.from_fields) or locked,
        )


def _optional(value: Any, read: Callable[[Any], Polka]) -> Polka | None:
    return None if value is None else read(value)
