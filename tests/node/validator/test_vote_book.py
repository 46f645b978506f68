from node.validator.vote_book import MAX_BLOCKS_PER_VOTER, VoteBook
from protocols.messages.votes import VoteKind
from tests.build.blocks import digest
from tests.build.keys import validators
from tests.build.macro import precommit, prevote, signature

A, B = digest("a"), digest("b")


def book(*, slots_each: int = 1) -> VoteBook:
    members = validators(4, slots_each=slots_each)
    return VoteBook(members, quorum=3 * slots_each, f_plus_one=2 * slots_each)


def test_counts_slots_not_validators() -> None:
    votes = VoteBook(validators(4, slots_each=2), quorum=6, f_plus_one=3)
    votes.add(prevote(0, A), is_known=True)
    votes.add(prevote(1, A), is_known=True)
    assert not votes.has_quorum(0, VoteKind.PREVOTE, A)

    votes.add(prevote(2, A), is_known=True)
    assert votes.has_quorum(0, VoteKind.PREVOTE, A)
    assert votes.quorum_block(0, VoteKind.PREVOTE) == A


def test_kinds_rounds_and_blocks_are_apart() -> None:
    votes = book()
    for vote in (prevote(0, A), precommit(1, A), prevote(2, A, round_=1), prevote(3, B)):
        assert votes.add(vote, is_known=True)

    assert not votes.has_quorum(0, VoteKind.PREVOTE, A)
    assert not votes.has_honest_vote(A)
    assert votes.rounds == [0, 1]


def test_a_quorum_of_any_counts_each_voter_once() -> None:
    votes = book()
    votes.add(prevote(0, A), is_known=True)
    votes.add(prevote(0, B), is_known=True)
    votes.add(prevote(1, None), is_known=True)
    assert not votes.has_any_quorum(0, VoteKind.PREVOTE)

    votes.add(prevote(2, A), is_known=True)
    assert votes.has_any_quorum(0, VoteKind.PREVOTE)
    assert votes.quorum_block(0, VoteKind.PREVOTE) is None


def test_a_quorum_for_nil_is_no_block() -> None:
    votes = book()
    for validator in range(3):
        votes.add(prevote(validator, None), is_known=True)

    assert votes.has_quorum(0, VoteKind.PREVOTE, None)
    assert votes.quorum_block(0, VoteKind.PREVOTE) is None


def test_unknown_blocks_of_a_voter_are_bounded_and_hide_no_known_one() -> None:
    votes = book()
    added = [votes.add(prevote(3, digest(str(i))), is_known=False) for i in range(10)]

    assert added == [True] * MAX_BLOCKS_PER_VOTER + [False] * (10 - MAX_BLOCKS_PER_VOTER)
    assert votes.add(prevote(3, A), is_known=True)
    assert not votes.add(prevote(3, A), is_known=True)


def test_signatures_ascend_by_validator() -> None:
    votes = book()
    for vote in (precommit(3, A), precommit(0, A), precommit(1, B)):
        votes.add(vote, is_known=True)

    signatures = votes.signatures(0, VoteKind.PRECOMMIT, A)
    assert signatures == ((0, signature(0)), (3, signature(3)))


def test_the_round_of_f_plus_1_slots() -> None:
    votes = book()
    assert votes.round_of_f_plus_one() is None
    votes.note_round(0, 1000)
    assert votes.round_of_f_plus_one() is None
    votes.note_round(1, 3)
    votes.note_round(2, 5)
    votes.note_round(2, 4)

    assert votes.round_of_f_plus_one() == 5


def test_pruned_rounds_are_forgotten() -> None:
    votes = book()
    votes.add(prevote(0, A), is_known=True)
    votes.add(prevote(0, A, round_=2), is_known=True)

    votes.prune({2})

    assert votes.rounds == [2]
