"""What a node costs that only follows: processor and memory at one block per second."""

import os
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import cli.run  # noqa: F401 - what the zygote of a network imports before it forks.
from node.process import ProcessRecord
from node.testnet.memory import proportional_bytes
from node.testnet.processes import kill_processes
from node.testnet.spec import NodeSpec
from node.testnet.zygote import Job, start_all, wait_until_ready
from tests.benchmarks.local_network import started_network
from tests.benchmarks.measure import Figure

WINDOW_S: Final = 20
SETTLED: Final = "height>=6"
"""By then the start is over: connections, meshes, first decoding of keys."""
MB: Final = 1_000_000
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_USER_TICKS_FIELD: Final = 11
"""Of /proc/PID/stat, counted after the command name; those of the kernel follow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    node: NodeSpec
    core_share: float
    """Of one core, 1 is all of it."""
    proportional_bytes: int


def idle_cost(quick: bool) -> list[Figure]:
    """Watch a network for 20 s; divide memory by a fork that has imported and does nothing."""
    count = 8 if quick else 20
    with started_network(count, SETTLED) as network:
        first_height = network.lowest_height()
        costs = _watch(list(network.nodes.values()))
        blocks = network.lowest_height() - first_height
    with _import_floor(count) as pids:
        floor = statistics.median(_bytes_of(pid) for pid in pids)
    followers = [cost for cost in costs if not cost.node.is_validator]
    share = statistics.median(cost.core_share for cost in followers)
    memory = statistics.median(cost.proportional_bytes for cost in followers)
    details = {"nodes": count, "window_s": WINDOW_S, "blocks": blocks, "by_group": _groups(costs)}
    return [
        Figure(
            name="idle_cost",
            value=share * 100,
            unit="% of a core",
            aim="at most 4 % for a node that follows",
            details={"what": "processor", **details},
        ),
        Figure(
            name="idle_cost",
            value=memory / MB,
            unit="MB PSS",
            limit=floor / MB,
            ratio=memory / floor,
            aim="at most 60 MB for a node that follows",
            details={"what": "memory", "nodes": count},
        ),
    ]


def _watch(nodes: Sequence[tuple[NodeSpec, ProcessRecord]]) -> list[_Cost]:
    start = time.perf_counter()
    before = [_cpu_ticks(record.pid) for _, record in nodes]
    time.sleep(WINDOW_S)
    after = [_cpu_ticks(record.pid) for _, record in nodes]
    seconds = time.perf_counter() - start
    return [
        _Cost(
            node=node,
            core_share=(last - first) / TICKS_PER_S / seconds,
            proportional_bytes=_bytes_of(record.pid),
        )
        for (node, record), first, last in zip(nodes, before, after, strict=True)
    ]


def _groups(costs: Sequence[_Cost]) -> dict[str, dict[str, float]]:
    """Return medians by profile, validators apart."""
    groups: dict[str, list[_Cost]] = {}
    for cost in costs:
        role = " validator" if cost.node.is_validator else ""
        groups.setdefault(cost.node.profile + role, []).append(cost)
    return {
        name: {
            "nodes": len(members),
            "core_percent": round(statistics.median(m.core_share for m in members) * 100, 2),
            "pss_mb": round(statistics.median(m.proportional_bytes for m in members) / MB, 1),
        }
        for name, members in groups.items()
    }


@contextmanager
def _import_floor(count: int) -> Iterator[list[int]]:
    """Run forks that have what a node imports, and nothing else, around the body."""
    with TemporaryDirectory() as folder:
        log = Path(folder) / "floor.log"
        children = start_all([Job(f"floor-{index}", log, _sleep) for index in range(count)])
        try:
            yield [outcome.pid for outcome in wait_until_ready(children, 30)]
        finally:
            kill_processes({child.name: child.pid for child in children}, timeout_s=10)


def _sleep(ready: Callable[[], None]) -> int:
    ready()
    signal.pause()
    return 0


def _cpu_ticks(pid: int) -> int:
    """Return the processor time of a process and its threads."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    fields = stat.rpartition(")")[2].split()
    return int(fields[_USER_TICKS_FIELD]) + int(fields[_USER_TICKS_FIELD + 1])


def _bytes_of(pid: int) -> int:
    size = proportional_bytes(pid)
    if size is None:
        raise RuntimeError(f"process {pid} ended while it was measured")
    return size
