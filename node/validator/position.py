"""Where a validator stands: the head, the batch around it, and who has the next turn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Self

from node.blocks.header import Header, MacroHeader
from node.blocks.slots import slot_above
from node.blocks.validators import Validators
from node.chain.view import ChainView
from node.policy import Policy
from protocols.types import Height


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """One consistent reading of the chain."""

    head: Header
    macro: MacroHeader
    """Newest final block: the batch above it is under way."""
    validators: Validators
    policy: Policy

    @classmethod
    def of(cls, chain: ChainView) -> Self:
        """Read the chain, which another thread may be pushing to."""
        while True:
            head = chain.head
            position = cls(
                head=head,
                macro=chain.macro_head,
                validators=chain.validators,
                policy=chain.policy,
            )
            # The head is replaced together with the rest: the same head before and after means
            # that nothing in between is of another one.
            if chain.head is head:
                return position

    @property
    def next_number(self) -> Height:
        """Height above the head."""
        return self.head.number + 1

    @property
    def macro_number(self) -> Height:
        """Height of the macro block that ends the batch."""
        return self.policy.macro_after(self.macro.number)

    @property
    def is_macro_next(self) -> bool:
        """Whether the macro block comes next above the head."""
        return self.next_number == self.macro_number

    def producer(self) -> int:
        """Return the position, among the validators, of the producer of the next micro block."""
        return self.proposers()(0)

    def proposers(self) -> Callable[[int], int]:
        """Return the function from rounds to proposers of the next block."""

        @cache
        def proposer(round_: int) -> int:
            slot = slot_above(
                self.validators, self.macro.punished, self.head.seed, self.next_number, round_
            )
            return self.validators.owner_index(slot)

        return proposer
