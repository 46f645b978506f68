"""What stays the same for the life of a chain."""

from dataclasses import dataclass

from node.blocks.slots import Candidate
from node.blocks.verify import BatchRules
from node.chain.head import ChainHead
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSettings:
    """The network's numbers, and what this node keeps of the chain."""

    policy: Policy
    network: int
    candidates: tuple[Candidate, ...]
    keys: KeyCache
    retention: Retention
    """Which final blocks stay stored."""
    keeps_state: bool
    """Blocks are executed, which takes their bodies."""

    def __post_init__(self) -> None:
        """Refuse settings that cannot work."""
        assert self.retention.has_bodies or not self.keeps_state

    @property
    def needs_bodies(self) -> bool:
        """Whether a block without its body is refused."""
        return self.retention.has_bodies

    @property
    def keeps_history(self) -> bool:
        """Whether every transaction stays stored and can be proven."""
        return self.retention is Retention.ALL and self.keeps_state

    def rules_above(self, head: ChainHead) -> BatchRules:
        """Return what the blocks above a head's macro block are verified against."""
        return BatchRules(
            policy=self.policy,
            network=self.network,
            candidates=self.candidates,
            validators=head.validators,
            punished=head.macro.punished,
            election=head.election.hash,
            keys=self.keys,
        )
