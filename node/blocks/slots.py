"""Drawing validators for an epoch and slot owners for a height.

Every draw is the Blake2b-256 of a domain, the entropy and counters, read as a big-endian number
and reduced: with 256 bits the remainder's bias is far below anything that could be noticed.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from node.blocks.validators import SignerSet, Validator, Validators
from node.crypto.hashes import hash32
from node.crypto.seeds import entropy as entropy_of
from protocols.types import Address, Height

_ELECTION_DOMAIN: Final = b"headway election"
_PRODUCER_DOMAIN: Final = b"headway producer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Somebody who may be elected."""

    address: Address
    """Account that rewards go to."""
    signing_key: bytes
    """Ed25519 public key, 32 bytes."""
    voting_key: bytes
    """Compressed BLS12-381 G1 public key, 48 bytes, with a checked proof of possession."""
    stake: int
    """Weight in the draw, at least 1."""


def draw_validators(candidates: Sequence[Candidate], entropy: bytes, slots: int) -> Validators:
    """Draw the slots of an epoch, weighted by stake.

    The stakes lie end to end in the order of the signing keys, cut into as many equal strata as
    there are slots; each slot goes to the owner of a random point of its stratum. So every
    candidate's expectation is its exact share, and it gets that share rounded up or down or one
    more or less: no draw can give a minority of the stake a third of the slots by luck.

    At least one candidate, in any order; `entropy` is that of the election block's seed.
    """
    ordered = sorted(candidates, key=lambda candidate: candidate.signing_key)
    ends = list(accumulate(candidate.stake for candidate in ordered))
    total = ends[-1]
    # Slot i draws from [i * total, (i + 1) * total) on a line stretched by `slots`.
    stretched_ends = [end * slots for end in ends]
    won = Counter(
        bisect_right(
            stretched_ends, slot * total + _draw(_ELECTION_DOMAIN, entropy, slot, 0, total)
        )
        for slot in range(slots)
    )
    return Validators(tuple(_elected(ordered[index], won[index]) for index in sorted(won)))


def slot_above(
    validators: Validators, punished: SignerSet, seed: bytes, number: Height, round_: int = 0
) -> int:
    """Return the slot whose owner has the turn above a block: the one rule for everybody.

    Args:
        validators: Of the epoch.
        punished: Slots that the last macro block has punished.
        seed: Of the block below, which has been verified.
        number: Height of the turn.
        round_: Of a macro block; a micro block has round 0.
    """
    return producer_slot(validators, punished, entropy_of(seed), number, round_)


def producer_slot(
    validators: Validators, punished: SignerSet, entropy: bytes, number: Height, round_: int = 0
) -> int:
    """Return the slot that produces a micro block, or proposes a macro block in a round.

    The slots that are not punished (or all, if all are) are shuffled anew for each height, because
    a skip block repeats its parent's seed; round r takes the r-th, so rounds that follow each other
    have different slots. After the last slot the first follows again.

    `punished` holds slots, not validators; `entropy` is that of the parent's seed.
    """
    slots = _eligible(validators.slots, punished)
    wanted = round_ % len(slots)
    for position in range(wanted + 1):
        left = len(slots) - position
        chosen = position + _draw(_PRODUCER_DOMAIN, entropy, number, position, left)
        slots[position], slots[chosen] = slots[chosen], slots[position]
    return slots[wanted]


def _eligible(count: int, punished: SignerSet) -> list[int]:
    """Return the slots that are not punished, or all if all are."""
    if not punished.bits:
        return list(range(count))
    return [slot for slot in range(count) if slot not in punished] or list(range(count))


def _draw(domain: bytes, entropy: bytes, first: int, second: int, bound: int) -> int:
    """Return a number in 0..bound-1. Hashes domain || entropy || first: 4 || second: 4 bytes."""
    content = domain + entropy + first.to_bytes(4, "big") + second.to_bytes(4, "big")
    return int.from_bytes(hash32(content), "big") % bound


def _elected(candidate: Candidate, slots: int) -> Validator:
    return Validator(
        address=candidate.address,
        signing_key=candidate.signing_key,
        voting_key=candidate.voting_key,
        slots=slots,
    )
