"""`headway run` as a process: exit codes, process.json, signals, and a node that comes back."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.keys import NodeKeys
from node.process import ProcessRecord
from tests.cli.running import invoke

pytestmark = [pytest.mark.network, pytest.mark.slow]

HEADWAY = Path(sys.executable).with_name("headway")
END_TIMEOUT_S = 30
"""Far above what a stop takes, so that only a hang fails."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    assert invoke("init", folder, "--new-network", "solo").exit_code == 0
    return folder


def _command(folder: Path) -> list[str]:
    return [str(HEADWAY), "run", "--config", str(folder / "config.toml")]


@contextmanager
def _running(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run a node; entered once its listeners are bound."""
    with subprocess.Popen(
        [*_command(folder), "--log-format", "json", *arguments],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            _read_until(process, "node_started")
            yield process
        finally:
            process.kill()


def _read_until(process: "subprocess.Popen[str]", event: str) -> list[str]:
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if json.loads(line)["event"] == event:
            return seen
    raise AssertionError(f"ended before {event}: {seen}")


def _run(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run a node that cannot start."""
    command = [*_command(folder), *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=END_TIMEOUT_S, check=False
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def _height(folder: Path) -> int:
    shown = invoke("status", "--data-dir", folder / "data", "-o", "json")
    assert shown.exit_code == 0
    return int(json.loads(shown.stdout)["height"])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_stops_it_cleanly(number: signal.Signals, code: int, folder: Path) -> None:
    with _running(folder) as process:
        record = ProcessRecord.load(folder / "data")
        assert record is not None
        assert (record.pid, record.network, record.profile) == (process.pid, "solo", "full")
        assert record.peer_id == NodeKeys.load(folder / "keys.json").peer_id
        assert record.is_alive()
        process.send_signal(number)
        assert process.wait(END_TIMEOUT_S) == code
    assert ProcessRecord.load(folder / "data") is None


def test_a_shutdown_call_ends_with_0(folder: Path) -> None:
    with _running(folder) as process:
        stopped = invoke("shutdown", "--data-dir", folder / "data")
        assert (stopped.exit_code, stopped.stderr) == (0, f"node {process.pid} has stopped\n")
        assert process.wait(END_TIMEOUT_S) == 0


def test_kill_9_loses_nothing(folder: Path) -> None:
    with _running(folder) as process:
        watched = invoke("health", "--data-dir", folder / "data", "--timeout", "20s")
        assert watched.exit_code == 0
        before = _height(folder)
        process.kill()
        process.wait(END_TIMEOUT_S)
    crashed = invoke("status", "--data-dir", folder / "data")
    assert (crashed.exit_code, "crashed" in crashed.stderr) == (6, True)
    with _running(folder):
        assert _height(folder) >= before


def test_bad_settings_are_3(folder: Path) -> None:
    (folder / "config.toml").write_text("frob = 1", encoding="utf-8")
    code, text = _run(folder)
    assert (code, text) == (3, f"headway: {folder / 'config.toml'}: frob: unknown setting\n")


def test_a_folder_in_use_is_4(folder: Path) -> None:
    with _running(folder):
        code, text = _run(folder)
        assert (code, text.count("\n")) == (4, 1)
        assert str(folder / "data") in text


def test_a_folder_of_another_network_is_4(folder: Path, tmp_path: Path) -> None:
    with _running(folder) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(END_TIMEOUT_S)
    other = tmp_path / "other"
    assert invoke("init", other, "--new-network", "another").exit_code == 0
    code, text = _run(other, "--data-dir", str(folder / "data"))
    assert (code, text.count("\n")) == (4, 1)


@pytest.mark.parametrize("setting", ["rpc", "listen"])
def test_a_port_that_is_taken_is_5(setting: str, folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        value = {"rpc": f"127.0.0.1:{port}", "listen": f"/ip4/127.0.0.1/tcp/{port}"}[setting]
        code, text = _run(folder, f"--{setting}", value)
    assert (code, text.count("\n")) == (5, 1)
    assert str(port) in text
    assert ProcessRecord.load(folder / "data") is None
