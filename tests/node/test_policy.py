import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.policy import MAX_BATCH_LENGTH, BlockKind, Policy

policies = st.builds(
    Policy,
    batch_length=st.integers(2, 70),
    batches_per_epoch=st.integers(1, 12),
    slots=st.integers(1, 512),
    validity_window_batches=st.integers(1, 5),
)
heights = st.integers(0, 5000) | st.integers(0, 2**32 - 1)
SMALL = Policy(batch_length=4, batches_per_epoch=3, slots=12)


def test_the_drawing_of_the_module() -> None:
    """One epoch written out: genesis, three batches of four, and the first block of the next."""
    kinds = [SMALL.kind_at(height).value[0] for height in range(14)]
    assert "".join(kinds) == "emmmcmmmcmmmem"
    assert [SMALL.batch_at(height) for height in range(14)] == [0, *[1] * 4, *[2] * 4, *[3] * 4, 4]
    assert [SMALL.epoch_at(height) for height in range(14)] == [0, *[1] * 12, 2]
    assert [SMALL.macro_before(height) for height in range(10)] == [0, 0, 0, 0, 0, 4, 4, 4, 4, 8]
    assert [SMALL.macro_after(height) for height in range(10)] == [4, 4, 4, 4, 8, 8, 8, 8, 12, 12]


@given(policies, heights)
def test_kinds_agree(policy: Policy, height: int) -> None:
    kind = policy.kind_at(height)
    assert policy.is_macro(height) is (kind is not BlockKind.MICRO)
    assert policy.is_election(height) is (kind is BlockKind.ELECTION)


@given(policies, heights)
def test_macro_blocks_around_a_height(policy: Policy, height: int) -> None:
    before, at, after = (
        policy.macro_before(height),
        policy.macro_at_or_before(height),
        policy.macro_after(height),
    )
    assert all(policy.is_macro(each) for each in (before, at, after))
    assert before <= at <= height < after
    assert after - at == policy.batch_length
    assert before == (at if at < height or height == 0 else at - policy.batch_length)


@given(policies, heights)
def test_election_blocks_around_a_height(policy: Policy, height: int) -> None:
    before, at, after = (
        policy.election_before(height),
        policy.election_at_or_before(height),
        policy.election_after(height),
    )
    assert all(policy.is_election(each) for each in (before, at, after))
    assert before <= at <= height < after
    assert after - at == policy.epoch_length
    assert before == (at if at < height or height == 0 else at - policy.epoch_length)
    assert policy.macro_at_or_before(height) >= at


@given(policies, heights)
def test_batch_and_epoch_grow_after_their_macro_block(policy: Policy, height: int) -> None:
    grown = policy.batch_at(height + 1) - policy.batch_at(height)
    assert grown == int(policy.is_macro(height))
    grown = policy.epoch_at(height + 1) - policy.epoch_at(height)
    assert grown == int(policy.is_election(height))


@given(policies, heights)
def test_a_batch_is_a_range_that_ends_with_its_macro_block(policy: Policy, height: int) -> None:
    first = policy.macro_before(height) + 1 if height else 0
    batch = policy.batch_at(height)
    assert policy.batch_at(first) == batch
    assert first == 0 or policy.batch_at(first - 1) == batch - 1
    last = height if policy.is_macro(height) else policy.macro_after(height)
    assert policy.batch_at(last) == batch
    assert last - first + 1 == (policy.batch_length if height else 1)


@given(policies, heights)
def test_the_batches_of_an_epoch(policy: Policy, height: int) -> None:
    epoch, batch = policy.epoch_at(height), policy.batch_at(height)
    assert epoch == -(-batch // policy.batches_per_epoch)


@given(policies, heights)
def test_genesis_stands_alone(policy: Policy, height: int) -> None:
    assert policy.kind_at(0) is BlockKind.ELECTION
    assert (policy.batch_at(height) == 0) is (height == 0)
    assert (policy.epoch_at(height) == 0) is (height == 0)


@given(policies)
def test_quorums(policy: Policy) -> None:
    """A quorum is the least count of at least two thirds; f+1 the least of at least one third."""
    assert 3 * policy.quorum >= 2 * policy.slots > 3 * (policy.quorum - 1)
    assert 3 * policy.f_plus_one >= policy.slots > 3 * (policy.f_plus_one - 1)
    assert policy.quorum <= policy.slots


@pytest.mark.parametrize(
    ("slots", "quorum", "f_plus_one"),
    [(512, 342, 171), (64, 43, 22), (12, 8, 4), (4, 3, 2), (3, 2, 1), (1, 1, 1)],
)
def test_quorums_of_the_usual_sizes(slots: int, quorum: int, f_plus_one: int) -> None:
    policy = Policy(slots=slots)
    assert (policy.quorum, policy.f_plus_one) == (quorum, f_plus_one)


def test_the_defaults_of_the_design() -> None:
    policy = Policy()
    assert policy.epoch_length == 86_400
    assert policy.validity_window_blocks == 7_200
    assert policy.kind_at(60) is BlockKind.CHECKPOINT
    assert policy.kind_at(86_400) is BlockKind.ELECTION


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_length", 1),
        ("batch_length", MAX_BATCH_LENGTH + 1),
        ("batches_per_epoch", 0),
        ("slots", 0),
        ("slots", 513),
        ("block_separation_ms", 9),
        ("producer_timeout_ms", 0),
        ("validity_window_batches", 0),
        ("max_body_bytes", 8_000_001),
        ("max_clock_drift_ms", -1),
        ("batch_reward", 2**41),
    ],
)
def test_numbers_that_no_network_can_run_on(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} must be in \d+\.\.\d+: {value}$"):
        Policy(**{name: value})
