"""Counting the votes of one macro block, in slots.

Kept for the rounds that the machine wants. Whoever votes for two blocks in one round and kind
counts for each of them, and once where it only matters who has voted: all honest validators must
come to see the same quorums, whichever of the two votes they got first.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

from node.blocks.validators import Validators
from protocols.messages.votes import Vote, VoteKind
from protocols.types import Hash32

MAX_BLOCKS_PER_VOTER: Final = 2
"""Unknown blocks that one validator may vote for in a round and kind. An honest one votes once; a
faulty one must neither fill our memory nor hide its vote for a block that is known."""


_NO_LIMIT: Final = 1 << 30
"""Known blocks are bounded by the proposals kept."""


@dataclass(slots=True)
class _Tally:
    """Votes of one round and kind, and sums that grow with them."""

    signatures: dict[int, dict[Hash32 | None, bytes]] = field(default_factory=dict)
    """By validator and block."""
    slots: int = 0
    slots_by_block: dict[Hash32 | None, int] = field(default_factory=dict)

    def add(
        self, validator: int, slots: int, block: Hash32 | None, signature: bytes, *, limit: int
    ) -> bool:
        votes = self.signatures.setdefault(validator, {})
        if block in votes or len(votes) >= limit:
            return False
        if not votes:
            self.slots += slots
        votes[block] = signature
        self.slots_by_block[block] = self.slots_by_block.get(block, 0) + slots
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

    def add(self, vote: Vote, *, is_known: bool) -> bool:
        """Count a vote; False if it is counted already, or one too many of its voter.

        Args:
            vote: Verified.
            is_known: It is for a block that we know, of which there are few, or for none.
        """
        self.note_round(vote.validator, vote.round)
        tally = self._tallies.setdefault((vote.round, vote.kind), _Tally())
        slots = self._validators.members[vote.validator].slots
        limit = _NO_LIMIT if is_known else MAX_BLOCKS_PER_VOTER
        return tally.add(vote.validator, slots, vote.block, vote.signature, limit=limit)

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
        signatures = self._tally(round_, kind).signatures
        return tuple(
            (validator, signatures[validator][block])
            for validator in sorted(signatures)
            if block in signatures[validator]
        )

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
