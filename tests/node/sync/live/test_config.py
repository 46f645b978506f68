"""The table of defaults."""

from typing import Any

import pytest

from node.errors import ConfigError
from node.policy import Policy
from node.sync.live.config import QueueConfig


def test_defaults_are_those_of_the_table() -> None:
    config = QueueConfig.for_policy(Policy(), include_body=True)

    assert config == QueueConfig(include_body=True)
    assert (config.buffer_max, config.window_ahead_max, config.tolerate_past_max) == (600, 120, 60)
    assert (config.blocks_per_peer_and_height, config.requests_in_flight) == (5, 5)
    assert (config.tries_min, config.tries_max, config.request_timeout_s) == (4, 12, 10.0)
    assert (config.places_per_peer, config.lookups_per_peer) == (2, 10)
    assert (config.announcements_per_10_s, config.assembly_timeout_s) == (20, 10.0)


def test_longer_batches_and_faster_blocks_widen_them() -> None:
    policy = Policy(batch_length=100, block_separation_ms=100)

    config = QueueConfig.for_policy(policy, include_body=False)

    assert (config.buffer_max, config.window_ahead_max, config.tolerate_past_max) == (
        1000,
        200,
        100,
    )
    assert config.announcements_per_10_s == 200
    assert not config.include_body


def test_short_batches_do_not_narrow_them() -> None:
    config = QueueConfig.for_policy(Policy(batch_length=10), include_body=True)

    assert config == QueueConfig(include_body=True)


@pytest.mark.parametrize("name", ["buffer_max", "request_timeout_s", "held_max"])
def test_bounds_must_be_positive(name: str) -> None:
    bounds: dict[str, Any] = {"include_body": True, name: 0}
    with pytest.raises(ConfigError, match=name):
        QueueConfig(**bounds)


def test_tries_must_be_in_order() -> None:
    with pytest.raises(ConfigError, match="tries_min"):
        QueueConfig(include_body=True, tries_min=5, tries_max=4)
