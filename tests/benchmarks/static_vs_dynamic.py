"""Both ways to fetch a state, side by side in one network: how far behind each one ends.

It is what `headway experiment static-vs-dynamic` does. All nodes share this machine, so seconds are
for comparing the two; blocks behind are counted against what the validators had.
"""

import statistics
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cli.net_common import start
from node.testnet.experiment import (
    MIN_BATCHES,
    STRATEGIES,
    ExperimentSpec,
    Outcome,
    Point,
    is_complete,
    outcome_of,
)
from node.testnet.experiment_run import prepared, run_experiment
from node.testnet.layout import Description, NetworkFolder
from node.testnet.spec import NodeSpec
from tests.benchmarks.measure import Figure

NAME: Final = "sync_static_vs_dynamic"
ACCOUNTS: Final = 200_000
QUICK_ACCOUNTS: Final = 20_000
VALIDATORS: Final = 2
"""They share two processors with both newcomers and the load."""

BATCH_LENGTH: Final = 10
RATES: Final = ((1000, 20.0), (250, 40.0), (100, 50.0))
"""Milliseconds between two blocks, and transactions per second."""

ROUNDS: Final = 3
TIMEOUT_S: Final = 120.0


class _Nobody:
    """Watches nothing: figures go to standard output, and there is nobody to tell more."""

    def phase(self, text: str) -> None:
        """Do nothing."""

    def points(self, newest: Sequence[Point]) -> None:
        """Do nothing."""


def sync_static_vs_dynamic(quick: bool) -> list[Figure]:
    """Join a network with a node of each strategy, at several block rates."""
    accounts = QUICK_ACCOUNTS if quick else ACCOUNTS
    rates, rounds = (RATES[-1:], 1) if quick else (RATES, ROUNDS)
    return [_figure(accounts, *rate, rounds) for rate in rates]


def _figure(accounts: int, block_time_ms: int, load_tps: float, rounds: int) -> Figure:
    spec = ExperimentSpec(
        name="benchmark",
        seed=7,
        accounts=accounts,
        validators=VALIDATORS,
        load_tps=load_tps,
        block_time_ms=block_time_ms,
        batch_length=BATCH_LENGTH,
        join_at=MIN_BATCHES * BATCH_LENGTH,
    )
    runs = [_run(spec) for _ in range(rounds)]
    static, dynamic = ([_behind(run[each]) for run in runs] for each in STRATEGIES)
    return Figure(
        name=NAME,
        value=statistics.median(dynamic),
        unit="blocks behind when the state is complete, dynamic",
        limit=statistics.median(static),
        aim="0 or 1 block behind at every rate; the limit is the static one",
        details={
            "accounts": accounts,
            "block_time_ms": block_time_ms,
            "load_tps": load_tps,
            "validators": VALIDATORS,
            "runs": rounds,
            "behind": {"static": static, "dynamic": dynamic},
            "complete_s": {each: _medians(runs, each, "complete_s") for each in STRATEGIES},
            "at_head_s": {each: _medians(runs, each, "at_head_s") for each in STRATEGIES},
            "bytes_in": {each: _medians(runs, each, "bytes_in") for each in STRATEGIES},
        },
    )


def _run(spec: ExperimentSpec) -> dict[str, Outcome]:
    """Return how both did.

    Raises:
        RuntimeError: One did not get to the head in time.
    """
    with TemporaryDirectory() as text:
        folder = NetworkFolder(Path(text) / spec.name)

        def begin(nodes: Sequence[NodeSpec], *, load: Description | None) -> None:
            start(folder, nodes, load=load)

        with prepared(spec, folder) as description:
            recording = run_experiment(
                spec, folder, description, begin, _Nobody(), timeout_s=TIMEOUT_S
            )
    outcomes = {each: outcome_of(recording, each) for each in STRATEGIES}
    if not all(is_complete(each) for each in outcomes.values()):
        raise RuntimeError(f"not at the head within {TIMEOUT_S:g} s: {outcomes}")
    return outcomes


def _behind(outcome: Outcome) -> int:
    assert outcome.behind_at_completion is not None, "it is complete"
    return outcome.behind_at_completion


def _medians(runs: Sequence[dict[str, Outcome]], strategy: str, fact: str) -> float:
    return statistics.median(float(getattr(run[strategy], fact)) for run in runs)
