"""What a benchmark is, and how its figure is printed."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

BUSY_LOAD = 1.0
"""With more than this running before the start, a figure says little; the line says so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value.

    `ratio` compares it with a limit measured in the same run; `aim` is what the ratio, or the
    value where there is no limit, should reach.
    """

    name: str
    value: float
    unit: str
    aim: str
    limit: float | None = None
    """The same work without what is being measured, in the same unit."""
    ratio: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A named measurement. `run(quick)` returns its figures."""

    name: str
    summary: str
    run: Callable[[bool], list[Figure]]


def line(figure: Figure, load_before: float) -> str:
    """Return a figure as one line of JSON, with what is needed to judge it."""
    content: dict[str, Any] = {
        "name": figure.name,
        "value": _rounded(figure.value),
        "unit": figure.unit,
        "limit": None if figure.limit is None else _rounded(figure.limit),
        "ratio": None if figure.ratio is None else _rounded(figure.ratio),
        "aim": figure.aim,
        **figure.details,
        "load_average": round(load_before, 2),
        "machine_was_idle": load_before <= BUSY_LOAD,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "libp2p": version("libp2p"),
        "trio": version("trio"),
    }
    return json.dumps(content)


def seconds(action: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def median_seconds(action: Callable[[], object], runs: int) -> float:
    """Return the median duration of several calls."""
    return statistics.median(seconds(action) for _ in range(runs))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0..1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")
