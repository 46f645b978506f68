"""What the record of static against dynamic state sync says."""

from dataclasses import replace

import pytest

from node.errors import ConfigError
from node.testnet.experiment import (
    Heads,
    Outcome,
    has_followed,
    is_complete,
    is_live,
    newcomers,
    outcome_of,
    points_of,
)
from tests.build.experiment import (
    SPEC,
    STARTED_MS,
    reading,
    recording,
    synced,
    usual,
    validator,
)


def test_heads_are_the_highest_that_any_validator_had_by_then() -> None:
    slow = (reading(0.5, 3), reading(2.5, 4))
    fast = (reading(1, 4), reading(2, 5), reading(3, 5))
    heads = Heads([slow, fast])
    seen = {at_s: heads.at(STARTED_MS + round(at_s * 1000)) for at_s in (0, 0.5, 0.9, 1, 2.5, 9)}
    assert seen == {0: 3, 0.5: 3, 0.9: 3, 1: 4, 2.5: 5, 9: 5}


def test_a_static_sync_is_behind_by_what_came_meanwhile() -> None:
    assert outcome_of(usual(), "static") == Outcome(
        strategy="static",
        complete_s=4.2,
        behind_at_completion=4,
        at_head_s=6.0,
        consensus_s=7.0,
        bytes_in=5000,
        accounts=1000,
        leaves=1000,
        leaves_again=0,
        pivots=0,
        restarts=0,
        attempts=1,
        syncs=1,
        queued_max=0,
    )


def test_a_dynamic_sync_ends_at_the_head() -> None:
    assert outcome_of(usual(), "dynamic") == Outcome(
        strategy="dynamic",
        complete_s=4.6,
        behind_at_completion=0,
        at_head_s=4.8,
        consensus_s=4.8,
        bytes_in=7000,
        accounts=1000,
        leaves=1100,
        leaves_again=100,
        pivots=2,
        restarts=1,
        attempts=2,
        syncs=1,
        queued_max=7,
    )


def test_what_was_not_reached_is_not_made_up() -> None:
    seen = recording([reading(1, 0, phase="searching")], usual().newcomers["dynamic"][:4])
    static, dynamic = (outcome_of(seen, each) for each in ("static", "dynamic"))
    assert (static.complete_s, static.behind_at_completion, static.at_head_s) == (None, None, None)
    assert not is_complete(static)
    assert is_complete(dynamic)
    # The state is there, and peers have not agreed yet.
    alone = [
        replace(each, status={**each.status, "consensus": False})
        for each in usual().newcomers["dynamic"]
    ]
    assert not is_complete(outcome_of(recording(alone, alone), "dynamic"))


def test_a_node_that_falls_behind_again_has_synced_twice() -> None:
    first, second = synced(2, 20), synced(6, 25)
    static = [
        reading(2.1, 20, state_synced=first),
        reading(3, 20, phase="macro_sync", state_synced=first),
        reading(6.1, 25, state_synced=second),
        reading(7, 27, consensus=True, state_synced=second),
    ]
    outcome = outcome_of(recording(static, static), "static")
    assert (outcome.syncs, outcome.complete_s, outcome.behind_at_completion) == (2, 2.0, 2)
    assert outcome.at_head_s == 6.1


def test_nothing_counts_before_the_state_is_there() -> None:
    """A node that knows of no other block yet may think that it is live."""
    early = [reading(0.1, 20, consensus=True), *usual().newcomers["static"]]
    assert outcome_of(recording(early, early), "static") == outcome_of(usual(), "static")


def test_a_point_counts_from_the_state_and_not_from_the_head() -> None:
    points = points_of(usual(), "dynamic")
    assert [(each.at_s, each.state_height, each.blocks_behind) for each in points] == [
        (0.2, None, None),
        (1.0, 20, 1),
        (4.0, 20, 4),
        (4.8, 24, 0),
        (6.0, 26, 0),
    ]
    assert [each.accounts for each in points] == [None, 200, 800, None, None]
    # Nobody is ahead of the network: it is only seen a little later.
    ahead = recording([reading(1, 30)], [reading(1, 30)], validator(20, 3))
    assert points_of(ahead, "static")[0].blocks_behind == 0


def test_live_is_in_consensus_at_the_head() -> None:
    states = [is_live(each) for each in points_of(usual(), "static")]
    assert states == [False] * 6 + [True]
    assert not is_live(replace(points_of(usual(), "static")[-1], blocks_behind=2))


def test_a_node_that_only_followed_is_noticed() -> None:
    assert has_followed(reading(1, 20, consensus=True))
    assert not has_followed(reading(1, 20))
    assert not has_followed(reading(1, 20, consensus=True, state_synced=synced(1, 20)))


def test_only_the_strategy_of_the_newcomers_differs() -> None:
    static, dynamic = newcomers()
    assert (static.name, static.sync, dynamic.sync) == ("static", "static", "dynamic")
    assert replace(static, name="dynamic", sync="dynamic") == dynamic
    assert not static.is_validator


def test_the_network_is_what_was_asked_for() -> None:
    network = replace(SPEC, load_tps=5, pivot_interval=7).network()
    assert [(node.profile, node.is_validator) for node in network.nodes] == [("full", True)] * 2
    assert (network.accounts, network.load_tps, network.pivot_interval) == (1000, 5, 7)
    assert (network.block_time_ms, network.batch_length, network.seed) == (1000, 5, 1)


def test_who_joins_too_early_fetches_no_state() -> None:
    with pytest.raises(ConfigError, match=r"before height 20 \(4 batches\)"):
        replace(SPEC, join_at=19)
