"""A network of eight real daemons with all profiles: started, broken, stopped, started again."""

import json
import os
import signal
from collections.abc import Iterator

import pytest

from node.process import ProcessRecord
from tests.testnet.running import LocalNetwork, networks

pytestmark = [pytest.mark.network, pytest.mark.slow]

NAMES = [
    *("history-1", "history-2", "full-1", "full-2", "full-3"),
    *("light-1", "light-2", "pico-1"),
]


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalNetwork]:
    """The network of the README, with short batches so that finality is seen soon.

    One for all tests of this module, each of which leaves it running.
    """
    with networks(tmp_path_factory.mktemp("networks")) as network:
        options = ("--block-time", "500ms", "--batch-length", "5")
        network.net("up", "-n", "8", "--seed", "7", *options, "--wait", "height>=3")
        yield network
        network.assert_logs_are_clean()


def test_all_profiles_make_blocks_and_agree(eight: LocalNetwork) -> None:
    eight.until("finalized >= 5 and phase == live and consensus == yes")

    eight.assert_one_chain()
    reports = eight.reports()
    assert list(reports) == NAMES
    assert {report.state for report in reports.values()} == {"running"}
    for name in NAMES:
        record = eight.record(name)
        status = reports[name].status
        assert (record.pid, record.profile) == (reports[name].pid, name.rpartition("-")[0])
        assert (record.peer_id, record.genesis) == (status["peer_id"], status["genesis"])
        assert record.is_alive()


def test_what_is_shown_of_it(eight: LocalNetwork) -> None:
    table = eight.net("status").stdout.splitlines()
    assert table[0].split() == [
        *("NAME", "PROFILE", "STATE", "PID", "HEIGHT", "FINAL", "HEAD"),
        *("PHASE", "CONSENSUS", "PEERS", "MEMORY"),
    ]
    assert [line.split()[0].rstrip("*") for line in table[1:-1]] == NAMES
    assert table[-1].startswith("heads: ")

    rows = json.loads(eight.net("status", "light-*", "-o", "json").stdout)
    assert [row["name"] for row in rows] == ["light-1", "light-2"]
    (row,) = [json.loads(line) for line in eight.net("ls", "-o", "ndjson").stdout.splitlines()]
    assert (row["nodes"], row["running"], row["seed"]) == (8, 8, 7)

    log = eight.net("logs", "full-1", "pico-1", "-n", "0").stdout
    assert log == ""
    log = eight.net("logs", "full-1", "-n", "1000").stdout
    assert "node_started" in log
    assert all(line.startswith("full-1  ") for line in log.splitlines())

    tail = eight.headway("block", "tail", "--node", "pico-1", "-o", "ndjson").stdout.splitlines()
    numbers = [json.loads(line)["number"] for line in tail]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_up_again_says_what_to_do(eight: LocalNetwork) -> None:
    (line,) = eight.net("up", "-n", "8", code=3).stderr.splitlines()
    assert "headway net start --name testnet" in line
    assert "headway net down --purge --name testnet" in line


def test_waiting_in_vain_is_7_and_names_the_reason(eight: LocalNetwork) -> None:
    done = eight.net("wait", "height >= 1000000", "full-1", "--timeout", "100ms", code=7)
    first, second, *_ = done.stderr.splitlines()
    assert first == "'height >= 1000000' did not come to hold within 0.1 s"
    assert second.startswith("full-1: state=running, height=")


def test_a_validator_is_killed_and_comes_back(eight: LocalNetwork) -> None:
    before = eight.reports("full-1")["full-1"].status
    eight.net("stop", "full-1", "--kill")
    assert eight.reports("full-1")["full-1"].state == "crashed"
    assert ProcessRecord.load(eight.files("full-1").data) is not None
    others = [name for name in NAMES if name != "full-1"]
    eight.until(f"finalized >= {before['finalized'] + 10}", *others)

    eight.net("start", "full-1")
    after = eight.reports("full-1")["full-1"].status
    assert after["height"] >= before["height"]
    eight.until(f"finalized >= {before['finalized'] + 15} and consensus == yes")
    assert eight.hash_at("full-1", before["finalized"]) == before["finalized_hash"]
    eight.assert_one_chain()


def test_stopped_and_started_all_heads_are_equal(eight: LocalNetwork) -> None:
    ports = {name: (eight.record(name).addresses, eight.record(name).rpc) for name in NAMES}
    heights = {name: report.status["height"] for name, report in eight.reports().items()}

    eight.net("stop")
    assert {report.state for report in eight.reports().values()} == {"stopped"}
    assert all(ProcessRecord.load(eight.files(name).data) is None for name in NAMES)
    (line,) = eight.net("stop").stderr.splitlines()
    assert line == "stopped: no node was running"

    eight.net("start")
    assert {n: (eight.record(n).addresses, eight.record(n).rpc) for n in NAMES} == ports
    reports = eight.reports()
    assert all(reports[name].status["height"] >= heights[name] for name in NAMES)
    eight.until(f"height >= {max(heights.values()) + 6} and consensus == yes")
    eight.assert_one_chain()


def test_restarted_nodes_are_other_processes(eight: LocalNetwork) -> None:
    before = {name: eight.record(name).pid for name in NAMES}
    table = eight.net("restart", "light-*", "--kill", "--wait", "phase == live").stdout
    assert [line.split()[0] for line in table.splitlines()[1:-1]] == ["light-1", "light-2"]
    changed = {name for name in NAMES if eight.record(name).pid != before[name]}
    assert changed == {"light-1", "light-2"}
    eight.assert_one_chain()


def test_a_frozen_node_is_silent_and_catches_up(eight: LocalNetwork) -> None:
    """Its peers hold on to it for a while, and so does whoever asks for its state."""
    process = eight.record("full-3").pid
    height = eight.reports("full-1")["full-1"].status["height"]
    os.kill(process, signal.SIGSTOP)
    try:
        eight.until(f"height >= {height + 5}", *[name for name in NAMES if name != "full-3"])
        assert eight.reports("full-3")["full-3"].state == "silent"
    finally:
        os.kill(process, signal.SIGCONT)
    eight.until(f"height >= {height + 6} and consensus == yes")
    eight.assert_one_chain()
