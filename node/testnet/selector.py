"""Naming nodes: by name, by position, by glob, by label or at random."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from random import Random

from node.errors import ConfigError, UnreachableError
from node.testnet.spec import NodeSpec


def select(nodes: Sequence[NodeSpec], selectors: Sequence[str], rng: Random) -> list[NodeSpec]:
    """Return the nodes that any selector names, in the network's order; all if there is none.

    Forms: `full-2`, `n3` (third of the network), `light-*`, `profile=pico`, `validator=true`,
    `@random:2`.

    Raises:
        ConfigError: A selector has none of these forms.
        UnreachableError: A selector names nothing.
    """
    if not selectors:
        return list(nodes)
    chosen = {name for selector in selectors for name in _names(nodes, selector, rng)}
    return [node for node in nodes if node.name in chosen]


def _names(nodes: Sequence[NodeSpec], selector: str, rng: Random) -> list[str]:
    if selector.startswith("@random:"):
        return _at_random(nodes, selector, rng)
    if selector[:1] == "n" and selector[1:].isdecimal():
        position = int(selector[1:])
        found = [nodes[position - 1].name] if 1 <= position <= len(nodes) else []
    elif "=" in selector:
        found = _by_label(nodes, selector)
    else:
        found = [node.name for node in nodes if fnmatchcase(node.name, selector)]
    if not found:
        names = ", ".join(node.name for node in nodes[:12])
        raise UnreachableError(f"no node is named by {selector!r}; there are: {names}")
    return found


def _at_random(nodes: Sequence[NodeSpec], selector: str, rng: Random) -> list[str]:
    count = selector.removeprefix("@random:")
    if not count.isdecimal() or not 1 <= int(count) <= len(nodes):
        raise ConfigError(f"{selector!r}: give a number from 1 to {len(nodes)}")
    return [node.name for node in rng.sample(list(nodes), int(count))]


def _by_label(nodes: Sequence[NodeSpec], selector: str) -> list[str]:
    label, _, value = selector.partition("=")
    if label == "profile":
        return [node.name for node in nodes if node.profile == value]
    if label == "validator":
        return [node.name for node in nodes if str(node.is_validator).lower() == value]
    raise ConfigError(f"{selector!r}: labels are profile and validator")
