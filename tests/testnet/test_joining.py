"""Nodes that join a running network: at a height, by hand, and only to get the chain."""

import json
from pathlib import Path

import pytest

from tests.testnet.running import LocalNetwork

pytestmark = [pytest.mark.network, pytest.mark.slow]

FAST = ("--block-time", "250ms", "--batch-length", "4", "--batches-per-epoch", "2")
PROFILES = ("history", "full", "light", "pico")


def test_late_nodes_of_every_profile_get_live(network: LocalNetwork) -> None:
    late = [f"--late={profile}=1@22" for profile in PROFILES]
    network.net("up", "--mix", "history=1,full=2", *FAST, *late, "--load", "20tps")
    assert {name for name, report in network.reports().items() if report.state == "waiting"} == {
        "history-2",
        "full-3",
        "light-1",
        "pico-1",
    }

    network.until("phase == live and consensus == yes and finalized >= 28")

    network.assert_one_chain()
    for height in (1, 17):
        # Every block from genesis, with its transactions; a full node has it proven.
        theirs = network.call("history-1", "getBlockByNumber", height, True)
        assert network.call("history-2", "getBlockByNumber", height, True) == theirs
        proven = network.call("full-3", "getBlockByNumber", height, True)
        assert [proven[key] for key in ("hash", "transactions")] == [
            theirs[key] for key in ("hash", "transactions")
        ]
    network.assert_logs_are_clean()


def test_added_nodes_say_where_they_are(network: LocalNetwork) -> None:
    network.net("up", "--mix", "full=3", *FAST, "--wait", "height >= 30")

    table = network.net("add", "--profile", "light", "-n", "2", "--wait", "phase == live").stdout
    assert [line.split()[0] for line in table.splitlines()[1:-1]] == ["light-1", "light-2"]
    network.until("consensus == yes")
    said = json.loads(network.headway("sync", "--node", "light-2", "-o", "json").stdout)
    assert (said["phase"], said["target"], said["consensus"]) == ("live", None, True)

    # Stopped for long, it joins again.
    network.net("stop", "light-1")
    height = network.reports("full-1")["full-1"].status["height"]
    network.until(f"height >= {height + 20}", "full-1")
    network.net("start", "light-1", "--wait", "phase == live")
    network.until("consensus == yes")
    network.assert_one_chain()
    network.assert_logs_are_clean()


@pytest.mark.parametrize("profile", PROFILES)
def test_a_node_stops_when_it_has_synced(
    network: LocalNetwork, tmp_path: Path, profile: str
) -> None:
    network.net("up", "--mix", "history=1,full=2", *FAST, "--wait", "height >= 12")
    addresses = network.net("address").stdout.split()
    seeds = [part for address in addresses for part in ("--seed", address)]
    genesis = ("--genesis", str(network.folder.genesis))
    network.headway("init", str(tmp_path / "own"), "--profile", profile, *genesis, *seeds)

    done = network.headway(
        "run", "--config", str(tmp_path / "own" / "config.toml"), "--exit-when-synced"
    )

    assert "reason=synced" in done.stderr


def test_a_node_that_does_not_sync_in_time(network: LocalNetwork, tmp_path: Path) -> None:
    network.net("up", "-n", "1", "--dry-run")
    genesis = ("--genesis", str(network.folder.genesis))
    network.headway("init", str(tmp_path / "own"), "--profile", "light", *genesis)

    config = ("--config", str(tmp_path / "own" / "config.toml"))
    options = ("--exit-when-synced", "--exit-when-synced-timeout", "0.1")
    done = network.headway("run", *config, *options, code=7)

    assert done.stderr.splitlines()[-1] == "headway: not synced after 0.1 s: at height 0"
    assert "node_stopped" in done.stderr
