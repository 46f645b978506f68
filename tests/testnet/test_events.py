"""A full node's state sync, followed by the events of its process alone."""

import json
from typing import Any

import pytest

from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "500ms", "--batch-length", "5", "--batches-per-epoch", "4")
ACCOUNTS = 20_000
"""More than a few ranges."""


def events(network: LocalNetwork, node: str, *arguments: str) -> list[dict[str, Any]]:
    shown = network.headway("events", "--node", node, "-o", "ndjson", *arguments)
    assert shown.stderr == ""
    return [json.loads(line) for line in shown.stdout.splitlines()]


def of_type(seen: list[dict[str, Any]], type_: str) -> list[dict[str, Any]]:
    return [event for event in seen if event["type"] == type_]


def test_a_state_sync_can_be_followed_by_its_events(network: LocalNetwork) -> None:
    large = ("--accounts", str(ACCOUNTS), "--load", "20tps")
    network.net("up", "--mix", "full=4", *FAST, *large)
    network.until("finalized >= 20")
    # Else it might take the genesis, and blocks from there on.
    (network.folder.path / "accounts.bin").unlink()
    network.net("add", "--profile", "full")
    network.until("phase == live and consensus == yes", "full-5")

    seen = events(network, "full-5")
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    assert {event["node"] for event in seen} == {network.record("full-5").peer_id}
    times = [event["monotonic"] for event in seen]
    assert times == sorted(times)
    assert_order(seen)
    assert_all_accounts_came(network, seen)
    # Whoever comes back later gets only what is new.
    newer = events(network, "full-5", "--since", str(len(seen)))
    assert [event["seq"] for event in newer[:1]] in ([], [len(seen) + 1])
    # Events of one sort are no events of another.
    assert of_type(events(network, "full-5", "--type", "state_*"), "range_received") == []
    assert "range_received" not in network.log("full-5")


def assert_order(seen: list[dict[str, Any]]) -> None:
    """Each attempt goes through its states in their order, and the last one to its end."""
    told = [
        event["state"] if event["type"] == "state_sync" else event["type"]
        for event in seen
        if event["type"] in {"node_started", "state_sync_begun", "state_sync", "state_synced"}
    ]
    assert told[0] == "node_started"
    last = len(told) - told[::-1].index("state_sync_begun")
    assert told[last:] == [
        "initializing",
        "running",
        "finalizing",
        "executing_batch",
        "completed",
        "state_synced",
    ]
    assert of_type(seen, "phase_changed")[-1]["phase"] == "live"


def assert_all_accounts_came(network: LocalNetwork, seen: list[dict[str, Any]]) -> None:
    """The ranges hold as many accounts as the sync says that it was given."""
    (synced,) = of_type(seen, "state_synced")
    ranges = of_type(seen, "range_received")
    assert sum(event["leaves"] for event in ranges) == synced["leaves"] >= ACCOUNTS
    serving = {network.record(f"full-{index}").peer_id for index in range(1, 5)}
    assert {event["peer"] for event in ranges} <= serving
    assert all(event["bytes"] > event["leaves"] and event["seconds"] > 0 for event in ranges)
    assert of_type(seen, "ranges_written")
    assert {event["part"] for event in of_type(seen, "part_reached")} == {
        "accounts",
        "blocks",
        "history",
    }
    answered = [event["protocol"] for event in of_type(seen, "request_answered")]
    assert {"state-range", "missing-blocks", "history-peaks"} <= set(answered)
    joined = {event["peer"] for event in of_type(seen, "peer_joined")}
    assert joined & serving
