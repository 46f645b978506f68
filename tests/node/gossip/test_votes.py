"""Verdicts on votes. The head is block 3 of a batch of 4: the macro block 4 is voted on."""

from dataclasses import replace
from functools import cache
from typing import Any, cast

import pytest

from node.chain.chain import Chain
from node.gossip.votes import (
    IGNORED,
    MAX_SEEN,
    MESSAGES_PER_PEER,
    MESSAGES_PER_VALIDATOR,
    REJECTED,
    REPEAT_INTERVAL_S,
    SKIPS_AHEAD,
    SKIPS_BEHIND,
    VERIFICATIONS_PER_PEER,
    Judgement,
    Unverified,
    VoteFilter,
    signed_message,
)
from node.keys import NodeKeys
from node.net.network import Verdict
from node.validator.macro_values import MacroContent, SignedProposal
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind
from protocols.types import ED25519_SIGNATURE_BYTES, Hash32, PeerId
from tests.build.blocks import digest, macro_header
from tests.build.chain import KEY_CACHE, ChainBuilder
from tests.build.keys import SMALL_POLICY, genesis, keys_of
from tests.build.turns import next_owner

PEER = PeerId("peer")
BLOCK = digest("block")


@cache
def builder() -> ChainBuilder:
    made = ChainBuilder()
    made.extend(3)
    return made


def voters() -> tuple[NodeKeys, ...]:
    return keys_of(builder().chain.validators)


def judge(
    votes: VoteFilter, message: Vote | SkipVote | Proposal | bytes, *, now: float = 0.0
) -> Judgement:
    """Pass a message through both steps, its real signature check between them."""
    payload = message if isinstance(message, bytes) else message.encode()
    screened = votes.screen(payload, PEER, now)
    if isinstance(screened, Judgement):
        return screened
    return votes.conclude(screened, now, is_signed=screened.is_signed(KEY_CACHE))


def new_filter() -> VoteFilter:
    return VoteFilter(builder().chain)


def vote(
    validator: int = 0,
    *,
    number: int = 4,
    round_: int = 0,
    block: Hash32 | None = BLOCK,
    kind: VoteKind = VoteKind.PREVOTE,
    network: int = 1,
    signer: int | None = None,
) -> Vote:
    unsigned = Vote(
        kind=kind, number=number, round=round_, block=block, validator=validator, signature=b""
    )
    key = voters()[validator if signer is None else signer].voting
    return replace(unsigned, signature=key.sign(signed_message(network, unsigned)))


def skip_vote(validator: int = 0, *, number: int = 3, seed: bytes | None = None) -> SkipVote:
    unsigned = SkipVote(
        number=number,
        parent_seed=builder().head.seed if seed is None else seed,
        validator=validator,
        signature=b"",
    )
    signature = voters()[validator].voting.sign(signed_message(1, unsigned))
    return replace(unsigned, signature=signature)


def proposal(proposer: int | None = None, *, round_: int = 0, **changes: object) -> Proposal:
    """Return what the proposer of the round proposes, or what another validator does."""
    chain = builder().chain
    index = next_owner(chain, round_) if proposer is None else proposer
    header, body = chain.propose_macro(round_, chain.head.seed, chain.head.timestamp)
    message = Proposal(
        round=round_,
        valid_round=None,
        proposer=index,
        header=header.encoded,
        body=body.encoded,
        signature=bytes(ED25519_SIGNATURE_BYTES),
    )
    message = replace(message, **changes)  # type: ignore[arg-type]
    signed = SignedProposal(message, MacroContent(header, body))
    signature = voters()[index].signing.sign(signed_message(1, signed))
    return replace(message, signature=signature)


@pytest.mark.parametrize(
    "message",
    [
        vote(),
        vote(3, kind=VoteKind.PRECOMMIT, round_=7, block=None),
        skip_vote(),
        skip_vote(number=2),
    ],
)
def test_a_signed_vote_near_the_head_is_accepted(message: Vote | SkipVote) -> None:
    assert judge(new_filter(), message) == Judgement(Verdict.ACCEPT, message)


def test_the_proposal_of_the_rounds_proposer_is_accepted() -> None:
    for round_ in (0, 1):
        message = proposal(round_=round_)
        accepted = Judgement(Verdict.ACCEPT, SignedProposal.of(message))
        assert judge(new_filter(), message) == accepted


def test_a_proposal_out_of_turn_is_ignored() -> None:
    """Its signer may see another head, where it is its turn."""
    turn = next_owner(builder().chain)
    stranger = next(i for i in range(4) if i != turn)

    assert judge(new_filter(), proposal(stranger)) == IGNORED


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"junk",
        vote().encode() + b"\0",
        proposal().encode()[:-1],
        replace(proposal(), body=b"\x92\x01\x90").encode(),
        replace(proposal(), header=b"\x90").encode(),
    ],
)
def test_what_does_not_decode_is_rejected(payload: bytes) -> None:
    assert judge(new_filter(), payload) == REJECTED


@pytest.mark.parametrize(
    "message",
    [
        vote(0, signer=1),
        vote(network=2),
        replace(vote(), round=1),
        replace(vote(), kind=VoteKind.PRECOMMIT),
        replace(vote(), block=None),
        replace(vote(), validator=1),
        replace(vote(), validator=4),
        replace(vote(), validator=511),
        replace(skip_vote(), validator=1),
        replace(skip_vote(), parent_seed=bytes(80)),
        replace(proposal(), signature=bytes(ED25519_SIGNATURE_BYTES)),
        replace(proposal(), round=1, valid_round=0),
        replace(proposal(), proposer=4),
    ],
)
def test_what_its_validator_has_not_signed_is_rejected(
    message: Vote | SkipVote | Proposal,
) -> None:
    assert judge(new_filter(), message) == REJECTED


def test_heights_that_cannot_be_voted_on_are_rejected() -> None:
    assert judge(new_filter(), vote(number=3)) == REJECTED
    assert judge(new_filter(), skip_vote(number=4)) == REJECTED


def test_a_proposal_of_another_network_is_rejected() -> None:
    header = macro_header(number=4, network=2)
    message = replace(proposal(), header=header.encoded, body=b"\x92\x01\x90")

    assert judge(new_filter(), message) == REJECTED


@pytest.mark.parametrize(
    "message",
    [vote(number=8), vote(number=0), vote(number=400), skip_vote(number=5), skip_vote(number=7)],
)
def test_far_heights_are_ignored(message: Vote | SkipVote) -> None:
    """There the validators may be others; no signature is looked at."""
    unsigned = replace(message, signature=bytes(96))

    assert judge(new_filter(), unsigned) == IGNORED


def test_skip_votes_are_wanted_near_the_head_only() -> None:
    long_batch = ChainBuilder(genesis(policy=replace(SMALL_POLICY, batch_length=40)))
    long_batch.extend(10)
    votes = VoteFilter(long_batch.chain)

    def is_looked_at(number: int) -> bool:
        message = SkipVote(number=number, parent_seed=bytes(80), validator=0, signature=bytes(96))
        return isinstance(votes.screen(message.encode(), PEER, 0), Unverified)

    looked_at = [number for number in range(1, 40) if is_looked_at(number)]
    assert looked_at == list(range(10 - SKIPS_BEHIND, 10 + SKIPS_AHEAD + 1))


def test_a_repeat_is_relayed_again_but_not_at_once() -> None:
    votes = new_filter()
    accepted = Judgement(Verdict.ACCEPT, vote())
    assert judge(votes, vote()) == accepted

    assert judge(votes, vote(), now=REPEAT_INTERVAL_S * 0.9) == IGNORED
    assert judge(votes, vote(), now=REPEAT_INTERVAL_S) == accepted
    assert judge(votes, vote(), now=REPEAT_INTERVAL_S * 1.9) == IGNORED


def test_a_repeat_is_not_verified_again() -> None:
    votes = new_filter()
    judge(votes, vote())

    assert isinstance(votes.screen(vote().encode(), PEER, 10), Judgement)


def test_a_forgery_does_not_count_as_seen() -> None:
    votes = new_filter()
    forged = vote(0, signer=1)

    assert judge(votes, forged) == REJECTED
    assert judge(votes, forged) == REJECTED
    assert judge(votes, vote()) == Judgement(Verdict.ACCEPT, vote())


def test_a_peer_that_floods_is_ignored_but_others_are_not() -> None:
    votes = new_filter()
    for _ in range(MESSAGES_PER_PEER.capacity):
        votes.screen(b"junk", PEER, 0)

    assert votes.screen(vote().encode(), PEER, 0) == IGNORED
    assert isinstance(votes.screen(vote().encode(), PeerId("other"), 0), Unverified)


def unsigned_vote(validator: int, round_: int) -> Vote:
    return Vote(
        kind=VoteKind.PREVOTE,
        number=4,
        round=round_,
        block=None,
        validator=validator,
        signature=bytes(96),
    )


def test_a_validator_that_floods_is_ignored_but_others_are_not() -> None:
    """Its signatures are good: it is the rate that is too high, and then nobody checks them."""
    votes = new_filter()
    for round_ in range(MESSAGES_PER_VALIDATOR.capacity):
        screened = votes.screen(unsigned_vote(2, round_).encode(), PEER, 0)
        assert isinstance(screened, Unverified)
        assert votes.conclude(screened, 0, is_signed=True).verdict is Verdict.ACCEPT

    assert votes.screen(unsigned_vote(2, 1000).encode(), PEER, 0) == IGNORED
    assert judge(votes, vote(1)) == Judgement(Verdict.ACCEPT, vote(1))
    assert isinstance(votes.screen(unsigned_vote(2, 1000).encode(), PEER, 1), Unverified)


def test_forgeries_do_not_use_up_what_a_validator_may_send() -> None:
    votes = new_filter()
    for round_ in range(MESSAGES_PER_VALIDATOR.capacity + 1):
        screened = votes.screen(unsigned_vote(2, round_).encode(), PEER, 0)
        assert isinstance(screened, Unverified)
        assert votes.conclude(screened, 0, is_signed=False) == REJECTED

    assert judge(votes, vote(2)) == Judgement(Verdict.ACCEPT, vote(2))


def test_one_peer_cannot_have_signatures_checked_without_end() -> None:
    votes = new_filter()
    looked_at = [
        isinstance(votes.screen(unsigned_vote(2, round_).encode(), PEER, 0), Unverified)
        for round_ in range(VERIFICATIONS_PER_PEER.capacity + 5)
    ]

    assert looked_at.index(False) == VERIFICATIONS_PER_PEER.capacity
    assert votes.screen(vote().encode(), PEER, 0) == IGNORED
    assert isinstance(votes.screen(vote().encode(), PeerId("other"), 0), Unverified)


class MovingChain:
    """A chain whose head another thread replaces after so many readings."""

    def __init__(self, before: Chain, after: Chain, readings: int) -> None:
        self._chains = (before, after)
        self._left = readings

    def __getattr__(self, name: str) -> Any:
        self._left -= 1
        return getattr(self._chains[self._left < 0], name)


@cache
def epochs() -> tuple[ChainBuilder, ChainBuilder]:
    """Return a chain below its first election block, and the same chain with it."""
    made = ChainBuilder(genesis(20))
    made.extend(11)
    after = made.fork_from(made.head.hash)
    after.extend(1)
    return made, after


@pytest.mark.parametrize("readings", range(8))
def test_a_head_that_moves_meanwhile_is_read_as_a_whole(readings: int) -> None:
    """Never is the height of one epoch looked up among the validators of another."""
    before, after = epochs()
    old, new = (each.chain.validators.members for each in (before, after))
    index = next(i for i in range(len(new)) if old[i].voting_key != new[i].voting_key)
    unsigned = replace(unsigned_vote(index, 0), number=12)
    key = keys_of(before.chain.validators)[index].voting
    signed = replace(unsigned, signature=key.sign(signed_message(1, unsigned)))
    votes = VoteFilter(cast("Chain", MovingChain(before.chain, after.chain, readings)))

    assert judge(votes, signed) in (IGNORED, Judgement(Verdict.ACCEPT, signed))


def test_signatures_of_different_messages_never_fit_each_other() -> None:
    """Prevote, precommit and skip vote of one height: each signs something else."""
    messages = {
        signed_message(1, replace(vote(), kind=VoteKind.PREVOTE)),
        signed_message(1, replace(vote(), kind=VoteKind.PRECOMMIT)),
        signed_message(1, SkipVote(number=4, parent_seed=bytes(80), validator=0, signature=b"")),
        signed_message(1, SignedProposal.of(proposal())),
    }
    assert len(messages) == 4


def test_memory_is_bounded() -> None:
    votes = new_filter()
    for number in range(MAX_SEEN + 10):
        unverified = Unverified(digest(str(number)), vote(), number, lambda _: True)
        votes.conclude(unverified, 0, is_signed=True)

    assert votes.seen == MAX_SEEN
