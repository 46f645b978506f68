"""Macro machines against each other, lost and late messages, crashes, and faulty validators.

Safety: whatever happens, no two honest validators decide on different blocks, and no honest one
signs against a vote that it has stored. Liveness: once messages arrive, all honest ones decide.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

from hypothesis import given, settings
from hypothesis import strategies as st

from node.blocks.validators import Validators
from node.validator.macro_events import (
    CastVote,
    CheckContent,
    ContentChecked,
    ContentCreated,
    CreateContent,
    DeadlinePassed,
    Decide,
    Halted,
    MacroEffect,
    MacroEvent,
    ParentReached,
    ProposalArrived,
    ProposalSigned,
    PublishProposal,
    Repeat,
    SignProposal,
    VoteArrived,
)
from node.validator.macro_machine import MacroMachine
from node.validator.macro_timeouts import MacroTimeouts
from node.validator.macro_values import MacroContent, MacroRecord, OwnVote, SignedProposal
from node.validator.signed_store import continues
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind, VoteMessage
from protocols.types import Hash32
from tests.build.blocks import digest
from tests.build.keys import validators
from tests.build.macro import NUMBER, content, policy, proposal, signed, vote

PARENTS = (digest("parent one"), digest("parent two"))
Said: TypeAlias = Vote | SignedProposal
"""What voters send."""

TICK_S = 0.1
MAX_TICKS = 3000
"""Five minutes: twelve rounds with their growing timeouts."""

MEMORY_BOUND = 200
"""Rounds, proposals and checks that one machine may hold: nine rounds and what they refer to."""


@dataclass
class Voter:
    """One honest validator: a machine and what its disk holds."""

    index: int
    net: "VoteNet"
    record: MacroRecord | None = None
    decided: Hash32 | None = None
    machine: MacroMachine = field(init=False)

    def __post_init__(self) -> None:
        self.start(PARENTS[0])

    def start(self, parent: Hash32) -> None:
        """Start, or start again with nothing but the record."""
        stored = None if self.record is None else MacroRecord.decode(self.record.encode())
        assert stored == self.record
        self.machine = MacroMachine(
            number=NUMBER,
            validators=self.net.validators,
            own_index=self.index,
            policy=self.net.policy,
            timeouts=MacroTimeouts.of(self.net.policy),
            restored=stored,
        )
        self.reach(parent)

    def reach(self, parent: Hash32) -> None:
        self.parent = parent
        self.feed(ParentReached(parent, 1.0, self.net.proposers(parent)))

    def tick(self) -> None:
        deadline = self.machine.next_deadline()
        if deadline is not None and deadline <= self.net.now:
            self.feed(DeadlinePassed())

    def receive(self, message: Said) -> None:
        match message:
            case SignedProposal():
                self.feed(ProposalArrived(message))
            case Vote():
                self.feed(VoteArrived(message))

    def feed(self, event: MacroEvent) -> None:
        events = [event]
        while events:
            for effect in self.machine.handle(events.pop(0), self.net.now):
                events += self._perform(effect)
        assert self.machine.kept <= MEMORY_BOUND

    def _perform(self, effect: MacroEffect) -> list[MacroEvent]:  # noqa: PLR0911 - one table
        match effect:
            case CreateContent(round_):
                label = f"{self.index}/{round_}"
                return [ContentCreated(round_, self.net.new(label, round_, self.parent))]
            case CheckContent(round_, block):
                return [ContentChecked(round_, block.hash, not _is_bad(block))]
            case SignProposal(round_, valid_round, block):
                return [
                    ProposalSigned(
                        proposal(block, proposer=self.index, round_=round_, valid_round=valid_round)
                    )
                ]
            case PublishProposal(published, record):
                self._store(record)
                self.net.send(published)
                return []
            case CastVote(own_vote, record):
                self._store(record)
                self.net.send(signed(own_vote, self.index))
                return [VoteArrived(signed(own_vote, self.index))]
            case Repeat(own_votes, messages):
                return self._repeat(own_votes, messages)
            case Decide(block):
                assert self.decided in (None, block.hash)
                self.decided = block.hash
                return []

    def _repeat(
        self, own_votes: tuple[OwnVote, ...], messages: tuple[VoteMessage, ...]
    ) -> list[MacroEvent]:
        for message in messages:
            assert not isinstance(message, SkipVote)
            self.net.send(SignedProposal.of(message) if isinstance(message, Proposal) else message)
        again = [signed(own_vote, self.index) for own_vote in own_votes]
        for each in again:
            self.net.send(each)
        return [VoteArrived(each) for each in again]

    def _store(self, record: MacroRecord) -> None:
        assert self.record is None or continues(record, self.record)
        self.record = record


def _is_bad(block: MacroContent) -> bool:
    return block.header.extra_data.startswith(b"bad")


class VoteNet:
    """Honest voters, faulty ones that say anything to anybody, and messages under way."""

    def __init__(self, seed: int, honest: int, faulty: int) -> None:
        count = honest + faulty
        self.rng = Random(seed)
        self.now = 0.0
        self.policy = policy(count)
        self.validators: Validators = validators(count)
        self.under_way: list[tuple[int, Said]] = []
        self.blocks: list[MacroContent] = []
        self.faulty = range(honest, count)
        self.voters: list[Voter] = []
        self.voters = [Voter(index, self) for index in range(honest)]

    def proposers(self, parent: Hash32) -> Callable[[int], int]:
        offset, count = PARENTS.index(parent), len(self.validators.members)
        return lambda round_: (round_ + offset) % count

    def new(self, label: str, round_: int, parent: Hash32) -> MacroContent:
        block = content(label, round_=round_, parent=parent)
        self.blocks.append(block)
        return block

    def send(self, message: Said) -> None:
        self.under_way += [(voter.index, message) for voter in self.voters]

    def chaos(self, steps: int) -> None:
        """Anything may happen, in any order."""
        acts: list[tuple[Callable[[], None], int]] = [
            (self._deliver_one, 50),
            (self._lose_some, 4),
            (self._let_time_pass, 14),
            (self._restart_one, 2),
            (self._move_a_head, 2),
            (self._faulty_vote, 10 if self.faulty else 0),
            (self._faulty_echo, 30 if self.faulty else 0),
            (self._faulty_proposal, 5 if self.faulty else 0),
        ]
        chosen = self.rng.choices([act for act, _ in acts], [weight for _, weight in acts], k=steps)
        for act in chosen:
            act()
            self.check_safety()

    def calm(self) -> None:
        """From now on every message of an honest voter arrives, and all heads are the same."""
        for voter in self.voters:
            voter.reach(PARENTS[0])
        for _ in range(MAX_TICKS):
            if all(voter.decided for voter in self.voters):
                return
            self._pass_one_tick()
            self._tell_the_decision()

    def calm_without_news(self, ticks: int) -> None:
        """As `calm`, but who has not decided does not hear of those who have."""
        for voter in self.voters:
            voter.reach(PARENTS[0])
        for _ in range(ticks):
            self._pass_one_tick()

    def _pass_one_tick(self) -> None:
        self.now += TICK_S
        for _ in self.faulty:
            self._faulty_vote()
            self._faulty_echo()
            self._faulty_echo()
        arrived, self.under_way = self.under_way, []
        self.rng.shuffle(arrived)
        for index, message in arrived:
            self.voters[index].receive(message)
        for voter in self.voters:
            voter.tick()
        self.check_safety()

    def check_safety(self) -> None:
        decided = {voter.decided for voter in self.voters if voter.decided is not None}
        assert len(decided) <= 1

    def _tell_the_decision(self) -> None:
        """A decided block is a block like any other: block live sync brings it to everybody."""
        decided = next((voter.decided for voter in self.voters if voter.decided), None)
        for voter in self.voters:
            voter.decided = voter.decided or decided

    def _deliver_one(self) -> None:
        if self.under_way:
            position = self.rng.randrange(len(self.under_way))
            # A delivered message may come again.
            index, message = self.under_way[position]
            if self.rng.random() < 0.9:
                self.under_way[position] = self.under_way[-1]
                self.under_way.pop()
            self.voters[index].receive(message)

    def _lose_some(self) -> None:
        self.under_way = [each for each in self.under_way if self.rng.random() < 0.7]

    def _let_time_pass(self) -> None:
        self.now += self.rng.choice((0.1, 1.0, 3.0))
        for voter in self.voters:
            if self.rng.random() < 0.8:
                voter.tick()

    def _restart_one(self) -> None:
        self.rng.choice(self.voters).start(self.rng.choice(PARENTS))

    def _move_a_head(self) -> None:
        voter = self.rng.choice(self.voters)
        if self.rng.random() < 0.3:
            voter.feed(Halted())
        else:
            voter.reach(self.rng.choice(PARENTS))

    def _a_round(self) -> int:
        newest = max(voter.machine.round or 0 for voter in self.voters)
        return max(0, newest + self.rng.randrange(-2, 3))

    def _faulty_vote(self) -> None:
        block = self.rng.choice([None, *self.blocks[-6:]])
        self.rng.choice(self.voters).receive(
            vote(
                self.rng.choice(tuple(VoteKind)),
                self.rng.choice(self.faulty),
                None if block is None else block.hash,
                round_=self._a_round(),
            )
        )

    def _faulty_echo(self) -> None:
        """Support what somebody says, before one voter: that is how a minority makes quorums."""
        if not self.under_way:
            return
        _, message = self.rng.choice(self.under_way)
        receiver = self.rng.choice(self.voters)
        block = message.hash if isinstance(message, SignedProposal) else message.block
        kinds = tuple(VoteKind) if isinstance(message, SignedProposal) else (message.kind,)
        for index in self.faulty:
            for kind in kinds:
                receiver.receive(vote(kind, index, block, round_=message.round))

    def _faulty_proposal(self) -> None:
        round_, proposer = self._a_round(), self.rng.choice(self.faulty)
        valid_round = None
        older = [block for block in self.blocks[-6:] if block.header.round < round_]
        if older and self.rng.random() < 0.5:
            block = self.rng.choice(older)
            valid_round = self.rng.randrange(block.header.round, round_)
        else:
            label = self.rng.choice(("bad", "good")) + str(self.rng.random())
            block = self.new(label, round_, self.rng.choice(PARENTS))
        message = proposal(block, proposer=proposer, round_=round_, valid_round=valid_round)
        self.rng.choice(self.voters).receive(message)


def _faulty_of(count: int) -> int:
    """Return the most validators of equal weight that may be faulty."""
    quorum = policy(count).quorum
    return min(2 * quorum - count - 1, count - quorum)


@given(seed=st.integers(0, 2**32), count=st.integers(4, 7), steps=st.integers(0, 600))
@settings(deadline=None)
def test_no_two_decisions_and_one_in_the_end(seed: int, count: int, steps: int) -> None:
    faulty = _faulty_of(count)
    net = VoteNet(seed, count - faulty, faulty)

    net.chaos(steps)
    net.calm()

    assert all(voter.decided for voter in net.voters)


@given(seed=st.integers(0, 2**32), count=st.integers(4, 7), steps=st.integers(0, 600))
@settings(deadline=None)
def test_silent_ones_do_not_stop_the_rest(seed: int, count: int, steps: int) -> None:
    """Those who may be faulty took part in the chaos and are gone for good afterwards."""
    faulty = _faulty_of(count)
    net = VoteNet(seed, count - faulty, faulty)

    net.chaos(steps)
    net.faulty = range(0)
    net.calm()

    assert all(voter.decided for voter in net.voters)


@given(seed=st.integers(0, 2**32), count=st.integers(4, 7), steps=st.integers(100, 600))
@settings(deadline=None)
def test_who_does_not_hear_of_the_decision_makes_no_other(
    seed: int, count: int, steps: int
) -> None:
    """Some have decided and are silent, faulty ones support whatever the others try."""
    faulty = _faulty_of(count)
    net = VoteNet(seed, count - faulty, faulty)

    net.chaos(steps)
    net.calm_without_news(ticks=600)
