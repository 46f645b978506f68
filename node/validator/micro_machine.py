"""Producing micro blocks in time, and skipping those who do not.

Life of one height above one parent, a turn:

    IDLE --TurnStarted--> OPEN --closes_at: vote to skip--> SKIPPING
                          OPEN --ours, opens_at: produce--> OPEN
              OPEN, SKIPPING --quorum of skip votes: build the skip block--> CLOSED
                         any --TurnStarted--> OPEN of the next turn
                         any --Halted--> IDLE

A turn closes a producer timeout after the parent's time, or after we saw the parent if that was
later: when a whole network comes back after a pause, its producers get a fair chance. A producer
whose block did not become the head in time votes to skip itself like everybody else.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from node.blocks.validators import Validators
from node.policy import Policy
from node.validator.macro_timeouts import MIN_REPEAT_S
from protocols.messages.votes import SkipVote
from protocols.types import Hash32, Height

HEIGHTS_AHEAD: Final = 4
"""Skip votes are kept for the next height and this many above: others may be ahead of us by a few
blocks. What is further away is repeated by those who cast it."""

PARENTS_PER_VOTER: Final = 4
"""Different parents that one validator may vote above at one height: forks within a batch are few,
and a faulty validator must not fill our memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """The height above the head, and who fills it."""

    number: Height
    parent: Hash32
    parent_seed: bytes
    parent_at: float
    """The parent's timestamp on the monotonic clock, seconds."""
    is_ours: bool
    """Whether we own the slot."""


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """The head has moved and a micro block comes next."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Halted:
    """A macro block comes next, or consensus is lost: sign nothing until `TurnStarted`."""


@dataclass(frozen=True, slots=True)
class SkipVoteArrived:
    """A skip vote with a verified signature; our own come this way too, once they are stored."""

    vote: SkipVote


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """The time of `next_deadline` has come."""


MicroEvent: TypeAlias = TurnStarted | Halted | SkipVoteArrived | DeadlinePassed


@dataclass(frozen=True, slots=True)
class ProduceBlock:
    """Make, sign, push and publish the block of this turn."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class CastSkipVote:
    """Store, sign, publish and count the vote; the same again when it is repeated."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class BuildSkipBlock:
    """Push and publish the skip block of this turn."""

    turn: Turn
    votes: tuple[tuple[int, bytes], ...]
    """(validator, BLS signature), by ascending validator: a quorum."""


MicroEffect: TypeAlias = ProduceBlock | CastSkipVote | BuildSkipBlock


class _State(Enum):
    IDLE = "idle"
    OPEN = "open"
    SKIPPING = "skipping"
    CLOSED = "closed"


class MicroMachine:
    """One validator's part in filling every height that is not a macro block's."""

    def __init__(self, policy: Policy) -> None:
        self._separation_s: Final = policy.block_separation_ms / 1000
        self._timeout_s: Final = policy.producer_timeout_ms / 1000
        self._repeat_s: Final = max(MIN_REPEAT_S, self._timeout_s / 4)
        self._quorum: Final = policy.quorum
        self._state = _State.IDLE
        self._turn: Turn | None = None
        self._validators = Validators(())
        self._has_produced = False
        self._closes_at = 0.0
        self._repeat_at = 0.0
        self._votes: dict[tuple[Height, bytes], dict[int, bytes]] = {}

    @property
    def votes_kept(self) -> int:
        """Skip votes in memory."""
        return sum(len(votes) for votes in self._votes.values())

    def use_validators(self, validators: Validators) -> None:
        """Count the slots of these from now on. Votes of other validators are forgotten."""
        if validators != self._validators:
            self._validators = validators
            self._votes.clear()

    def handle(self, event: MicroEvent, now: float) -> list[MicroEffect]:
        """Apply one event and return what to do about it, in order.

        Args:
            event: What happened.
            now: Monotonic clock, seconds. Must never go backwards between calls.
        """
        match event:
            case TurnStarted(turn):
                self._on_turn_started(turn, now)
            case Halted():
                self._state, self._turn = _State.IDLE, None
            case SkipVoteArrived(vote):
                self._on_skip_vote(vote)
            case DeadlinePassed():
                pass
        return [] if self._turn is None else self._act(self._turn, now)

    def next_deadline(self) -> float | None:
        """Clock time at which to pass `DeadlinePassed`, or None when nothing is waited for."""
        if self._turn is None or self._state in (_State.IDLE, _State.CLOSED):
            return None
        if self._state is _State.SKIPPING:
            return self._repeat_at
        if self._turn.is_ours and not self._has_produced:
            return self._turn.parent_at + self._separation_s
        return self._closes_at

    def _on_turn_started(self, turn: Turn, now: float) -> None:
        """Any -> OPEN."""
        self._state, self._turn = _State.OPEN, turn
        self._has_produced = False
        self._closes_at = max(turn.parent_at, now) + self._timeout_s
        self._votes = {key: votes for key, votes in self._votes.items() if key[0] >= turn.number}

    def _on_skip_vote(self, vote: SkipVote) -> None:
        """Keep the vote if it is near and its voter has not voted above too many parents."""
        # Without a turn nothing is near. Whoever casts a vote repeats it.
        if self._turn is None or not 0 <= vote.number - self._turn.number <= HEIGHTS_AHEAD:
            return
        parents = sum(
            number == vote.number and vote.validator in votes
            for (number, _), votes in self._votes.items()
        )
        if parents < PARENTS_PER_VOTER:
            votes = self._votes.setdefault((vote.number, vote.parent_seed), {})
            votes.setdefault(vote.validator, vote.signature)

    def _act(self, turn: Turn, now: float) -> list[MicroEffect]:
        if self._state is _State.CLOSED:
            return []
        votes = self._votes.get((turn.number, turn.parent_seed), {})
        if sum(self._validators.members[index].slots for index in votes) >= self._quorum:
            return self._build(turn, votes)
        if self._state is _State.OPEN and now >= self._closes_at:
            return self._vote(turn, now)
        if self._state is _State.SKIPPING and now >= self._repeat_at:
            return self._vote(turn, now)
        return self._produce(turn, now)

    def _produce(self, turn: Turn, now: float) -> list[MicroEffect]:
        """OPEN -> OPEN, once per turn and not before its time."""
        if self._state is not _State.OPEN or not turn.is_ours or self._has_produced:
            return []
        if now < turn.parent_at + self._separation_s:
            return []
        self._has_produced = True
        return [ProduceBlock(turn)]

    def _vote(self, turn: Turn, now: float) -> list[MicroEffect]:
        """OPEN -> SKIPPING, or say it again."""
        self._state = _State.SKIPPING
        self._repeat_at = now + self._repeat_s
        return [CastSkipVote(turn)]

    def _build(self, turn: Turn, votes: dict[int, bytes]) -> list[MicroEffect]:
        """OPEN or SKIPPING -> CLOSED."""
        self._state = _State.CLOSED
        return [BuildSkipBlock(turn, tuple(sorted(votes.items())))]
