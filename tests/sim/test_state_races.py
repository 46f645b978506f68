"""A node whose state sync races with blocks that come, targets that move, and its own end.

HEADWAY_TEST_SEEDS sets how many seeds are tried; `./make.py races` tries thousands on all cores and
says how to run one that fails alone.
"""

import os

import pytest

from tests.build.chain import contents
from tests.sim.state_race import run_race

SEEDS = int(os.environ.get("HEADWAY_TEST_SEEDS", "120"))
GROUPS = 8
"""Tests that share the seeds: one failure names the seed, and workers share the time."""

KINDS = 10
"""Of last commits: five things that one may change, done or undone."""


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_block_is_executed_once_and_the_state_is_the_last_targets(group: int) -> None:
    """Accepts against completion, targets against a rebuilt session, and parts done early.

    What races is drawn from the seed. A block that is executed twice, not at all, or before its
    parent gives another state root than its header has, and another store in the end.
    """
    for seed in range(group, SEEDS, GROUPS):
        try:
            run_race(seed)
        except* AssertionError as errors:
            raise AssertionError(f"./make.py races --suite node --replay {seed}") from errors


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_seed_gives_the_same_run(seed: int) -> None:
    """A failing seed can be replayed: every commit does the same."""
    first, second = run_race(seed), run_race(seed)
    assert (first.store.steps, first.lives) == (second.store.steps, second.lives)
    assert contents(first.store) == contents(second.store)


@pytest.mark.parametrize("seed", range(4))
def test_a_process_that_ends_after_a_few_commits_gets_its_state_all_the_same(seed: int) -> None:
    """Each life ends with one of its first commits, half of them before that is done.

    So targets, accounts, the finalizer, replay and the seal are all cut off, or are the last thing
    that a process has done.
    """
    store = run_race(seed, is_killed_always=True).store
    steps = {"target", "state_head", "accounts", "operations", "mode"}
    assert set(store.steps) == steps
    assert {step for step, _ in store.killed} >= {"accounts", "operations"}


def test_each_kind_of_commit_has_been_the_last_one_done_and_undone() -> None:
    """What the test before relies on: over some seeds nothing has been left out."""
    killed = set[tuple[str, bool]]()
    for seed in range(4, 40):
        killed |= run_race(seed, is_killed_always=True).store.killed
        if len(killed) == KINDS:
            return
    raise AssertionError(killed)
