"""Naming nodes."""

from random import Random

import pytest

from node.errors import ConfigError, UnreachableError
from node.testnet.selector import select
from node.testnet.spec import groups_of, nodes_of

NODES = nodes_of(groups_of({"history": 1, "full": 2, "light": 2, "pico": 1}), 2)


@pytest.mark.parametrize(
    ("selectors", "names"),
    [
        ([], ["history-1", "full-1", "full-2", "light-1", "light-2", "pico-1"]),
        (["full-2"], ["full-2"]),
        (["n3", "n1"], ["history-1", "full-2"]),
        (["light-*"], ["light-1", "light-2"]),
        (["profile=pico"], ["pico-1"]),
        (["validator=true"], ["history-1", "full-1"]),
        (["validator=true", "full-*"], ["history-1", "full-1", "full-2"]),
    ],
)
def test_selectors(selectors: list[str], names: list[str]) -> None:
    assert [node.name for node in select(NODES, selectors, Random(0))] == names


def test_at_random_repeats_with_its_seed() -> None:
    first = select(NODES, ["@random:2"], Random(5))
    assert first == select(NODES, ["@random:2"], Random(5))
    assert len(first) == 2


@pytest.mark.parametrize("selector", ["full-9", "n0", "n7", "FULL-1", "profile=none"])
def test_a_selector_that_names_nothing_is_an_error(selector: str) -> None:
    with pytest.raises(UnreachableError, match="there are: history-1, full-1"):
        select(NODES, [selector], Random(0))


@pytest.mark.parametrize("selector", ["@random:0", "@random:7", "@random:x", "color=red"])
def test_a_selector_that_makes_no_sense(selector: str) -> None:
    with pytest.raises(ConfigError):
        select(NODES, [selector], Random(0))
