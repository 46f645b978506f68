"""Writing the files of a network: keys, genesis, settings. The same seed gives the same keys."""

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from node.chain.genesis import Genesis
from node.errors import ConfigError
from node.keys import NodeKeys
from node.policy import Policy
from node.testnet.layout import Description, NetworkFolder, NodePorts
from node.testnet.population import GenesisAccounts, Population, Progress
from node.testnet.ports import free_ports
from node.testnet.spec import STATE_PROFILES, NetworkSpec, NodeSpec, new_names
from node.testnet.topology import dials_of, dials_of_newcomer, neighbours_of

MAX_MIN_PEERS: Final = 3
"""What a node of a public network asks for before it trusts what its peers agree on."""

VALIDITY_WINDOW_BATCHES: Final = 2
PRODUCER_TIMEOUT_FACTOR: Final = 4
"""A silent producer is skipped after four block times."""


def prepare(
    spec: NetworkSpec,
    folder: NetworkFolder,
    *,
    timestamp_ms: int,
    accounts_progress: Progress = lambda _: None,
) -> Description:
    """Write all files of a network into a new folder.

    Args:
        spec: What it is made of.
        folder: Must not exist.
        timestamp_ms: Time of the genesis block.
        accounts_progress: Called while many accounts are made.

    Raises:
        ConfigError: The folder exists or cannot be written.
        ListenError: Not enough free ports.
    """
    if folder.path.exists():
        name = folder.path.name
        raise ConfigError(
            f"network {name!r} exists: 'headway net start --name {name}' starts it again,"
            f" 'headway net down --purge --name {name}' removes it, another --name keeps both"
        )
    description = Description(spec=spec, ports=_ports(spec.nodes))
    # Named so that nobody takes it for a network: one that is there is there as a whole.
    unfinished = NetworkFolder(folder.path.with_name(f".{folder.path.name}.{os.getpid()}"))
    try:
        _write(description, unfinished, timestamp_ms, accounts_progress)
        unfinished.path.rename(folder.path)
    except OSError as error:
        raise ConfigError(f"{folder.path}: {error.strerror}") from error
    finally:
        shutil.rmtree(unfinished.path, ignore_errors=True)
    return description


def add_nodes(
    description: Description,
    folder: NetworkFolder,
    profile: str,
    count: int,
    *,
    sync: str | None = None,
    pivot_interval: int | None = None,
) -> tuple[Description, tuple[NodeSpec, ...]]:
    """Write the files of more nodes into the folder of a network, which may be running.

    Args:
        description: Of the network.
        folder: Its folder.
        profile: Of the new nodes. None of them validates: the genesis says who may.
        count: How many.
        sync: Strategy of their state sync, if not the network's.
        pivot_interval: Blocks between two targets of it, if not the network's.

    Returns:
        The network with them, and they alone.

    Raises:
        ConfigError: Too many nodes, or the folder cannot be written.
        ListenError: Not enough free ports.
    """
    names = new_names(description.spec.nodes, profile, count)
    new = tuple(
        NodeSpec(
            name=name,
            profile=profile,
            is_validator=False,
            sync=sync,
            pivot_interval=pivot_interval,
        )
        for name in names
    )
    return add_specs(description, folder, new), new


def add_specs(
    description: Description, folder: NetworkFolder, new: Sequence[NodeSpec]
) -> Description:
    """Write the files of these nodes into the folder of a network, and return it with them.

    They dial those that are there, and not each other.

    Raises:
        ConfigError: Too many nodes, or the folder cannot be written.
        ListenError: Not enough free ports.
    """
    before = description.spec.nodes
    spec = replace(description.spec, nodes=(*before, *new))
    ports = {**description.ports, **_ports(new)}
    grown = Description(spec=spec, ports=ports)
    keys = {node.name: NodeKeys.derive(spec.seed, node.name) for node in spec.nodes}
    try:
        for position in range(len(before), len(spec.nodes)):
            there = (*before, spec.nodes[position])
            targets = dials_of_newcomer(there, len(before), spec.seed)
            _write_node(spec, folder, keys, ports, position, targets, targets)
        grown.save(folder)
    except OSError as error:
        raise ConfigError(f"{folder.path}: {error.strerror}") from error
    return grown


def policy_of(spec: NetworkSpec) -> Policy:
    """Return the chain's numbers for a local network."""
    return Policy(
        batch_length=spec.batch_length,
        batches_per_epoch=spec.batches_per_epoch,
        slots=spec.slots,
        block_separation_ms=spec.block_time_ms,
        producer_timeout_ms=PRODUCER_TIMEOUT_FACTOR * spec.block_time_ms,
        validity_window_batches=VALIDITY_WINDOW_BATCHES,
    )


def _ports(nodes: Sequence[NodeSpec]) -> dict[str, NodePorts]:
    # Unseeded on purpose: two networks of one seed may run at the same time.
    free = iter(free_ports(2 * len(nodes), Random()))
    return {node.name: NodePorts(p2p=next(free), rpc=next(free)) for node in nodes}


def _genesis(
    spec: NetworkSpec,
    keys: Mapping[str, NodeKeys],
    accounts: GenesisAccounts,
    timestamp_ms: int,
) -> Genesis:
    return Genesis.for_testnet(
        spec.seed,
        validators=[keys[node.name] for node in spec.nodes if node.is_validator],
        policy=policy_of(spec),
        timestamp=timestamp_ms,
        name=spec.name[:32],
        accounts=accounts,
    )


def _accounts(spec: NetworkSpec, folder: NetworkFolder, progress: Progress) -> GenesisAccounts:
    if not (spec.load_tps or spec.accounts):
        return {}
    people = Population(seed=spec.seed, senders=spec.load_accounts, holders=spec.holders)
    return people.give_to(folder.genesis.parent, progress)


def _write(
    description: Description, folder: NetworkFolder, timestamp_ms: int, progress: Progress
) -> None:
    spec = description.spec
    keys = {node.name: NodeKeys.derive(spec.seed, node.name) for node in spec.nodes}
    folder.path.mkdir(parents=True)
    genesis = _genesis(spec, keys, _accounts(spec, folder, progress), timestamp_ms)
    genesis.save(folder.genesis)
    _write_nodes(spec, folder, keys, description.ports)
    description.save(folder)


def _write_nodes(
    spec: NetworkSpec,
    folder: NetworkFolder,
    keys: Mapping[str, NodeKeys],
    ports: Mapping[str, NodePorts],
) -> None:
    early = [position for position, node in enumerate(spec.nodes) if not node.start_at]
    dials = dials_of(spec.topology, len(early), spec.seed)
    neighbours = neighbours_of(dials)
    for position in early:
        _write_node(spec, folder, keys, ports, position, dials[position], neighbours[position])
    for position in range(len(early), len(spec.nodes)):
        targets = dials_of_newcomer(spec.nodes, position, spec.seed)
        _write_node(spec, folder, keys, ports, position, targets, targets)


def _write_node(
    spec: NetworkSpec,
    folder: NetworkFolder,
    keys: Mapping[str, NodeKeys],
    ports: Mapping[str, NodePorts],
    position: int,
    targets: Iterable[int],
    neighbours: Iterable[int],
) -> None:
    node = spec.nodes[position]
    files = folder.node(node.name)
    files.path.mkdir(parents=True)
    keys[node.name].save(files.keys)
    seeds = [_address(spec.nodes[target], keys, ports) for target in targets]
    min_peers = _min_peers(spec, node, neighbours)
    files.config.write_text(_settings(spec, node, ports[node.name], seeds, min_peers), "utf-8")


def _min_peers(spec: NetworkSpec, node: NodeSpec, neighbours: Iterable[int]) -> int:
    """Return how many live peers a node asks for before it trusts what they agree on.

    A node with bodies follows only such nodes. A third of them may be dead: a network must go on
    as long as its votes do.
    """
    profiles = [spec.nodes[position].profile for position in neighbours]
    if node.profile in STATE_PROFILES:
        profiles = [profile for profile in profiles if profile in STATE_PROFILES]
    left = len(profiles) - -(-len(profiles) // 3)
    return min(MAX_MIN_PEERS, max(left, min(len(profiles), 1)))


def _address(node: NodeSpec, keys: Mapping[str, NodeKeys], ports: Mapping[str, NodePorts]) -> str:
    return f"/ip4/127.0.0.1/tcp/{ports[node.name].p2p}/p2p/{keys[node.name].peer_id}"


def _settings(
    spec: NetworkSpec, node: NodeSpec, ports: NodePorts, seeds: list[str], min_peers: int
) -> str:
    """Return the node's config.toml. Paths in it are relative to its folder."""
    quoted = ",\n".join(f'    "{seed}"' for seed in seeds)
    return f"""\
# {node.name}: written when the network was made; restart the node after a change.
profile = "{node.profile}"
genesis = "../../genesis.json"
data_dir = "data"
keys = "keys.json"
validator = {str(node.is_validator).lower()}
listen = ["/ip4/127.0.0.1/tcp/{ports.p2p}"]
rpc = "127.0.0.1:{ports.rpc}"
min_peers = {min_peers}
seeds = [
{quoted}
]
{_sync_settings(spec, node)}"""


def _sync_settings(spec: NetworkSpec, node: NodeSpec) -> str:
    lines = ["[sync]"]
    if strategy := node.sync or spec.sync:
        lines.append(f'strategy = "{strategy}"')
    if interval := node.pivot_interval or spec.pivot_interval:
        lines.append(f"pivot_interval = {interval}")
    return "\n".join([*lines, ""]) if len(lines) > 1 else ""
