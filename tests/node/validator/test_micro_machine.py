"""One test for each arrow of the micro machine: four validators with a slot each, quorum 3."""

from dataclasses import replace

from node.policy import Policy
from node.validator.micro_machine import (
    HEIGHTS_AHEAD,
    PARENTS_PER_VOTER,
    BuildSkipBlock,
    CastSkipVote,
    DeadlinePassed,
    Halted,
    MicroMachine,
    ProduceBlock,
    SkipVoteArrived,
    Turn,
    TurnStarted,
)
from protocols.messages.votes import SkipVote
from protocols.types import SEED_BYTES
from tests.build.blocks import digest
from tests.build.keys import validators
from tests.build.macro import signature

POLICY = Policy(batch_length=100, slots=4, block_separation_ms=1000, producer_timeout_ms=4000)
SEED = bytes(SEED_BYTES)
OTHER_SEED = b"\x01" * SEED_BYTES
THEIRS = Turn(number=7, parent=digest("6"), parent_seed=SEED, parent_at=100.0, is_ours=False)
OURS = replace(THEIRS, is_ours=True)


def machine() -> MicroMachine:
    made = MicroMachine(POLICY)
    made.use_validators(validators(4))
    return made


def skip_vote(validator: int, *, number: int = 7, seed: bytes = SEED) -> SkipVoteArrived:
    return SkipVoteArrived(
        SkipVote(
            number=number, parent_seed=seed, validator=validator, signature=signature(validator)
        )
    )


def test_does_nothing_before_a_turn() -> None:
    made = machine()

    assert made.handle(DeadlinePassed(), 0) == []
    assert made.next_deadline() is None


def test_our_block_comes_a_separation_after_its_parent_and_once() -> None:
    made = machine()

    assert made.handle(TurnStarted(OURS), 100.2) == []
    assert made.next_deadline() == 101
    assert made.handle(DeadlinePassed(), 100.9) == []
    assert made.handle(DeadlinePassed(), 101) == [ProduceBlock(OURS)]
    assert made.handle(DeadlinePassed(), 101.1) == []


def test_our_block_comes_at_once_when_the_parent_is_old() -> None:
    assert machine().handle(TurnStarted(OURS), 5000) == [ProduceBlock(OURS)]


def test_a_silent_producer_is_voted_out_after_the_timeout() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100.2)

    assert made.next_deadline() == 104.2
    assert made.handle(DeadlinePassed(), 104.1) == []
    assert made.handle(DeadlinePassed(), 104.2) == [CastSkipVote(THEIRS)]


def test_a_parent_seen_late_gives_its_successor_the_whole_timeout() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 5000)

    assert made.next_deadline() == 5004


def test_a_parent_ahead_of_our_clock_gives_until_its_own_timeout() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 99)

    assert made.next_deadline() == 104


def test_the_vote_is_repeated() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100)
    made.handle(DeadlinePassed(), 104)

    assert made.next_deadline() == 105
    assert made.handle(DeadlinePassed(), 105) == [CastSkipVote(THEIRS)]
    assert made.next_deadline() == 106


def test_a_producer_whose_block_got_nowhere_votes_itself_out() -> None:
    made = machine()
    made.handle(TurnStarted(OURS), 101)

    assert made.next_deadline() == 105
    assert made.handle(DeadlinePassed(), 105) == [CastSkipVote(OURS)]


def test_a_quorum_builds_the_skip_block_once() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100)
    made.handle(skip_vote(3), 104)
    made.handle(skip_vote(0), 104)

    assert made.handle(skip_vote(0), 104) == []
    assert made.handle(skip_vote(2), 104) == [
        BuildSkipBlock(THEIRS, ((0, signature(0)), (2, signature(2)), (3, signature(3))))
    ]
    assert made.handle(skip_vote(1), 104) == []
    assert made.next_deadline() is None


def test_votes_above_another_parent_do_not_count() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100)
    made.handle(skip_vote(0), 104)
    made.handle(skip_vote(2), 104)

    assert made.handle(skip_vote(3, seed=OTHER_SEED), 104) == []
    assert made.handle(skip_vote(3, number=8), 104) == []


def test_votes_that_came_before_the_head_count() -> None:
    made = machine()
    made.handle(TurnStarted(replace(THEIRS, number=6)), 100)
    for validator in (0, 2, 3):
        assert made.handle(skip_vote(validator), 100) == []

    assert made.handle(TurnStarted(THEIRS), 100) == [
        BuildSkipBlock(THEIRS, ((0, signature(0)), (2, signature(2)), (3, signature(3))))
    ]


def test_a_new_head_ends_the_turn() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100)
    made.handle(DeadlinePassed(), 104)
    after = replace(THEIRS, number=8, parent=digest("7"), parent_at=104.0)

    assert made.handle(TurnStarted(after), 104.5) == []
    assert made.next_deadline() == 108.5


def test_several_dead_producers_in_a_row_are_each_given_a_timeout() -> None:
    made, now = machine(), 100.0
    for number in (7, 8, 9):
        turn = replace(THEIRS, number=number, parent_at=now)
        made.handle(TurnStarted(turn), now)
        now += 4
        assert made.handle(DeadlinePassed(), now) == [CastSkipVote(turn)]


def test_halted_does_nothing_until_the_next_turn() -> None:
    made = machine()
    made.handle(TurnStarted(OURS), 100)

    assert made.handle(Halted(), 100.5) == []
    assert made.next_deadline() is None
    assert made.handle(DeadlinePassed(), 200) == []
    assert made.handle(TurnStarted(OURS), 200) == [ProduceBlock(OURS)]


def test_far_votes_and_too_many_parents_are_not_kept() -> None:
    made = machine()
    assert made.handle(skip_vote(0), 0) == []
    assert made.votes_kept == 0
    made.handle(TurnStarted(THEIRS), 100)

    made.handle(skip_vote(0, number=6), 100)
    made.handle(skip_vote(0, number=7 + HEIGHTS_AHEAD + 1), 100)
    assert made.votes_kept == 0
    for height in range(7, 7 + HEIGHTS_AHEAD + 1):
        for parent in range(100):
            made.handle(skip_vote(0, number=height, seed=bytes([parent]) * SEED_BYTES), 100)
    assert made.votes_kept == (HEIGHTS_AHEAD + 1) * PARENTS_PER_VOTER


def test_votes_of_an_epoch_that_ended_are_forgotten() -> None:
    made = machine()
    made.handle(TurnStarted(THEIRS), 100)
    made.handle(skip_vote(0), 100)

    made.use_validators(validators(4))
    assert made.votes_kept == 1
    made.use_validators(validators(5))
    assert made.votes_kept == 0
