"""How fast a node comes nearer to its target."""

from hypothesis import given
from hypothesis import strategies as st

from node.services.progress import (
    MAX_ETA_S,
    MIN_SAMPLES,
    NOTHING_TO_DO,
    WINDOW_S,
    Progress,
    ProgressMeter,
)


def steady(meter: ProgressMeter, seconds: int, *, rate: int, target: int | None) -> Progress:
    """Let the height grow for some seconds; return what is said last."""
    progress = NOTHING_TO_DO
    for second in range(seconds):
        progress = meter.look(float(second), phase="sync", height=second * rate, target=target)
    return progress


def test_a_steady_pace_has_a_rate_and_an_end() -> None:
    assert steady(ProgressMeter(), 11, rate=100, target=2000) == Progress(100.0, (10, 10))


def test_an_end_needs_enough_samples() -> None:
    meter = ProgressMeter()
    for second in range(MIN_SAMPLES):
        progress = meter.look(float(second), phase="sync", height=second, target=100)
        assert (progress.eta_s is not None) == (second == MIN_SAMPLES - 1)
        assert (progress.rate is not None) == (second > 0)


def test_looks_in_quick_succession_are_one_sample() -> None:
    meter = ProgressMeter()
    for number in range(100):
        progress = meter.look(number / 1000, phase="sync", height=number, target=100)
    assert progress == NOTHING_TO_DO


def test_a_pace_that_changes_gives_a_range() -> None:
    meter = ProgressMeter()
    heights = [0, 10, 20, 30, 40, 140, 240, 340, 440]
    for second, height in enumerate(heights):
        progress = meter.look(float(second), phase="sync", height=height, target=1440)
    assert progress == Progress(55.0, (10, 18))


def test_another_phase_begins_anew() -> None:
    meter = ProgressMeter()
    steady(meter, 10, rate=5, target=1000)
    assert meter.look(10, phase="live", height=50, target=1000) == NOTHING_TO_DO


def test_without_a_target_there_is_nothing_to_say() -> None:
    meter = ProgressMeter()
    assert steady(meter, 10, rate=5, target=None) == NOTHING_TO_DO
    # What was before counts no more.
    assert meter.look(10, phase="sync", height=50, target=100) == NOTHING_TO_DO


def test_what_stands_still_never_ends() -> None:
    assert steady(ProgressMeter(), 10, rate=0, target=5) == Progress(0.0, (MAX_ETA_S, MAX_ETA_S))


def test_a_target_that_is_reached_takes_no_time() -> None:
    assert steady(ProgressMeter(), 10, rate=0, target=0) == Progress(0.0, (0, 0))


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2 * WINDOW_S),
            st.sampled_from(["sync", "live"]),
            st.integers(0, 2**32),
            st.none() | st.integers(0, 2**32),
        )
    )
)
def test_whatever_happens_a_range_is_a_range(
    looks: list[tuple[float, str, int, int | None]],
) -> None:
    meter, now = ProgressMeter(), 0.0
    for step, phase, height, target in looks:
        now += step
        progress = meter.look(now, phase=phase, height=height, target=target)
        assert progress.rate is None or progress.rate >= 0
        if progress.eta_s is not None:
            low, high = progress.eta_s
            assert 0 <= low <= high <= MAX_ETA_S
