"""How a daemon ends: one line, one exit code, and what it leaves behind.

tests/integration/test_daemon.py has the plain cases.
"""

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from node.process import ProcessRecord
from tests.cli.running import invoke
from tests.testnet.running import BOUND_S, HEADWAY, LocalNetwork, environment

pytestmark = [pytest.mark.network, pytest.mark.slow]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    assert invoke("init", folder, "--new-network", "solo").exit_code == 0
    return folder


def command(folder: Path) -> list[str]:
    return [str(HEADWAY), "run", "--config", str(folder / "config.toml"), "--log-format", "json"]


def refused(folder: Path, code: int) -> str:
    """Run a node that cannot start, and return its one line."""
    done = subprocess.run(
        command(folder),
        env=environment(folder.parent),
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert (done.returncode, done.stdout) == (code, ""), done
    (line,) = done.stderr.splitlines()
    assert line.startswith("headway: ")
    assert not (folder / "data" / "process.json").exists()
    return line


@contextmanager
def running(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run a node; entered once it has started, and killed at the end if it still runs."""
    with subprocess.Popen(
        command(folder), env=environment(folder.parent), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            read_until(process, "node_started")
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", event: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if json.loads(line)["event"] == event:
            return
    raise AssertionError(f"ended before {event}")


def events(process: "subprocess.Popen[str]") -> list[str]:
    """Read the log to its end."""
    assert process.stderr is not None
    return [str(json.loads(line)["event"]) for line in process.stderr]


def change(path: Path, pattern: str, replacement: str) -> None:
    text = path.read_text(encoding="utf-8")
    changed = re.sub(pattern, replacement, text, count=1)
    assert changed != text
    path.write_text(changed, encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("colour = 1", "colour: unknown setting"),
        ('max_peers = "many"', "max_peers: "),
        ("max_peers = 0", "max_peers: "),
        ("[sync]\nbuffer_max = -1", "sync.buffer_max: "),
        ('profile = "light"\nvalidator = true', "validator: profile light keeps no state"),
        ("seeds = [", "not TOML"),
    ],
)
def test_a_bad_setting_is_3(folder: Path, line: str, reason: str) -> None:
    config = folder / "config.toml"
    config.write_text(f"{line}\n", encoding="utf-8")
    assert refused(folder, 3).startswith(f"headway: {config}: {reason}")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def _impossible_policy(path: Path) -> None:
    change(path, r'"slots": \d+', '"slots": 0')


def _no_candidates(path: Path) -> None:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "candidates": []}), encoding="utf-8")


def _another_format(path: Path) -> None:
    change(path, r'"format": 1', '"format": 2')


def _binary(path: Path) -> None:
    path.write_bytes(os.urandom(100) + b"\xff")


def _gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("genesis.json", _cut),
        ("genesis.json", _impossible_policy),
        ("genesis.json", _no_candidates),
        ("genesis.json", _another_format),
        ("genesis.json", _binary),
        ("genesis.json", _gone),
        ("keys.json", _cut),
        ("keys.json", _gone),
    ],
)
def test_a_damaged_file_is_3(folder: Path, file: str, damage: Callable[[Path], None]) -> None:
    damage(folder / file)
    assert str(folder / file) in refused(folder, 3)


def test_a_genesis_that_was_changed_is_4(folder: Path) -> None:
    """The folder is of the network that it was, whatever the file says now."""
    with running(folder) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND_S) == 143
    change(folder / "genesis.json", r'"name": "solo"', '"name": "other"')
    assert str(folder / "data") in refused(folder, 4)


def _all_garbage(file: Path) -> None:
    file.write_bytes(os.urandom(file.stat().st_size))


def _no_meta_pages(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.write(bytes(8192))


def _cut_off(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(5000)


@pytest.mark.parametrize("damage", [_all_garbage, _no_meta_pages, _cut_off])
def test_a_corrupt_data_folder_is_4(folder: Path, damage: Callable[[Path], None]) -> None:
    with running(folder) as process:
        process.send_signal(signal.SIGTERM)
        process.wait(BOUND_S)
    (file,) = (folder / "data").rglob("data.mdb")
    damage(file)
    assert str(folder / "data") in refused(folder, 4)


def test_a_data_folder_that_is_a_file_is_4(folder: Path) -> None:
    (folder / "data").write_text("")
    assert str(folder / "data") in refused(folder, 4)


def test_a_second_signal_forces(folder: Path) -> None:
    """Both arrive in one moment, so that no stop can be faster than the second one."""
    with running(folder) as process:
        process.send_signal(signal.SIGSTOP)
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGCONT)
        assert process.wait(BOUND_S) in {130, 143}
        assert "node_stopped" not in events(process)
    # Forced is not clean: the record says so, until the next start.
    record = ProcessRecord.load(folder / "data")
    assert record is not None
    assert not record.is_alive()
    with running(folder) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait(BOUND_S) == 130
        assert events(process)[-2:] == ["node_stopping", "node_stopped"]
    assert ProcessRecord.load(folder / "data") is None


def test_a_record_appears_when_all_is_bound(folder: Path) -> None:
    """Whoever reads it can connect."""
    assert ProcessRecord.load(folder / "data") is None
    with running(folder) as process:
        record = ProcessRecord.load(folder / "data")
        assert record is not None
        assert record.pid == process.pid
        shown = invoke("status", "--data-dir", folder / "data", "-o", "json")
        assert json.loads(shown.stdout)["peer_id"] == record.peer_id
        assert len(record.addresses) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(BOUND_S) == 143
    assert ProcessRecord.load(folder / "data") is None


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("peers",),
        ("block", "tail"),
        ("health",),
        ("shutdown",),
        ("rpc", "getStatus"),
    ],
    ids=" ".join,
)
def test_a_node_that_is_not_there_is_6(network: LocalNetwork, arguments: tuple[str, ...]) -> None:
    network.net("up", "-n", "1", "--dry-run")
    for node in ("full-1", "full-9", "nowhere/full-1"):
        done = network.headway(*arguments, "--node", node, code=6)
        (line,) = done.stderr.splitlines()
        assert (done.stdout, line.startswith("headway: ")) == ("", True)
    done = network.headway(*arguments, "--rpc", "127.0.0.1:1", code=6)
    assert len(done.stderr.splitlines()) == 1


def test_a_node_that_cannot_start_decides_the_exit_code_of_net(network: LocalNetwork) -> None:
    network.net("up", "--mix", "full=2", "--dry-run")
    with network.files("full-2").config.open("a", encoding="utf-8") as config:
        config.write("\ncolour = 1\n")
    done = network.net("start", code=3)
    assert "full-2: exit code 3" in done.stderr
    assert "colour: unknown setting" in done.stderr
    # The others run.
    states = {name: report.state for name, report in network.reports().items()}
    assert states == {"full-1": "running", "full-2": "stopped"}


def test_a_port_that_was_taken_meanwhile_is_5(network: LocalNetwork) -> None:
    network.net("up", "--mix", "full=2", "--dry-run")
    ports = network.description.ports
    text = network.files("full-2").config.read_text(encoding="utf-8")
    text = text.replace(f"tcp/{ports['full-2'].p2p}", f"tcp/{ports['full-1'].p2p}")
    network.files("full-2").config.write_text(text, encoding="utf-8")
    network.net("start", "full-1")
    done = network.net("start", "full-2", code=5)
    assert f"{ports['full-1'].p2p}" in done.stderr
