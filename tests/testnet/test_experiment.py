"""`headway experiment` with real processes: a small run, and one that is interrupted."""

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.process import start_time_of
from node.testnet.processes import children_of
from tests.testnet.running import BOUND_S, HEADWAY, LocalNetwork, environment

pytestmark = [pytest.mark.network, pytest.mark.slow]

COMMAND = ("experiment", "static-vs-dynamic", "--validators", "2")
FAST = ("--accounts", "3000", "--block-time", "200ms", "--batch-length", "5", "--load", "10tps")


@pytest.fixture
def experiment(network: LocalNetwork) -> LocalNetwork:
    return LocalNetwork(network.home, "experiment")


@pytest.fixture
def endless(experiment: LocalNetwork) -> Iterator["subprocess.Popen[str]"]:
    """Lend an experiment that waits for a height that never comes, once its network runs."""
    arguments = [str(HEADWAY), *COMMAND, "--join-at", "1000000", "--timeout", "10m"]
    with subprocess.Popen(
        arguments, env=environment(experiment.home), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _read_until(process, "both join")
            yield process
        finally:
            process.kill()


def test_a_small_run_compares_both_and_leaves_nothing(
    experiment: LocalNetwork, tmp_path: Path
) -> None:
    files = {option: tmp_path / f"out.{option}" for option in ("json", "csv", "plot")}
    options = [word for option, file in files.items() for word in (f"--{option}", str(file))]
    done = experiment.headway(*COMMAND, *FAST, *options)

    content = json.loads(files["json"].read_text())
    static, dynamic = content["outcomes"]
    assert (static["strategy"], dynamic["strategy"]) == ("static", "dynamic")
    for outcome in (static, dynamic):
        assert outcome["leaves"] >= 3000
        assert outcome["at_head_s"] >= outcome["complete_s"] > 0
        assert outcome["consensus_s"] is not None
        assert outcome["bytes_in"] > 100_000
    assert static["queued_max"] == static["pivots"] == 0
    assert len(files["csv"].read_text().splitlines()) == len(content["points"]) + 1
    assert "<svg" in files["plot"].read_text()
    table = done.stdout.splitlines()
    assert [line.split()[0] for line in table[:3]] == ["STRATEGY", "static", "dynamic"]
    assert "blocks behind" in done.stdout
    assert list(experiment.home.iterdir()) == []


def test_what_is_kept_is_stopped_and_can_be_looked_at(experiment: LocalNetwork) -> None:
    done = experiment.headway(*COMMAND, *FAST, "--keep", "-o", "ndjson")

    assert [json.loads(line)["strategy"] for line in done.stdout.splitlines()] == [
        "static",
        "dynamic",
    ]
    assert {report.state for report in experiment.reports().values()} == {"stopped"}
    assert "state_synced" in experiment.log("static")
    experiment.assert_logs_are_clean()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"]
)
def test_an_interrupted_one_leaves_nothing(
    experiment: LocalNetwork,
    endless: "subprocess.Popen[str]",
    number: signal.Signals,
    code: int,
) -> None:
    started = children_of(endless.pid)
    # Two validators and the load.
    assert len(started) == 3
    endless.send_signal(number)
    assert endless.wait(timeout=BOUND_S) == code
    assert list(experiment.home.iterdir()) == []
    assert [start_time_of(pid) for pid in started] == [None] * 3


def test_a_newcomer_that_ends_is_told(experiment: LocalNetwork) -> None:
    """Here it is killed; it may have been the memory."""
    arguments = [str(HEADWAY), *COMMAND, *FAST, "--accounts", "300000"]
    with subprocess.Popen(
        arguments, env=environment(experiment.home), stderr=subprocess.PIPE, text=True
    ) as process:
        _read_until(process, "both have been started")
        experiment.kill("static")
        _, errors = process.communicate(timeout=BOUND_S)
    assert process.returncode == 1
    assert errors.splitlines()[-1] == "headway: static: it has ended"
    assert list(experiment.home.iterdir()) == []


def _read_until(process: "subprocess.Popen[str]", words: str) -> None:
    """Read what a command tells people until it says this."""
    assert process.stderr is not None
    assert any(words in line for line in iter(process.stderr.readline, "")), words
