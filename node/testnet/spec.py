"""What a local network is made of, as an operator asks for it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import count as counting
from itertools import islice
from typing import Final

from node.errors import ConfigError

PROFILES: Final = ("history", "full", "light", "pico")
"""In the order in which nodes are numbered: those that keep state come first."""

STATE_PROFILES: Final = ("history", "full")
"""Profiles that execute blocks, and so may hold a validator."""

MAX_NODES: Final = 500
"""One address family of loopback ports and one laptop; more needs the simulator."""

MIN_BLOCK_TIME_MS: Final = 10
MAX_BLOCK_TIME_MS: Final = 300_000
"""A longer one is beyond what a policy can have as the timeout of a producer."""

MAX_DEFAULT_VALIDATORS: Final = 7
"""Enough to lose two and go on; each further one costs every node two votes a batch."""

MAX_ACCOUNTS: Final = 10_000_000
"""Of one genesis: 310 MB, read by each node that executes from the start."""

MAX_START_AT: Final = 10_000_000
"""A height that no local network reaches."""

STRATEGIES: Final = ("dynamic", "static")
"""How a node that fetches its state goes about it, the default first."""

MAX_PIVOT_INTERVAL: Final = 10_000_000
"""As for a single node."""

_RATE: Final = re.compile(r"(\d+(?:\.\d+)?)(?:tps|/s)?")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


class Topology(StrEnum):
    """Who is connected to whom at the start."""

    RANDOM = "random"
    """Each node dials up to four earlier ones."""
    MESH = "mesh"
    """Everybody with everybody."""
    RING = "ring"
    STAR = "star"
    """Everybody with the first node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSpec:
    """One node of a network."""

    name: str
    """Profile and number: `full-2`."""
    profile: str
    is_validator: bool
    start_at: int = 0
    """Height of the network at which it is started; 0 is with the network."""
    sync: str | None = None
    """Strategy of its state sync, if not the network's."""
    pivot_interval: int | None = None
    """Blocks between two targets of it, if not the network's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeGroup:
    """Nodes of one profile that start together."""

    profile: str
    count: int
    start_at: int = 0
    sync: str | None = None
    pivot_interval: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """Everything that decides a network: two equal specs give the same files, ports apart."""

    name: str
    seed: int
    nodes: tuple[NodeSpec, ...]
    block_time_ms: int = 1000
    topology: Topology = Topology.RANDOM
    batch_length: int = 20
    """Short batches, so that finality is seen within seconds."""
    batches_per_epoch: int = 4
    slots: int = 64
    sync: str | None = None
    """Strategy of state sync, if not the default."""
    pivot_interval: int | None = None
    """Blocks between two targets of it, if not the default."""
    load_tps: float = 0.0
    """Transactions per second of the workload; 0 is none."""
    load_accounts: int = 64
    """Funded accounts that the workload spends from."""
    accounts: int = 0
    """With coins at the start, those of the workload among them; 0 for no others than these."""

    def __post_init__(self) -> None:
        """Refuse what cannot run."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"network name {self.name!r}: use lower-case letters, digits, '.', '_' and '-'"
            )
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise ConfigError(f"a network has 1..{MAX_NODES} nodes: {len(self.nodes)}")
        if not any(node.is_validator for node in self.nodes):
            raise ConfigError("no node can validate: give the network a history or full node")
        if not MIN_BLOCK_TIME_MS <= self.block_time_ms <= MAX_BLOCK_TIME_MS:
            raise ConfigError(f"block time must be 10ms..5m: {self.block_time_ms} ms")
        if not 0 <= self.load_tps <= 10_000:
            raise ConfigError(f"load must be 0..10000 tps: {self.load_tps:g}")
        if not 0 <= self.accounts <= MAX_ACCOUNTS:
            raise ConfigError(f"a genesis has at most {MAX_ACCOUNTS} accounts: {self.accounts}")

    @property
    def holders(self) -> int:
        """Accounts with coins at the start that the workload does not spend from."""
        return max(self.accounts - self.load_accounts, 0)


def groups_of(mix: Mapping[str, int]) -> list[NodeGroup]:
    """Return the groups of a mix (profile to count), which are there from the start."""
    return [NodeGroup(profile=profile, count=count) for profile, count in mix.items()]


def nodes_of(groups: Iterable[NodeGroup], validators: int | None) -> tuple[NodeSpec, ...]:
    """Number the nodes and choose the validators among those that keep state.

    Args:
        groups: Those that join later stand behind the others and never validate: until it joins,
            a validator would be a dead one.
        validators: How many of the others validate; None for all that can, up to seven.

    Raises:
        ConfigError: More validators than nodes that keep state, or none.
    """
    ordered = sorted(groups, key=_place)
    able = sum(
        group.count for group in ordered if group.profile in STATE_PROFILES and not group.start_at
    )
    if not able:
        raise ConfigError(
            "no node can validate: give the network a history or full node from the start"
        )
    wanted = min(able, MAX_DEFAULT_VALIDATORS) if validators is None else validators
    if not 1 <= wanted <= able:
        raise ConfigError(f"{wanted} validators need as many history or full nodes, not {able}")
    nodes: list[NodeSpec] = []
    for group in ordered:
        for name in new_names(nodes, group.profile, group.count):
            node = NodeSpec(
                name=name,
                profile=group.profile,
                is_validator=len(nodes) < wanted,
                start_at=group.start_at,
                sync=group.sync,
                pivot_interval=group.pivot_interval,
            )
            nodes.append(node)
    return tuple(nodes)


def _place(group: NodeGroup) -> tuple[int, int]:
    """Sort by height, and at the start those first that can validate."""
    return group.start_at, 0 if group.start_at else PROFILES.index(group.profile)


def new_names(nodes: Sequence[NodeSpec], profile: str, count: int) -> list[str]:
    """Return names for more nodes of a profile: its next numbers."""
    taken = {node.name for node in nodes}
    free = (name for number in counting(1) if (name := f"{profile}-{number}") not in taken)
    return list(islice(free, count))


def parse_mix(text: str) -> dict[str, int]:
    """Read `history=2,full=3`.

    Raises:
        ConfigError: An unknown or repeated profile, or a count that is not a number.
    """
    mix: dict[str, int] = {}
    for part in text.split(","):
        profile, separator, count = part.strip().partition("=")
        if profile not in PROFILES:
            raise ConfigError(f"mix: unknown profile {profile!r}: one of {', '.join(PROFILES)}")
        if profile in mix:
            raise ConfigError(f"mix: {profile} is given twice")
        if not separator or not count.isdecimal():
            raise ConfigError(f"mix: {part.strip()!r} is not of the form {profile}=COUNT")
        mix[profile] = int(count)
    return mix


def parse_late(text: str) -> NodeGroup:
    """Read `pico=2@200`: two more picos when the network is at height 200. `pico@200` is one.

    Raises:
        ConfigError: It is not of this form.
    """
    mix, separator, height = text.rpartition("@")
    if not separator or not height.isdecimal() or not 1 <= int(height) <= MAX_START_AT:
        raise ConfigError(f"{text!r} is not of the form pico=2@200")
    counted = mix if "=" in mix else f"{mix}=1"
    groups = [NodeGroup(profile=each, count=number) for each, number in parse_mix(counted).items()]
    if len(groups) != 1 or not groups[0].count:
        raise ConfigError(f"{text!r}: one profile and its count, as pico=2@200")
    return replace(groups[0], start_at=int(height))


def mix_for(count: int | None, mix: dict[str, int] | None) -> dict[str, int]:
    """Bring the node count and the mix together.

    Raises:
        ConfigError: They contradict each other.
    """
    if mix is None:
        return _default_mix(8 if count is None else count)
    total = sum(mix.values())
    if count is not None and total != count:
        raise ConfigError(f"mix has {total} nodes, but {count} are asked for")
    return mix


def _default_mix(count: int) -> dict[str, int]:
    """Share out as 2 history, 3 full, 2 light, 1 pico of 8; small networks validate first."""
    if count < 4:
        return {"full": count}
    light = count * 2 // 8
    pico = max(count // 8, 1)
    history = max(count * 2 // 8, 1)
    return {
        "history": history,
        "full": count - history - light - pico,
        "light": light,
        "pico": pico,
    }


def parse_load(text: str) -> float:
    """Read `50tps`, `50/s` or `50` as transactions per second.

    Raises:
        ConfigError: It is none of these.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is not a load such as 50tps")
    return float(match[1])
