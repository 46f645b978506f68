"""What the macro machine repeats, keeps and forgets, and how it goes on after a restart."""

from node.validator.macro_events import (
    CastVote,
    CheckContent,
    ContentChecked,
    DeadlinePassed,
    Decide,
    ProposalArrived,
    Repeat,
    VoteArrived,
)
from node.validator.macro_machine import ROUNDS_AHEAD
from node.validator.macro_timeouts import MAX_TIMEOUT_S, MacroTimeouts
from node.validator.macro_values import (
    OwnVote,
)
from protocols.messages.votes import VoteKind
from tests.build.macro import (
    precommit,
    prevote,
    proposal,
    signature,
)
from tests.build.macro_voter import (
    OPENS_AT,
    PRECOMMIT_A,
    PREVOTE_A,
    TIMEOUTS,
    A,
    B,
    feed,
    machine,
    polka,
    reached,
    record,
    started,
    votes,
)


def test_repeats_own_messages_and_what_they_stand_for() -> None:
    timeouts = MacroTimeouts(propose_s=4, vote_s=2, step_s=1, repeat_s=0.5)
    voter = machine(timeouts=timeouts)
    voter.handle(reached(), 0)
    voter.handle(DeadlinePassed(), OPENS_AT)
    feed(voter, ProposalArrived(proposal(A)), ContentChecked(0, A.hash, is_valid=True))

    assert voter.next_deadline() == OPENS_AT + 0.5
    assert voter.handle(DeadlinePassed(), OPENS_AT + 0.5) == [
        Repeat((PREVOTE_A,), (proposal(A).message,))
    ]
    assert voter.next_deadline() == OPENS_AT + 1


def test_a_proposer_repeats_the_prevotes_that_its_proposal_needs() -> None:
    """Those who cast them may be gone, and its lock would hold up everybody."""
    lock = polka(A, 0, 2, 3)
    own = proposal(A, round_=1, proposer=1, valid_round=0)
    voter = machine(restored=record(PRECOMMIT_A, round_=1, own=own, locked=lock))
    again = OwnVote(VoteKind.PREVOTE, 1, A.hash)

    assert voter.handle(reached(), OPENS_AT) == [
        CastVote(again, record(PRECOMMIT_A, again, round_=1, own=own, locked=lock)),
        Repeat(
            (PRECOMMIT_A, again),
            (
                own.message,
                lock.proposal.message,
                *(prevote(signer, A.hash) for signer in (0, 2, 3)),
            ),
        ),
    ]


def test_rounds_grow_longer_up_to_a_bound() -> None:
    assert [TIMEOUTS.propose(round_) for round_ in (0, 1, 5)] == [4, 5, 9]
    assert [TIMEOUTS.vote(round_) for round_ in (0, 1, 5)] == [2, 3, 7]
    assert TIMEOUTS.propose(10_000) == MAX_TIMEOUT_S


def test_a_restart_does_not_vote_again() -> None:
    voter = machine(restored=record(PREVOTE_A))
    voter.handle(reached(), 0)

    assert voter.handle(DeadlinePassed(), OPENS_AT) == [Repeat((PREVOTE_A,), ())]
    # The proposal comes once more: no second prevote.
    assert voter.handle(ProposalArrived(proposal(B)), OPENS_AT) == []


def test_a_restart_goes_on_in_its_round_with_its_lock() -> None:
    lock = polka(A, 0, 1, 2)
    voter = machine(restored=record(PREVOTE_A, PRECOMMIT_A, locked=lock))

    assert voter.handle(reached(), OPENS_AT) == [
        Repeat((PREVOTE_A, PRECOMMIT_A), (proposal(A).message,))
    ]
    feed(voter, *votes(precommit(1, A.hash), precommit(0, A.hash)))
    assert voter.handle(VoteArrived(precommit(3, A.hash)), OPENS_AT) == [
        Decide(A, 0, ((0, signature(0)), (1, signature(1)), (3, signature(3))))
    ]


def test_a_restarted_proposer_repeats_its_proposal_and_makes_no_other() -> None:
    own = proposal(A)
    voter = machine(own_index=0, restored=record(own=own))
    voter.handle(reached(), 0)

    assert voter.handle(DeadlinePassed(), OPENS_AT) == [
        CheckContent(0, A),
        Repeat((), (own.message,)),
    ]


def test_votes_of_far_rounds_are_not_kept() -> None:
    """A faulty validator may vote in four billion rounds."""
    voter = started()
    before = voter.kept

    for round_ in range(ROUNDS_AHEAD + 1, 10_000):
        voter.handle(VoteArrived(prevote(3, None, round_=round_)), OPENS_AT)

    assert voter.kept == before
    assert voter.round == 0
