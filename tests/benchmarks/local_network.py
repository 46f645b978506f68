"""Networks of real daemons, started by the command that people type, in a folder of their own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from node.process import ProcessRecord
from node.testnet.control import report
from node.testnet.layout import Description, NetworkFolder
from node.testnet.processes import kill_processes
from node.testnet.spec import NodeSpec

HEADWAY: Final = Path(sys.executable).with_name("headway")
"""The command of the environment that this runs in."""

NAME: Final = "testnet"
SEED: Final = 7
LOOK_S: Final = 0.005
"""Between two looks for process.json files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedNetwork:
    """A network whose command has returned."""

    folder: NetworkFolder
    nodes: dict[str, tuple[NodeSpec, ProcessRecord]]
    """By name."""
    listening_s: float
    """From typing until the last node had all its listeners bound."""
    reached_s: float
    """From typing until the command had seen the condition on all nodes, and ended."""

    def lowest_height(self) -> int:
        """Return the height of the node that is furthest behind."""
        reports = report(self.folder, [node for node, _ in self.nodes.values()])
        return min(int(each.status["height"]) for each in reports)


@contextmanager
def started_network(count: int, condition: str) -> Iterator[StartedNetwork]:
    """Run a network of the default mix around the body, and leave nothing behind.

    Raises:
        RuntimeError: It did not start, or did not reach the condition in the command's time.
    """
    with TemporaryDirectory() as text:
        environment = {**os.environ, "HEADWAY_NETWORKS": text}
        folder = NetworkFolder(Path(text) / NAME)
        try:
            yield _up(count, condition, folder, environment)
        finally:
            _down(folder, environment)


def _up(
    count: int, condition: str, folder: NetworkFolder, environment: dict[str, str]
) -> StartedNetwork:
    arguments = ["up", "-n", str(count), "--seed", str(SEED), "--name", NAME, "--wait", condition]
    start = time.perf_counter()
    command = subprocess.Popen(
        [HEADWAY, "net", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    while command.poll() is None and _listening(folder) < count:
        time.sleep(LOOK_S)
    listening_s = time.perf_counter() - start
    output, _ = command.communicate()
    reached_s = time.perf_counter() - start
    if command.returncode != 0:
        raise RuntimeError(f"the network did not start:\n{output.decode(errors='replace')}")
    return StartedNetwork(
        folder=folder, nodes=_records(folder), listening_s=listening_s, reached_s=reached_s
    )


def _down(folder: NetworkFolder, environment: dict[str, str]) -> None:
    pids = {name: record.pid for name, (_, record) in _records(folder).items()}
    arguments = ["down", "--purge", "--name", NAME]
    subprocess.run([HEADWAY, "net", *arguments], env=environment, check=False, capture_output=True)
    # Whatever became of the command: nothing of ours goes on.
    kill_processes(pids, timeout_s=10)


def _listening(folder: NetworkFolder) -> int:
    return len(list(folder.path.glob("nodes/*/data/process.json")))


def _records(folder: NetworkFolder) -> dict[str, tuple[NodeSpec, ProcessRecord]]:
    """Return the nodes that run."""
    if not folder.description.exists():
        return {}
    found = {}
    for node in Description.load(folder).spec.nodes:
        record = ProcessRecord.load(folder.node(node.name).data)
        if record is not None and record.is_alive():
            found[node.name] = node, record
    return found
