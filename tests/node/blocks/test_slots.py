from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.blocks.slots import Candidate, draw_validators, producer_slot, slot_above
from node.blocks.validators import SignerSet, Validators
from node.crypto.hashes import hash32
from node.crypto.seeds import entropy as entropy_of
from tests.build.blocks import SEED_0
from tests.build.keys import candidate, validators
from tests.build.strategies import blob

ENTROPY = hash32(b"entropy")
NOBODY = SignerSet(0)
FOUR = validators(4, slots_each=3)
entropies = blob(32)


@st.composite
def _candidates(draw: st.DrawFn) -> list[Candidate]:
    stakes = draw(st.lists(st.integers(1, 2**53 - 1) | st.integers(1, 9), min_size=1, max_size=12))
    return [candidate(index, stake=stake) for index, stake in enumerate(stakes)]


candidates = _candidates()


def _slots_by_key(drawn: Validators) -> dict[bytes, int]:
    return {member.signing_key: member.slots for member in drawn.members}


@given(candidates, entropies, st.integers(1, 512))
def test_all_slots_are_drawn_for_candidates(
    pool: list[Candidate], entropy: bytes, slots: int
) -> None:
    drawn = draw_validators(pool, entropy, slots)
    assert drawn.slots == slots
    assert all(member.slots >= 1 for member in drawn.members)
    by_key = {each.signing_key: each for each in pool}
    for member in drawn.members:
        elected = by_key[member.signing_key]
        assert (member.address, member.voting_key) == (elected.address, elected.voting_key)


@given(candidates, entropies, st.integers(1, 512))
def test_each_gets_its_share_and_at_most_two_slots_more_or_less(
    pool: list[Candidate], entropy: bytes, slots: int
) -> None:
    total = sum(each.stake for each in pool)
    won = _slots_by_key(draw_validators(pool, entropy, slots))
    for each in pool:
        got = won.get(each.signing_key, 0)
        assert abs(got * total - each.stake * slots) < 2 * total


@given(st.integers(1, 8), entropies)
def test_equal_stakes_get_equal_slots(count: int, entropy: bytes) -> None:
    drawn = draw_validators([candidate(index) for index in range(count)], entropy, 8 * count)
    assert [member.slots for member in drawn.members] == [8] * count


@given(candidates, entropies, st.randoms(use_true_random=False))
def test_the_order_of_candidates_does_not_matter(
    pool: list[Candidate], entropy: bytes, luck: object
) -> None:
    shuffled = list(pool)
    luck.shuffle(shuffled)  # type: ignore[attr-defined]
    assert draw_validators(shuffled, entropy, 20) == draw_validators(pool, entropy, 20)


def test_the_expectation_is_the_share() -> None:
    """Over many draws the small candidate wins its tenth of a slot, neither more nor less."""
    pool = [candidate(0, stake=99), candidate(1, stake=1)]
    won: Counter[bytes] = Counter()
    for draw in range(2000):
        won.update(_slots_by_key(draw_validators(pool, hash32(draw.to_bytes(4, "big")), 10)))
    assert 150 < won[pool[1].signing_key] < 250


def test_a_point_on_a_border_belongs_to_the_next_candidate() -> None:
    pool = [candidate(0, stake=1), candidate(1, stake=1)]
    draws = [draw_validators(pool, hash32(draw.to_bytes(4, "big")), 1) for draw in range(400)]
    won = Counter(drawn.members[0].signing_key for drawn in draws)
    assert all(150 < won[each.signing_key] < 250 for each in pool)


def test_a_draw_that_others_can_repeat() -> None:
    drawn = draw_validators([candidate(index, stake=index + 1) for index in range(4)], ENTROPY, 12)
    assert [(member.signing_key.hex()[:4], member.slots) for member in drawn.members] == [
        ("0790", 1),
        ("3582", 3),
        ("6b17", 4),
        ("8780", 4),
    ]


@given(entropies, st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**12 - 1))
def test_a_punished_slot_never_produces(
    entropy: bytes, number: int, round_: int, punished: int
) -> None:
    slot = producer_slot(FOUR, SignerSet(punished), entropy, number, round_)
    assert 0 <= slot < FOUR.slots
    assert slot not in SignerSet(punished) or punished == 2**12 - 1


@given(entropies, st.integers(0, 2**32 - 1), st.integers(0, 2**12 - 2))
def test_rounds_go_through_all_slots_before_one_comes_again(
    entropy: bytes, number: int, punished: int
) -> None:
    free = [slot for slot in range(12) if slot not in SignerSet(punished)]
    order = [
        producer_slot(FOUR, SignerSet(punished), entropy, number, round_)
        for round_ in range(2 * len(free))
    ]
    assert sorted(order[: len(free)]) == free
    assert order[len(free) :] == order[: len(free)]


def test_all_punished_is_as_none_punished() -> None:
    everybody = SignerSet(2**12 - 1)
    for round_ in range(12):
        assert producer_slot(FOUR, everybody, ENTROPY, 5, round_) == producer_slot(
            FOUR, NOBODY, ENTROPY, 5, round_
        )


def test_the_next_height_has_another_shuffle() -> None:
    """A skip block repeats the seed: with the height alone another slot must come."""
    slots = [producer_slot(FOUR, NOBODY, ENTROPY, number) for number in range(100)]
    assert set(slots) == set(range(12))


@pytest.mark.parametrize("round_", [0, 5])
def test_slots_are_chosen_evenly(round_: int) -> None:
    chosen = Counter(
        producer_slot(FOUR, NOBODY, hash32(draw.to_bytes(4, "big")), 1, round_)
        for draw in range(6000)
    )
    assert all(400 < chosen[slot] < 600 for slot in range(12))


def test_a_choice_that_others_can_repeat() -> None:
    order = [producer_slot(FOUR, NOBODY, ENTROPY, 1, round_) for round_ in range(12)]
    assert order == [0, 3, 4, 7, 10, 2, 9, 11, 5, 1, 8, 6]


def test_the_seed_below_decides_whose_turn_it_is() -> None:
    order = [slot_above(FOUR, NOBODY, SEED_0, 1, round_) for round_ in range(12)]

    assert order == [producer_slot(FOUR, NOBODY, entropy_of(SEED_0), 1, n) for n in range(12)]
    assert order[0] == slot_above(FOUR, NOBODY, SEED_0, 1)
