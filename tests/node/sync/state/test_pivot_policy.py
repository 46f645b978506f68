"""Which accepted blocks become targets."""

from hypothesis import given
from hypothesis import strategies as st

from node.sync.state.pivot_policy import DEFAULT_INTERVAL, Decision, PivotPolicy
from node.sync.state.target import SyncTarget
from tests.node.sync.state.targets import target


def pivots(policy: PivotPolicy, heights: list[int], start: SyncTarget) -> list[int]:
    """Return which of the heights became targets."""
    chosen = []
    for height in heights:
        block = target(height)
        if policy.decide(block, start) is Decision.PIVOT:
            chosen.append(height)
            start = block
    return chosen


def test_the_first_height_is_rounded_up_to_the_threshold() -> None:
    assert pivots(PivotPolicy(100), [150, 199, 200, 250, 299, 300], target(100)) == [200, 300]


def test_a_first_height_on_a_multiple_is_a_pivot() -> None:
    assert pivots(PivotPolicy(100), [200, 201], target(100)) == [200]


def test_a_jump_is_one_pivot_and_nothing_goes_back() -> None:
    assert pivots(PivotPolicy(100), [200, 950, 310, 951, 999, 1000], target(100)) == [
        200,
        950,
        1000,
    ]


def test_behind_or_equal_is_skipped() -> None:
    policy = PivotPolicy(10)
    assert policy.decide(target(20), target(20)) is Decision.SKIP
    assert policy.decide(target(19), target(20)) is Decision.SKIP


def test_another_block_of_the_same_height_is_a_reorganisation() -> None:
    assert PivotPolicy(100).decide(target(20, 1), target(20)) is Decision.REORGANISED


def test_without_an_interval_it_is_the_default() -> None:
    assert PivotPolicy().interval == PivotPolicy(0).interval == DEFAULT_INTERVAL == 10_000


def test_the_interval_is_at_most_half_of_what_peers_retain() -> None:
    assert PivotPolicy(100, retained=120).interval == 60
    assert PivotPolicy(10, retained=120).interval == 10
    assert PivotPolicy(10, retained=1).interval == 1


@given(st.integers(1, 50), st.lists(st.integers(0, 500), max_size=60))
def test_targets_ascend_and_there_is_at_most_one_in_each_interval(
    interval: int, heights: list[int]
) -> None:
    chosen = pivots(PivotPolicy(interval), heights, target(0))

    assert chosen == sorted(set(chosen))
    assert len({height // interval for height in chosen}) == len(chosen)
