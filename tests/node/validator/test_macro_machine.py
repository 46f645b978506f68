"""One test for each arrow of the macro machine."""

from node.validator.macro_events import (
    CastVote,
    CheckContent,
    ContentChecked,
    ContentCreated,
    CreateContent,
    DeadlinePassed,
    Decide,
    Halted,
    ProposalArrived,
    ProposalSigned,
    PublishProposal,
    SignProposal,
    VoteArrived,
)
from node.validator.macro_values import (
    OwnVote,
)
from protocols.messages.votes import VoteKind
from tests.build.macro import (
    content,
    precommit,
    prevote,
    proposal,
    signature,
)
from tests.build.macro_voter import (
    OPENS_AT,
    OTHER_PARENT,
    PRECOMMIT_A,
    PRECOMMIT_NIL,
    PREVOTE_A,
    PREVOTE_NIL,
    A,
    B,
    feed,
    in_round,
    locked_on_a,
    machine,
    polka,
    reached,
    record,
    started,
    votes,
    with_valid_a,
)


def test_waits_for_the_time_of_round_0() -> None:
    voter = machine(own_index=0)

    assert voter.handle(reached(), 0) == []
    assert voter.next_deadline() == OPENS_AT
    assert voter.handle(DeadlinePassed(), OPENS_AT - 0.1) == []
    assert voter.round is None


def test_starts_in_time_and_the_proposer_makes_a_block() -> None:
    voter = machine(own_index=0)
    voter.handle(reached(), 0)

    assert voter.handle(DeadlinePassed(), OPENS_AT) == [CreateContent(0)]
    assert voter.round == 0


def test_starts_early_when_f_plus_1_slots_have() -> None:
    voter = machine()
    voter.handle(reached(), 0)

    assert voter.handle(VoteArrived(prevote(2, None)), 1) == []
    assert voter.round is None
    voter.handle(VoteArrived(prevote(3, None)), 1)
    assert voter.round == 0


def test_own_block_is_signed_then_stored_then_published() -> None:
    voter = started(own_index=0)
    own = proposal(A)

    assert voter.handle(ContentCreated(0, A), OPENS_AT) == [SignProposal(0, None, A)]
    assert voter.handle(ProposalSigned(own), OPENS_AT) == [
        PublishProposal(own, record(own=own)),
        CastVote(PREVOTE_A, record(PREVOTE_A, own=own)),
    ]


def test_a_block_made_too_late_is_not_proposed() -> None:
    voter = started(own_index=0)
    in_round(voter, 2, OPENS_AT)

    assert voter.handle(ContentCreated(0, A), OPENS_AT) == []


def test_a_proposal_is_checked_then_prevoted() -> None:
    voter = started()

    assert voter.handle(ProposalArrived(proposal(A)), OPENS_AT) == [CheckContent(0, A)]
    assert voter.handle(ContentChecked(0, A.hash, is_valid=True), OPENS_AT) == [
        CastVote(PREVOTE_A, record(PREVOTE_A))
    ]


def test_an_invalid_proposal_gets_a_prevote_for_nil() -> None:
    voter = started()
    voter.handle(ProposalArrived(proposal(A)), OPENS_AT)

    assert voter.handle(ContentChecked(0, A.hash, is_valid=False), OPENS_AT) == [
        CastVote(PREVOTE_NIL, record(PREVOTE_NIL))
    ]


def test_no_proposal_in_time_gets_a_prevote_for_nil() -> None:
    voter = started()

    assert voter.next_deadline() == OPENS_AT + 4
    assert voter.handle(DeadlinePassed(), OPENS_AT + 4) == [
        CastVote(PREVOTE_NIL, record(PREVOTE_NIL))
    ]


def test_a_stranger_may_not_propose() -> None:
    voter = started()

    assert voter.handle(ProposalArrived(proposal(A, proposer=2)), OPENS_AT) == []


def test_the_second_proposal_of_a_round_is_dropped() -> None:
    voter = started()
    voter.handle(ProposalArrived(proposal(A)), OPENS_AT)

    assert voter.handle(ProposalArrived(proposal(B)), OPENS_AT) == []


def test_a_proposal_above_another_block_is_asked_for_and_again_when_that_is_the_head() -> None:
    """Where its parent is not stored there is no answer, and no vote before the timeout."""
    voter = machine()
    voter.handle(reached(OTHER_PARENT), 0)
    voter.handle(DeadlinePassed(), OPENS_AT)

    assert voter.handle(ProposalArrived(proposal(A)), OPENS_AT) == [CheckContent(0, A)]
    assert voter.handle(DeadlinePassed(), OPENS_AT) == []
    assert voter.handle(reached(), OPENS_AT + 1) == [CheckContent(0, A)]


def test_a_proposal_that_came_before_the_head_is_kept() -> None:
    voter = machine()
    voter.handle(ProposalArrived(proposal(A)), 0)
    voter.handle(reached(), 1)

    assert voter.handle(DeadlinePassed(), OPENS_AT) == [CheckContent(0, A)]


def test_a_new_head_has_other_proposers() -> None:
    voter = machine()
    voter.handle(ProposalArrived(proposal(A)), 0)
    voter.handle(reached(offset=2), 1)

    assert voter.handle(DeadlinePassed(), OPENS_AT) == []


def test_a_quorum_of_prevotes_locks() -> None:
    voter = with_valid_a()
    feed(voter, *votes(prevote(1, A.hash), prevote(0, A.hash)))

    lock = polka(A, 0, 1, 2)
    assert voter.handle(VoteArrived(prevote(2, A.hash)), OPENS_AT) == [
        CastVote(PRECOMMIT_A, record(PREVOTE_A, PRECOMMIT_A, locked=lock))
    ]


def test_a_quorum_of_prevotes_makes_up_for_a_check() -> None:
    """One of them is honest and has checked it; our head may be another one."""
    voter = machine()
    voter.handle(reached(OTHER_PARENT), 0)
    voter.handle(DeadlinePassed(), OPENS_AT)
    feed(voter, ProposalArrived(proposal(A)), *votes(prevote(0, A.hash), prevote(2, A.hash)))

    lock = polka(A, 0, 2, 3)
    assert voter.handle(VoteArrived(prevote(3, A.hash)), OPENS_AT) == [
        CastVote(PREVOTE_A, record(PREVOTE_A)),
        CastVote(PRECOMMIT_A, record(PREVOTE_A, PRECOMMIT_A, locked=lock)),
    ]


def test_a_late_quorum_of_prevotes_does_not_lock_but_is_remembered() -> None:
    """What could still be decided is proposed again."""
    voter = started(own_index=1)
    feed(voter, ProposalArrived(proposal(A)), ContentChecked(0, A.hash, is_valid=True))
    feed(voter, *votes(prevote(1, A.hash), prevote(0, A.hash), prevote(3, None)))
    now = OPENS_AT + 2
    nil = record(PREVOTE_A, PRECOMMIT_NIL)
    assert voter.handle(DeadlinePassed(), now) == [CastVote(PRECOMMIT_NIL, nil)]

    feed(voter, *votes(prevote(2, A.hash)), now=now)
    in_round_1 = votes(prevote(2, None, round_=1), prevote(3, None, round_=1))
    voter.handle(in_round_1[0], now)
    assert voter.handle(in_round_1[1], now) == [SignProposal(1, 0, A)]


def test_a_quorum_for_nil_gets_a_precommit_for_nil() -> None:
    voter = with_valid_a()
    feed(voter, *votes(prevote(0, None), prevote(2, None)))

    assert voter.handle(VoteArrived(prevote(3, None)), OPENS_AT) == [
        CastVote(PRECOMMIT_NIL, record(PREVOTE_A, PRECOMMIT_NIL))
    ]


def test_split_prevotes_are_given_up_after_a_timeout() -> None:
    voter = with_valid_a()
    feed(voter, *votes(prevote(1, A.hash), prevote(0, A.hash), prevote(2, None)))

    assert voter.next_deadline() == OPENS_AT + 2
    assert voter.handle(DeadlinePassed(), OPENS_AT + 1.9) == []
    assert voter.handle(DeadlinePassed(), OPENS_AT + 2) == [
        CastVote(PRECOMMIT_NIL, record(PREVOTE_A, PRECOMMIT_NIL))
    ]


def test_a_quorum_of_precommits_decides() -> None:
    voter = locked_on_a()
    feed(voter, *votes(precommit(1, A.hash), precommit(3, A.hash)))

    assert voter.handle(VoteArrived(precommit(2, A.hash)), OPENS_AT) == [
        Decide(A, 0, ((1, signature(1)), (2, signature(2)), (3, signature(3))))
    ]
    assert voter.is_decided
    assert voter.next_deadline() is None


def test_precommits_of_an_older_round_decide_too() -> None:
    voter = locked_on_a()
    in_round(voter, 2, OPENS_AT)
    feed(voter, *votes(precommit(1, A.hash), precommit(3, A.hash)))

    assert voter.handle(VoteArrived(precommit(2, A.hash)), OPENS_AT) == [
        Decide(A, 0, ((1, signature(1)), (2, signature(2)), (3, signature(3))))
    ]


def test_a_halted_machine_decides_but_does_not_vote() -> None:
    voter = with_valid_a()
    feed(voter, Halted(), *votes(prevote(0, A.hash), prevote(2, A.hash), prevote(3, A.hash)))
    assert voter.next_deadline() is None

    feed(voter, *votes(precommit(0, A.hash), precommit(2, A.hash)))
    assert voter.handle(VoteArrived(precommit(3, A.hash)), OPENS_AT + 99) == [
        Decide(A, 0, ((0, signature(0)), (2, signature(2)), (3, signature(3))))
    ]


def test_after_a_decision_nothing_happens() -> None:
    voter = locked_on_a()
    feed(voter, *votes(*(precommit(i, A.hash) for i in range(4))))

    assert voter.handle(ProposalArrived(proposal(B, proposer=1, round_=1)), OPENS_AT) == []
    assert voter.handle(DeadlinePassed(), OPENS_AT + 999) == []


def test_a_block_that_votes_ask_for_is_taken_from_anybody() -> None:
    """An equivocating proposer gave us B; the others decide A."""
    voter = started()
    feed(voter, ProposalArrived(proposal(B)), *votes(*(precommit(i, A.hash) for i in (0, 2, 3))))
    assert not voter.is_decided

    assert voter.handle(ProposalArrived(proposal(A)), OPENS_AT) == [
        Decide(A, 0, ((0, signature(0)), (2, signature(2)), (3, signature(3))))
    ]


def test_split_precommits_end_the_round_after_a_timeout() -> None:
    voter = locked_on_a()
    feed(voter, *votes(precommit(1, A.hash), precommit(0, None), precommit(2, None)))
    assert voter.next_deadline() == OPENS_AT + 2

    assert voter.handle(DeadlinePassed(), OPENS_AT + 2) == [SignProposal(1, 0, A)]
    assert voter.round == 1


def test_f_plus_1_slots_in_a_higher_round_pull_us_along() -> None:
    voter = started()

    voter.handle(VoteArrived(prevote(2, None, round_=7)), OPENS_AT)
    assert voter.round == 0
    voter.handle(VoteArrived(prevote(3, None, round_=5)), OPENS_AT)
    assert voter.round == 5


def test_a_lock_forbids_another_block() -> None:
    voter = locked_on_a()
    in_round(voter, 2, OPENS_AT)
    other = proposal(content("c", round_=2), proposer=2, round_=2)
    nil = OwnVote(VoteKind.PREVOTE, 2, None)

    assert voter.handle(ProposalArrived(other), OPENS_AT) == [
        CastVote(nil, record(nil, round_=2, locked=polka(A, 0, 1, 2)))
    ]


def test_a_lock_allows_its_own_block() -> None:
    voter = locked_on_a()
    in_round(voter, 2, OPENS_AT)
    again = OwnVote(VoteKind.PREVOTE, 2, A.hash)

    effects = voter.handle(
        ProposalArrived(proposal(A, proposer=2, round_=2, valid_round=0)), OPENS_AT
    )
    assert effects == [CastVote(again, record(again, round_=2, locked=polka(A, 0, 1, 2)))]


def test_a_newer_polka_frees_from_the_lock() -> None:
    """Prevotes for B in round 1, which we had missed, come with its proposal in round 2."""
    voter = locked_on_a()
    in_round(voter, 2, OPENS_AT)
    b = content("b", round_=1)
    feed(voter, ProposalArrived(proposal(b, proposer=2, round_=2, valid_round=1)))
    feed(voter, *votes(prevote(0, b.hash, round_=1), prevote(2, b.hash, round_=1)))
    vote = OwnVote(VoteKind.PREVOTE, 2, b.hash)

    assert voter.handle(VoteArrived(prevote(3, b.hash, round_=1)), OPENS_AT) == [
        CastVote(vote, record(vote, round_=2, locked=polka(A, 0, 1, 2)))
    ]


def test_an_older_polka_does_not_free_from_the_lock() -> None:
    c = content("c")
    lock = polka(content("d", round_=1), 0, 1, 2, round_=1)
    voter = machine(restored=record(round_=2, locked=lock))
    feed(voter, reached(), ProposalArrived(proposal(c, proposer=2, round_=2, valid_round=0)))
    feed(voter, *votes(prevote(0, c.hash), prevote(2, c.hash)))
    nil = OwnVote(VoteKind.PREVOTE, 2, None)

    assert voter.handle(VoteArrived(prevote(3, c.hash)), OPENS_AT) == [
        CastVote(nil, record(nil, round_=2, locked=lock))
    ]


def test_a_proposal_with_a_valid_round_waits_for_its_prevotes() -> None:
    voter = started()
    in_round(voter, 2, OPENS_AT)

    assert (
        voter.handle(ProposalArrived(proposal(A, proposer=2, round_=2, valid_round=0)), OPENS_AT)
        == []
    )


def test_equivocating_prevotes_count_for_each_block() -> None:
    """Otherwise a faulty voter could hide from us a quorum that others have seen."""
    voter = with_valid_a()
    feed(voter, *votes(prevote(3, B.hash), prevote(1, A.hash), prevote(0, A.hash)))

    lock = polka(A, 0, 1, 3)
    assert voter.handle(VoteArrived(prevote(3, A.hash)), OPENS_AT) == [
        CastVote(PRECOMMIT_A, record(PREVOTE_A, PRECOMMIT_A, locked=lock))
    ]


def test_a_repeated_vote_counts_once() -> None:
    voter = with_valid_a()
    feed(voter, *votes(prevote(1, A.hash), prevote(0, A.hash)))

    assert voter.handle(VoteArrived(prevote(0, A.hash)), OPENS_AT) == []
