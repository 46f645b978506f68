"""Which branch wins. m is a micro block, s a skip block."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.fork_choice import Order, compare_branches


def branch(kinds: str) -> list[bool]:
    return [kind == "s" for kind in kinds]


@pytest.mark.parametrize(
    ("ours", "theirs", "order"),
    [
        ("m", "m", Order.UNDECIDED),
        ("m", "mm", Order.SUPERIOR),
        ("mm", "m", Order.UNDECIDED),
        ("m", "s", Order.SUPERIOR),
        ("s", "m", Order.INFERIOR),
        ("s", "mmmm", Order.INFERIOR),
        ("mmmm", "s", Order.SUPERIOR),
        ("mms", "ms", Order.SUPERIOR),
        ("ms", "mms", Order.INFERIOR),
        ("smm", "sms", Order.SUPERIOR),
        ("", "m", Order.SUPERIOR),
        ("ss", "ss", Order.UNDECIDED),
        ("sm", "smm", Order.SUPERIOR),
    ],
)
def test_order(ours: str, theirs: str, order: Order) -> None:
    assert compare_branches(branch(ours), branch(theirs)) is order


@given(st.text("ms", max_size=8), st.text("ms", max_size=8))
def test_two_branches_never_beat_each_other(one: str, other: str) -> None:
    there = compare_branches(branch(one), branch(other))
    back = compare_branches(branch(other), branch(one))

    assert not (there is Order.SUPERIOR and back is Order.SUPERIOR)
    assert (there is Order.INFERIOR) <= (back is Order.SUPERIOR)
    assert (there is back is Order.UNDECIDED) == (one == other) or len(one) == len(other)
