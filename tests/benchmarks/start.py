"""What a person waits for: the command's help, and a network from typing to its first blocks."""

import statistics
import subprocess
import sys
from typing import Final

from tests.benchmarks.local_network import HEADWAY, started_network
from tests.benchmarks.measure import Figure, median_seconds

HELP_RUNS: Final = 15
IMPORT_RUNS: Final = 5
SIZES: Final = (1, 8, 20)
QUICK_SIZE: Final = 8
START_RUNS: Final = 3


def help_time(quick: bool) -> list[Figure]:
    """Run `headway --help` as a process; divide by Python doing nothing."""
    runs = 5 if quick else HELP_RUNS
    spent = median_seconds(lambda: _run([str(HEADWAY), "--help"]), runs)
    bare = median_seconds(lambda: _run([sys.executable, "-c", "pass"]), runs)
    return [
        Figure(
            name="help_time",
            value=spent * 1000,
            unit="ms",
            limit=bare * 1000,
            ratio=spent / bare,
            aim="under 150 ms",
            details={"runs": runs},
        )
    ]


def start_time(quick: bool) -> list[Figure]:
    """Start networks until height 3 on all nodes; divide by one import of libp2p."""
    runs = 1 if quick else START_RUNS
    return [_start_time(count, runs) for count in ((QUICK_SIZE,) if quick else SIZES)]


def _start_time(count: int, runs: int) -> Figure:
    listening, reached = [], []
    for _ in range(runs):
        with started_network(count, "height>=3") as network:
            listening.append(network.listening_s)
            reached.append(network.reached_s)
    import_s = median_seconds(lambda: _run([sys.executable, "-c", "import libp2p"]), IMPORT_RUNS)
    reached_s = statistics.median(reached)
    return Figure(
        name="start_time",
        value=reached_s,
        unit="s to height 3 on all nodes",
        limit=import_s,
        ratio=reached_s / import_s,
        aim="20 nodes: listening in 2 s, height 3 in 10 s",
        details={
            "nodes": count,
            "listening_s": round(statistics.median(listening), 3),
            "listening_ratio": round(statistics.median(listening) / import_s, 2),
            "runs": runs,
            "reached_range_s": [round(min(reached), 2), round(max(reached), 2)],
        },
    )


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
