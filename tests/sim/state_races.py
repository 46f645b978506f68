"""Runs state syncs from many seeds, on all cores: `./make.py races`.

    --seeds 10000 --first 0 --suite node        seeds 0..9999 of one suite
    --suite node --replay 4711                  one seed, in one process, with its traceback

Each seed that fails is printed with the command that runs it alone.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import Final

import structlog

from tests.sim.state_chaos import run_chaos
from tests.sim.state_race import run_race

SUITES: Final[dict[str, Callable[[int], object]]] = {"accounts": run_chaos, "node": run_race}
"""What a seed is run through: the machine that fetches accounts, or a node with all its parts."""

SEEDS: Final = 10_000
REPORTED: Final = 250
"""Seeds between two lines that say how far it is."""


def run_seed(suite: str, seed: int) -> None:
    """Run one seed; raise what goes wrong."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger("info"),
        logger_factory=structlog.ReturnLoggerFactory(),
    )
    SUITES[suite](seed)


def run_all(suite: str, seeds: range) -> list[int]:
    """Run seeds on all cores; print and return those that fail."""
    failed: list[int] = []
    with ProcessPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        runs: dict[Future[None], int] = {pool.submit(run_seed, suite, each): each for each in seeds}
        for count, run in enumerate(as_completed(runs), start=1):
            if (error := run.exception()) is not None:
                failed.append(runs[run])
                say(f"seed {runs[run]} of {suite} fails: {last_line(error)}")
                say(f"  ./make.py races --suite {suite} --replay {runs[run]}")
            if count % REPORTED == 0 or count == len(seeds):
                say(f"{suite}: {count} of {len(seeds)} seeds, {len(failed)} failed")
    return sorted(failed)


def last_line(error: BaseException) -> str:
    """Return what went wrong, the innermost of a group, in one line."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return traceback.format_exception_only(error)[-1].strip()


def say(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; return 1 if a seed failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--suite", choices=SUITES, help="one of them; default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--replay", type=int, metavar="SEED", help="run one seed, here")
    options = parser.parse_args(arguments)
    suites = [options.suite] if options.suite else list(SUITES)
    if options.replay is not None:
        for suite in suites:
            run_seed(suite, options.replay)
        return 0
    seeds = range(options.first, options.first + options.seeds)
    return 1 if [seed for suite in suites for seed in run_all(suite, seeds)] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
