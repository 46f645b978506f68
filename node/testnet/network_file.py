"""A network described in TOML, as `headway net up FILE` takes it.

name = "demo"
seed = 7
block_time = "500ms"
load = "50tps"

[[nodes]]
profile = "full"
count = 4

[[nodes]]
profile = "full"
start_at = 200
sync = "static"
"""

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from node.duration import parse_duration
from node.errors import ConfigError
from node.testnet.spec import (
    MAX_ACCOUNTS,
    MAX_NODES,
    MAX_PIVOT_INTERVAL,
    MAX_START_AT,
    PROFILES,
    STRATEGIES,
    NodeGroup,
    Topology,
    parse_load,
)


@dataclass(frozen=True, slots=True)
class _Key:
    """One key of the file."""

    name: str
    """What the network's parameters call it."""
    kind: type
    read: Callable[[Any], Any] = lambda value: value
    example: str = ""
    """Of a text that people write as a number."""


def read_network_file(path: Path) -> dict[str, Any]:
    """Return the parameters of a network that a file gives; those that it leaves out are missing.

    Raises:
        ConfigError: It is not such a file; the message names file, key and reason.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        groups = _groups(content.pop("nodes", []))
        parameters = _read(content, _KEYS, "", also=("nodes",))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if groups:
        parameters["early"] = tuple(group for group in groups if not group.start_at)
        parameters["late"] = tuple(group for group in groups if group.start_at)
    return parameters


def _groups(tables: Any) -> list[NodeGroup]:
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise ConfigError("nodes: groups of nodes are written as [[nodes]]")
    return [_group(table, f"nodes {number}: ") for number, table in enumerate(tables, 1)]


def _group(table: Mapping[str, Any], where: str) -> NodeGroup:
    facts = _read(table, _NODE_KEYS, where)
    if "profile" not in facts:
        raise ConfigError(f"{where}profile: missing: one of {', '.join(PROFILES)}")
    return NodeGroup(**{"count": 1, **facts})


def _read(
    table: Mapping[str, Any],
    keys: Mapping[str, _Key],
    where: str,
    *,
    also: tuple[str, ...] = (),
) -> dict[str, Any]:
    facts = {}
    for name, value in table.items():
        key = keys.get(name)
        if key is None:
            raise ConfigError(f"{where}{name}: unknown: one of {', '.join((*keys, *also))}")
        # A boolean counts as a whole number in Python, and as none here.
        if type(value) is not key.kind:
            example = f", as {name} = {key.example}" if key.example else ""
            raise ConfigError(f"{where}{name}: {value!r} is no {_WORDS[key.kind]}{example}")
        try:
            facts[key.name] = key.read(value)
        except ConfigError as error:
            raise ConfigError(f"{where}{name}: {error}") from error
    return facts


def _profile(text: str) -> str:
    if text not in PROFILES:
        raise ConfigError(f"{text!r} is none of {', '.join(PROFILES)}")
    return text


def _topology(text: str) -> str:
    if text not in set(Topology):
        raise ConfigError(f"{text!r} is none of {', '.join(Topology)}")
    return text


def _strategy(text: str) -> str:
    if text not in STRATEGIES:
        raise ConfigError(f"{text!r} is none of {', '.join(STRATEGIES)}")
    return text


def _within(low: int, high: int) -> Callable[[int], int]:
    def read(number: int) -> int:
        if not low <= number <= high:
            raise ConfigError(f"{number} is not in {low}..{high}")
        return number

    return read


_WORDS: Final = {str: "text", int: "whole number"}

_KEYS: Final = {
    "name": _Key("name", str),
    "seed": _Key("seed", int, _within(0, 2**63)),
    "block_time": _Key("block_time_s", str, parse_duration, '"250ms"'),
    "batch_length": _Key("batch_length", int, _within(2, 1024)),
    "batches_per_epoch": _Key("batches_per_epoch", int, _within(1, 1024)),
    "topology": _Key("topology", str, _topology),
    "validators": _Key("validators", int, _within(1, MAX_NODES)),
    "sync": _Key("sync", str, _strategy),
    "pivot_interval": _Key("pivot_interval", int, _within(1, MAX_PIVOT_INTERVAL)),
    "accounts": _Key("accounts", int, _within(0, MAX_ACCOUNTS)),
    "load": _Key("load_tps", str, parse_load, '"50tps"'),
}

_NODE_KEYS: Final = {
    "profile": _Key("profile", str, _profile),
    "count": _Key("count", int, _within(1, MAX_NODES)),
    "start_at": _Key("start_at", int, _within(0, MAX_START_AT)),
    **{name: _KEYS[name] for name in ("sync", "pivot_interval")},
}
