"""What becomes of a message on the VOTES topic, on any node, validator or not.

    [REJECT] It decodes, belongs to this network and to a height that is voted on.
    [IGNORE] Its sender keeps its rate.
    [IGNORE] Its height is near our head: there we know who the validators are.
    [IGNORE] It has not been relayed within the last repeat interval.
    [REJECT] Its validator exists.
    [IGNORE] Its validator keeps its rate, and its sender that of messages to verify.
    [REJECT] Its validator has signed it.
    [IGNORE] A proposal comes from the proposer of its round on top of our head.

Screening is cheap. Signatures are not, so their check is a value that the caller may evaluate in
a worker thread. Messages must be screened and concluded one after the other.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from node.blocks.signing import (
    precommit_message,
    prevote_message,
    proposal_message,
    skip_message,
)
from node.chain.view import ChainView
from node.crypto import bls, ed25519
from node.crypto.hashes import hash32
from node.net.network import Verdict
from node.validator.macro_values import SignedProposal
from node.validator.position import Position
from protocols.errors import WireError
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind, decode_vote_message
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.types import Hash32, Height, PeerId

MESSAGES_PER_PEER: Final = RateLimit(capacity=3000)
"""A peer relays everybody's votes: two rounds of 512 validators arrive at once."""

VERIFICATIONS_PER_PEER: Final = RateLimit(capacity=2000, refill_s=20.0)
"""Signatures to check for one sender: three rounds of 512 validators at once, then a hundred each
second, 0.2 s of work. Two peers, and a third of the validators who sign for them, cannot keep us
from hearing the others."""

MESSAGES_PER_VALIDATOR: Final = RateLimit(capacity=200)
"""Two votes a round, and six messages repeated every half second, and room."""

MAX_PEERS: Final = 1024
"""Peers remembered for their rate: more than can be connected."""

MAX_VALIDATORS: Final = 512
"""One bucket for each validator that an epoch can have."""

MAX_SEEN: Final = 8192
"""Messages remembered: all votes of 512 validators for four rounds, twice."""

REPEAT_INTERVAL_S: Final = 0.4
"""Validators repeat what is undecided no faster than every half second. A repeat is relayed again,
for those who came late, but not faster than that."""

SKIPS_BEHIND: Final = 2
"""Others may be a few blocks behind us, and need the votes that we do not."""

SKIPS_AHEAD: Final = 16
"""Others may be ahead of us by as many blocks as we fetch in a moment."""

VoteContent: TypeAlias = SignedProposal | Vote | SkipVote
"""A message of the topic with everything decoded."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on a message, and what it says if it is accepted."""

    verdict: Verdict
    content: VoteContent | None = None


@dataclass(frozen=True, slots=True)
class Unverified:
    """A message that is fine but for its signature."""

    digest: Hash32
    content: VoteContent
    validator: int
    is_signed: Callable[[bls.KeyCache], bool]
    """Checks the signature: about 2 ms. Callable from any thread."""


IGNORED: Final = Judgement(Verdict.IGNORE)
REJECTED: Final = Judgement(Verdict.REJECT)


class VoteFilter:
    """Gives each message its verdict; remembers what it has relayed, within bounds."""

    def __init__(self, chain: ChainView) -> None:
        self._chain = chain
        self._relayed_at: OrderedDict[Hash32, float] = OrderedDict()
        self._peers: RateLimiter[PeerId] = RateLimiter(MESSAGES_PER_PEER, max_keys=MAX_PEERS)
        self._verifications: RateLimiter[PeerId] = RateLimiter(
            VERIFICATIONS_PER_PEER, max_keys=MAX_PEERS
        )
        self._validators: RateLimiter[int] = RateLimiter(
            MESSAGES_PER_VALIDATOR, max_keys=MAX_VALIDATORS
        )

    @property
    def seen(self) -> int:
        """Count the messages remembered."""
        return len(self._relayed_at)

    def screen(self, payload: bytes, sender: PeerId, now: float) -> Judgement | Unverified:
        """Do everything but the signature.

        Args:
            payload: As it came.
            sender: The peer that gave it to us.
            now: Monotonic clock, seconds.
        """
        if not self._peers.take(sender, now):
            return IGNORED
        digest = hash32(payload)
        relayed_at = self._relayed_at.get(digest)
        if relayed_at is not None and now < relayed_at + REPEAT_INTERVAL_S:
            return IGNORED
        try:
            content = _decode(payload)
        except WireError:
            return REJECTED
        # One reading for all questions: another thread may be pushing.
        position = Position.of(self._chain)
        judgement = self._place(content, position)
        if judgement is not None:
            return judgement
        if relayed_at is not None:
            self._note(digest, now)
            return Judgement(Verdict.ACCEPT, content)
        refusal = self._refuse(_signer(content), sender, position, now)
        return refusal or self._unverified(digest, content, position)

    def _refuse(
        self, index: int, sender: PeerId, position: Position, now: float
    ) -> Judgement | None:
        """Return the verdict of a message that is not worth checking a signature."""
        if index >= len(position.validators.members):
            return REJECTED
        # Who floods with good signatures must not make us check them.
        if self._validators.is_empty(index, now) or not self._verifications.take(sender, now):
            return IGNORED
        return None

    def conclude(self, unverified: Unverified, now: float, *, is_signed: bool) -> Judgement:
        """Give the verdict once the signature has been checked."""
        if not is_signed:
            return REJECTED
        if not self._validators.take(unverified.validator, now):
            return IGNORED
        content = unverified.content
        if isinstance(content, SignedProposal) and not self._is_turn_of(content):
            return IGNORED
        self._note(unverified.digest, now)
        return Judgement(Verdict.ACCEPT, content)

    def _place(self, content: VoteContent, position: Position) -> Judgement | None:
        """Return the verdict of a message whose height or network says enough."""
        policy = self._chain.policy
        if isinstance(content, SkipVote):
            if policy.is_macro(content.number):
                return REJECTED
            return None if _is_near(content.number, position) else IGNORED
        number = content.number if isinstance(content, Vote) else content.content.header.number
        if not policy.is_macro(number):
            return REJECTED
        if isinstance(content, SignedProposal) and self._is_foreign(content):
            return REJECTED
        return None if number == position.macro_number else IGNORED

    def _is_foreign(self, proposal: SignedProposal) -> bool:
        return proposal.content.header.network != self._chain.network

    def _unverified(self, digest: Hash32, content: VoteContent, position: Position) -> Unverified:
        index, signature = _signer(content), _signature(content)
        member = position.validators.members[index]
        message = signed_message(self._chain.network, content)
        if isinstance(content, SignedProposal):
            key = member.signing_key
            return Unverified(
                digest, content, index, lambda _: ed25519.verify(key, message, signature)
            )
        key = member.voting_key
        return Unverified(
            digest, content, index, lambda keys: bls.verify(key, message, signature, keys)
        )

    def _is_turn_of(self, proposal: SignedProposal) -> bool:
        """Tell whether the signer may propose in that round, as far as our head can tell."""
        position = Position.of(self._chain)
        if position.next_number != proposal.content.header.number:
            return True
        # Another head has other proposers, and our own may be about to move: nobody is to blame.
        return position.proposers()(proposal.round) == proposal.message.proposer

    def _note(self, digest: Hash32, now: float) -> None:
        self._relayed_at[digest] = now
        self._relayed_at.move_to_end(digest)
        if len(self._relayed_at) > MAX_SEEN:
            self._relayed_at.popitem(last=False)


def _is_near(number: Height, position: Position) -> bool:
    head = position.head.number
    is_in_batch = position.macro.number < number < position.macro_number
    return is_in_batch and head - SKIPS_BEHIND <= number <= head + SKIPS_AHEAD


def signed_message(network: int, content: VoteContent) -> bytes:
    """Return what the signature of a message covers."""
    match content:
        case SkipVote(number=number, parent_seed=seed):
            return skip_message(network, number, seed)
        case Vote(kind=VoteKind.PREVOTE, number=number, round=round_, block=block):
            return prevote_message(network, number, round_, block)
        case Vote(number=number, round=round_, block=block):
            return precommit_message(network, number, round_, block)
        case SignedProposal():
            number, block = content.content.header.number, content.hash
            return proposal_message(network, number, content.round, content.valid_round, block)


def _decode(payload: bytes) -> VoteContent:
    message = decode_vote_message(payload)
    return SignedProposal.of(message) if isinstance(message, Proposal) else message


def _signer(content: VoteContent) -> int:
    return content.message.proposer if isinstance(content, SignedProposal) else content.validator


def _signature(content: VoteContent) -> bytes:
    return content.message.signature if isinstance(content, SignedProposal) else content.signature
