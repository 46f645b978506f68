"""How often a state sync takes a new target: peers must still have what belongs to the last one."""

from dataclasses import replace

import pytest

from node.chain.retention import STATE_BATCHES
from node.services.state_sync import retained_blocks
from node.sync.state.pivot_policy import PivotPolicy
from tests.build.keys import SMALL_POLICY


@pytest.mark.parametrize(
    ("window_batches", "batches"), [(1, 1), (2, 2), (STATE_BATCHES, STATE_BATCHES), (120, 4)]
)
def test_the_interval_is_half_of_what_peers_keep_of_states_and_of_blocks(
    window_batches: int, batches: int
) -> None:
    policy = replace(SMALL_POLICY, batch_length=60, validity_window_batches=window_batches)
    assert retained_blocks(policy) == batches * 60
    assert PivotPolicy(None, retained=retained_blocks(policy)).interval == batches * 30
    assert PivotPolicy(10, retained=retained_blocks(policy)).interval == 10
