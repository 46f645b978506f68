"""Token buckets: bursts, the pace after them, and bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocols.rate_limit import RateLimit, RateLimiter, TokenBucket

LIMIT = RateLimit(capacity=5, refill_s=10.0)


def test_burst_is_the_capacity() -> None:
    bucket = TokenBucket(LIMIT, 100.0)

    assert [bucket.take(100.0) for _ in range(7)] == [True] * 5 + [False] * 2


def test_one_token_comes_back_after_its_share_of_the_time() -> None:
    bucket = TokenBucket(LIMIT, 0.0)
    for _ in range(5):
        bucket.take(0.0)

    assert not bucket.take(1.99)
    assert bucket.take(2.01)
    assert not bucket.take(2.02)


def test_bucket_never_holds_more_than_its_capacity() -> None:
    bucket = TokenBucket(LIMIT, 0.0)
    bucket.take(0.0)

    assert [bucket.take(1000.0) for _ in range(6)] == [True] * 5 + [False]


def test_time_that_goes_backwards_refills_nothing() -> None:
    bucket = TokenBucket(LIMIT, 100.0)
    for _ in range(5):
        bucket.take(100.0)

    assert not bucket.take(0.0)
    assert not bucket.take(100.0)
    assert bucket.take(102.01)


@given(st.lists(st.floats(0, 20), max_size=60))
def test_no_window_sees_more_than_burst_and_pace(pauses: list[float]) -> None:
    bucket, now, taken = TokenBucket(LIMIT, 0.0), 0.0, []
    for pause in pauses:
        now += pause
        if bucket.take(now):
            taken.append(now)

    for index, start in enumerate(taken):
        for count, end in enumerate(taken[index:], start=1):
            assert count <= 5 + (end - start) * 0.5 + 1e-6


def test_keys_do_not_share() -> None:
    limiter = RateLimiter[str](RateLimit(capacity=1), max_keys=2)

    assert limiter.take("a", 0.0)
    assert not limiter.take("a", 0.0)
    assert limiter.take("b", 0.0)


def test_looking_takes_nothing() -> None:
    limiter = RateLimiter[str](RateLimit(capacity=1, refill_s=10.0), max_keys=2)

    assert not limiter.is_empty("a", 0.0)
    assert len(limiter) == 0
    assert limiter.take("a", 0.0)
    assert [limiter.is_empty("a", now) for now in (0.0, 9.9, 10.0)] == [True, True, False]
    assert limiter.take("a", 10.0)


def test_key_used_longest_ago_is_forgotten() -> None:
    limiter = RateLimiter[str](RateLimit(capacity=1), max_keys=2)
    for key in ("a", "b", "a", "c"):
        limiter.take(key, 0.0)

    assert len(limiter) == 2
    assert not limiter.take("a", 0.0)
    assert limiter.take("b", 0.0)


@given(st.lists(st.integers(0, 50), max_size=200))
def test_memory_is_bounded(keys: list[int]) -> None:
    limiter = RateLimiter[int](LIMIT, max_keys=7)
    for key in keys:
        limiter.take(key, 0.0)
        assert len(limiter) <= 7


@pytest.mark.parametrize(("capacity", "refill_s"), [(0, 1.0), (1, 0.0)])
def test_impossible_limits_are_our_bug(capacity: int, refill_s: float) -> None:
    with pytest.raises(AssertionError):
        RateLimit(capacity=capacity, refill_s=refill_s)
