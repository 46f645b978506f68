"""Counting the votes of one macro block, in slots.

Kept for a bounded window of rounds around the current one. The first vote of a validator in a
round and kind counts; a second, different one is equivocation and is not counted.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from node.blocks.validators import Validators
from protocols.messages.votes import VoteKind
from protocols.types import Hash32


@dataclass(frozen=True, slots=True)
class CountedVote:
    """One validator's vote of a known round and kind."""

    block: Hash32 | None
    signature: bytes
    """BLS, 96 bytes, verified."""


@dataclass(slots=True)
class _Tally:
    """Votes of one round and kind, and sums that grow with them."""

    votes: dict[int, CountedVote] = field(default_factory=dict)
    slots: int = 0
    slots_by_block: dict[Hash32 | None, int] = field(default_factory=dict)

    def add(self, validator: int, slots: int, vote: CountedVote) -> bool:
        if validator in self.votes:
            return False
        self.votes[validator] = vote
        self.slots += slots
        self.slots_by_block[vote.block] = self.slots_by_block.get(vote.block, 0) + slots
        return True


_NO_VOTES: Final = _Tally()


class VoteBook:
    """Votes by round, kind and validator, and the slots behind them."""

    def __init__(self, validators: Validators, *, quorum: int, f_plus_one: int) -> None:
        self._validators = validators
        self._quorum = quorum
        self._f_plus_one = f_plus_one
        self._tallies: dict[tuple[int, VoteKind], _Tally] = {}
        self._newest_rounds: dict[int, int] = {}

    @property
    def rounds(self) -> list[int]:
        """Rounds of which votes are kept, ascending."""
        return sorted({round_ for round_, _ in self._tallies})

    def add(self, round_: int, kind: VoteKind, validator: int, vote: CountedVote) -> bool:
        """Count a vote; False if this validator's vote of that round and kind is known."""
        self.note_round(validator, round_)
        slots = self._validators.members[validator].slots
        return self._tallies.setdefault((round_, kind), _Tally()).add(validator, slots, vote)

    def note_round(self, validator: int, round_: int) -> None:
        """Remember that a validator has reached a round, without keeping its vote."""
        self._newest_rounds[validator] = max(round_, self._newest_rounds.get(validator, 0))

    def prune(self, keep: Collection[int]) -> None:
        """Forget the votes of all rounds but these."""
        for key in [key for key in self._tallies if key[0] not in keep]:
            del self._tallies[key]

    def has_any_quorum(self, round_: int, kind: VoteKind) -> bool:
        """Tell whether a quorum of slots has voted, for whatever."""
        return self._tally(round_, kind).slots >= self._quorum

    def has_quorum(self, round_: int, kind: VoteKind, block: Hash32 | None) -> bool:
        """Tell whether a quorum of slots has voted for one block, or for none."""
        return self._tally(round_, kind).slots_by_block.get(block, 0) >= self._quorum

    def quorum_block(self, round_: int, kind: VoteKind) -> Hash32 | None:
        """Return the block that a quorum of slots has voted for in a round."""
        for block, slots in self._tally(round_, kind).slots_by_block.items():
            if block is not None and slots >= self._quorum:
                return block
        return None

    def has_honest_vote(self, block: Hash32) -> bool:
        """Tell whether f+1 slots have voted for a block in one round and kind."""
        return any(
            tally.slots_by_block.get(block, 0) >= self._f_plus_one
            for tally in self._tallies.values()
        )

    def has_prevote_quorum(self, block: Hash32) -> bool:
        """Tell whether a quorum of slots has prevoted for a block in one round."""
        return any(
            self.has_quorum(round_, kind, block)
            for round_, kind in self._tallies
            if kind is VoteKind.PREVOTE
        )

    def signatures(
        self, round_: int, kind: VoteKind, block: Hash32
    ) -> tuple[tuple[int, bytes], ...]:
        """Return (validator, signature) of all votes for a block, by ascending validator."""
        votes = self._tally(round_, kind).votes
        return tuple((i, votes[i].signature) for i in sorted(votes) if votes[i].block == block)

    def round_of_f_plus_one(self) -> int | None:
        """Return the highest round that f+1 slots have reached: an honest one is that far."""
        slots = 0
        newest_first = sorted(self._newest_rounds.items(), key=lambda item: (-item[1], item[0]))
        for validator, round_ in newest_first:
            slots += self._validators.members[validator].slots
            if slots >= self._f_plus_one:
                return round_
        return None

    def _tally(self, round_: int, kind: VoteKind) -> _Tally:
        return self._tallies.get((round_, kind), _NO_VOTES)
