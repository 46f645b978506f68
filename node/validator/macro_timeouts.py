"""How long macro voting waits."""

from dataclasses import dataclass
from typing import Final, Self

from node.policy import Policy

MAX_TIMEOUT_S: Final = 60.0
"""Growth ends here: after an outage nobody should wait longer than this for a dead proposer."""

MIN_REPEAT_S: Final = 0.5
"""Repeats this far apart cost nothing beside the votes themselves, even at 100 ms a block."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroTimeouts:
    """Waits in seconds. Round r waits r steps longer."""

    propose_s: float
    """For a proposal, from the start of the round."""
    vote_s: float
    """For the remaining votes, after a quorum has voted but not for one block."""
    step_s: float
    """Growth per round: rounds must become longer than any real delay of messages."""
    repeat_s: float
    """Between repeats of our own messages while nothing is decided."""

    @classmethod
    def of(cls, policy: Policy) -> Self:
        """Derive all waits from what the network allows a producer."""
        timeout_s = policy.producer_timeout_ms / 1000
        return cls(
            propose_s=timeout_s,
            vote_s=timeout_s / 2,
            step_s=timeout_s / 2,
            repeat_s=max(MIN_REPEAT_S, timeout_s / 4),
        )

    def propose(self, round_: int) -> float:
        """Wait for the proposal of a round."""
        return min(self.propose_s + round_ * self.step_s, MAX_TIMEOUT_S)

    def vote(self, round_: int) -> float:
        """Wait for the rest of the votes of a round."""
        return min(self.vote_s + round_ * self.step_s, MAX_TIMEOUT_S)
