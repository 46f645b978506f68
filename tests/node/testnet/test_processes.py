"""Ending processes."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from node.testnet.processes import children_of, end_processes, kill_processes

WAITING = "print('up', flush=True); __import__('signal').pause()"
STUBBORN = (
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('up', flush=True); [signal.pause() for _ in range(9)]"
)


def _start(script: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


@pytest.fixture
def processes() -> Iterator[dict[str, subprocess.Popen[str]]]:
    started = {"willing": _start(WAITING), "stubborn": _start(STUBBORN)}
    yield started
    for process in started.values():
        process.kill()
        process.communicate()


def test_those_that_do_not_stop_are_killed(processes: dict[str, subprocess.Popen[str]]) -> None:
    pids = {name: process.pid for name, process in processes.items()}

    assert end_processes(pids, timeout_s=0.5) == ["stubborn"]

    assert processes["willing"].wait() == -15
    assert processes["stubborn"].wait() == -9


def test_killing_waits_for_the_end_and_ignores_the_dead(
    processes: dict[str, subprocess.Popen[str]],
) -> None:
    pids = {name: process.pid for name, process in processes.items()}

    kill_processes(pids, timeout_s=10)
    assert [process.wait() for process in processes.values()] == [-9, -9]

    assert end_processes(pids, timeout_s=10) == []


def test_children_are_those_that_run(processes: dict[str, subprocess.Popen[str]]) -> None:
    pids = {process.pid for process in processes.values()}
    assert pids <= set(children_of(os.getpid()))

    kill_processes({"willing": processes["willing"].pid}, timeout_s=10)
    # It is a zombie until its parent asks for its end.
    assert pids & set(children_of(os.getpid())) == {processes["stubborn"].pid}
    assert children_of(processes["stubborn"].pid) == []
