"""Which slots a macro block punishes, and which it does not pay.

A slot that was skipped produces nothing in the next batch. An election block punishes nobody: the
slots above it belong to validators who have not been asked yet. Slots that were skipped, or that
were punished and had nothing to do, earn nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from node.blocks.block import Block
from node.blocks.slots import slot_above
from node.blocks.validators import SignerSet
from node.blocks.verify import BatchRules
from protocols.types import Height

NOBODY = SignerSet(0)


@dataclass(frozen=True, slots=True)
class Absences:
    """The slots that were skipped in a batch, on one branch of it."""

    slots: SignerSet = NOBODY

    @classmethod
    def of(cls, skips: Iterable[Block], rules: BatchRules) -> Self:
        """Find out whom skip blocks have skipped."""
        return cls(SignerSet.of(skipped_slot(block, rules) for block in skips))

    def punished_at(self, number: Height, rules: BatchRules) -> SignerSet:
        """Return the slots that the macro block at a height, which closes the batch, punishes."""
        return NOBODY if rules.policy.is_election(number) else self.slots

    def unrewarded(self, rules: BatchRules) -> SignerSet:
        """Return the slots that the macro block does not pay."""
        return SignerSet(self.slots.bits | rules.punished.bits)


def skipped_slot(skip: Block, rules: BatchRules) -> int:
    """Return the slot whose owner was silent. A skip block repeats the seed that chose it."""
    return slot_above(rules.validators, rules.punished, skip.header.seed, skip.number)
