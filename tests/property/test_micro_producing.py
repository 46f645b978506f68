"""Any sequence of events: bounded votes, one block per turn, and no skip block without a quorum."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node.policy import Policy
from node.validator.micro_machine import (
    HEIGHTS_AHEAD,
    PARENTS_PER_VOTER,
    BuildSkipBlock,
    CastSkipVote,
    DeadlinePassed,
    Halted,
    MicroEvent,
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
SEEDS = [bytes([seed]) * SEED_BYTES for seed in range(6)]


class MicroProducing(RuleBasedStateMachine):
    """A machine whose own votes come back to it."""

    def __init__(self) -> None:
        super().__init__()
        self.machine = MicroMachine(POLICY)
        self.machine.use_validators(validators(4))
        self.now = 1000.0
        self.turn: Turn | None = None
        self.produced = 0
        self.built = 0
        self.voters: set[tuple[int, bytes, int]] = set()

    def feed(self, event: MicroEvent) -> None:
        for effect in self.machine.handle(event, self.now):
            match effect:
                case ProduceBlock(turn):
                    assert turn == self.turn
                    assert turn.is_ours
                    assert self.now >= turn.parent_at + 1
                    self.produced += 1
                case CastSkipVote(turn):
                    assert turn == self.turn
                    assert self.now >= turn.parent_at + 4
                    self.vote(0, turn.number, turn.parent_seed)
                case BuildSkipBlock(turn, votes):
                    assert turn == self.turn
                    assert len(votes) >= POLICY.quorum
                    for validator, _ in votes:
                        assert (turn.number, turn.parent_seed, validator) in self.voters
                    self.built += 1

    def vote(self, validator: int, number: int, seed: bytes) -> None:
        self.voters.add((number, seed, validator))
        self.feed(
            SkipVoteArrived(
                SkipVote(
                    number=number,
                    parent_seed=seed,
                    validator=validator,
                    signature=signature(validator),
                )
            )
        )

    @rule(
        number=st.integers(1, 12),
        seed=st.sampled_from(SEEDS),
        age=st.floats(-3, 50),
        is_ours=st.booleans(),
    )
    def start_turn(self, number: int, seed: bytes, age: float, *, is_ours: bool) -> None:
        self.turn = Turn(
            number=number,
            parent=digest(f"{number}/{seed.hex()}"),
            parent_seed=seed,
            parent_at=self.now - age,
            is_ours=is_ours,
        )
        self.produced = self.built = 0
        self.feed(TurnStarted(self.turn))

    @rule()
    def halt(self) -> None:
        self.turn = None
        self.feed(Halted())

    @rule(validator=st.integers(0, 3), number=st.integers(1, 20), seed=st.sampled_from(SEEDS))
    def receive_vote(self, validator: int, number: int, seed: bytes) -> None:
        self.vote(validator, number, seed)

    @rule(seconds=st.floats(0, 6))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.feed(DeadlinePassed())

    @invariant()
    def acts_once_per_turn(self) -> None:
        assert self.produced <= 1
        assert self.built <= 1

    @invariant()
    def no_deadline_is_left_behind(self) -> None:
        deadline = self.machine.next_deadline()
        if self.turn is None:
            assert deadline is None
        if deadline is not None:
            self.feed(DeadlinePassed())
            again = self.machine.next_deadline()
            assert again is None or again > self.now

    @invariant()
    def votes_are_bounded(self) -> None:
        assert self.machine.votes_kept <= 4 * (HEIGHTS_AHEAD + 1) * PARENTS_PER_VOTER


TestMicroProducing = MicroProducing.TestCase
