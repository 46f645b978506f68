"""Writing a network's files."""

import errno
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.main import main
from node.chain.genesis import Genesis
from node.config import NodeConfig
from node.errors import ConfigError
from node.keys import NodeKeys
from node.policy import Policy
from node.profiles import Profile
from node.sync.state.strategy import SyncStrategy
from node.testnet.layout import Description, NetworkFolder
from node.testnet.population import Population
from node.testnet.prepare import add_nodes, add_specs, policy_of, prepare
from node.testnet.spec import NetworkSpec, NodeGroup, NodeSpec, Topology, groups_of, nodes_of
from node.testnet.workload import BALANCE

NOW_MS = 1_750_000_000_000
STATE_KEEPERS = ("history-1", "full-1", "full-2")
MIX = {"history": 1, "full": 2, "light": 2, "pico": 1}


def spec_of(
    mix: dict[str, int] = MIX,
    *,
    seed: int = 7,
    topology: Topology = Topology.RANDOM,
    load_tps: float = 0,
    accounts: int = 0,
) -> NetworkSpec:
    return NetworkSpec(
        name="demo",
        seed=seed,
        nodes=nodes_of(groups_of(mix), min(2, mix["full"])),
        topology=topology,
        load_tps=load_tps,
        accounts=accounts,
    )


def made(folder: Path, spec: NetworkSpec) -> tuple[NetworkFolder, Description]:
    network = NetworkFolder(folder / spec.name)
    return network, prepare(spec, network, timestamp_ms=NOW_MS)


def min_peers(network: NetworkFolder, spec: NetworkSpec) -> dict[str, int]:
    return {n.name: NodeConfig.load(network.node(n.name).config).min_peers for n in spec.nodes}


def test_every_node_is_told_how_to_fetch_a_state(tmp_path: Path) -> None:
    spec = replace(spec_of(), sync="static", pivot_interval=40)
    network, description = made(tmp_path, spec)
    add_nodes(description, network, "full", 1)
    for name in ("full-1", "full-3", "pico-1"):
        sync = NodeConfig.load(network.node(name).config).sync
        assert (sync.strategy, sync.pivot_interval) == (SyncStrategy.STATIC, 40)

    plain, _ = made(tmp_path / "plain", spec_of())
    sync = NodeConfig.load(plain.node("full-1").config).sync
    assert (sync.strategy, sync.pivot_interval) == (SyncStrategy.DYNAMIC, 10_000)


def test_a_node_may_fetch_its_state_in_a_way_of_its_own(tmp_path: Path) -> None:
    network, description = made(tmp_path, replace(spec_of(), sync="dynamic", pivot_interval=40))
    new = [
        NodeSpec(name=name, profile="full", is_validator=False, sync=name)
        for name in ("static", "dynamic")
    ]
    grown = add_specs(description, network, new)

    assert Description.load(network) == grown
    configs = {node.name: NodeConfig.load(network.node(node.name).config) for node in new}
    assert {name: each.sync.strategy for name, each in configs.items()} == {
        "static": SyncStrategy.STATIC,
        "dynamic": SyncStrategy.DYNAMIC,
    }
    assert {each.sync.pivot_interval for each in configs.values()} == {40}
    _, (added,) = add_nodes(grown, network, "full", 1, sync="static", pivot_interval=7)
    sync = NodeConfig.load(network.node(added.name).config).sync
    assert (sync.strategy, sync.pivot_interval) == (SyncStrategy.STATIC, 7)
    # They dial those that are there, and not each other.
    for name, other in (("static", "dynamic"), ("dynamic", "static")):
        newcomer = NodeKeys.load(network.node(other).keys).peer_id
        assert not any(seed.endswith(newcomer) for seed in configs[name].seeds)


def test_all_files_are_there(tmp_path: Path) -> None:
    network, description = made(tmp_path / "networks", spec_of())

    files = {str(path.relative_to(network.path)) for path in network.path.rglob("*.*")}
    names = [node.name for node in description.spec.nodes]
    assert files == {
        "network.json",
        "genesis.json",
        *(f"nodes/{name}/{file}" for name in names for file in ("config.toml", "keys.json")),
    }
    assert Description.load(network) == description
    # Nothing is left beside it.
    assert [path.name for path in network.path.parent.iterdir()] == ["demo"]


def test_a_seed_gives_all_but_the_ports(tmp_path: Path) -> None:
    first, one = made(tmp_path / "a", spec_of())
    second, two = made(tmp_path / "b", spec_of())
    third, _ = made(tmp_path / "c", spec_of(seed=8))

    assert first.genesis.read_text() == second.genesis.read_text()
    assert first.genesis.read_text() != third.genesis.read_text()
    for node in one.spec.nodes:
        keys = [each.node(node.name).keys.read_text() for each in (first, second, third)]
        assert keys[0] == keys[1] != keys[2]
        peers = [
            [seed.rpartition("/")[2] for seed in NodeConfig.load(each.node(node.name).config).seeds]
            for each in (first, second)
        ]
        assert peers[0] == peers[1]
    assert one.spec == two.spec


def test_keys_are_secret(tmp_path: Path) -> None:
    network, description = made(tmp_path, spec_of())
    for node in description.spec.nodes:
        assert stat.S_IMODE(network.node(node.name).keys.stat().st_mode) == 0o600


def test_every_node_can_run_with_its_settings(tmp_path: Path) -> None:
    network, description = made(tmp_path, spec_of())
    genesis = Genesis.load(network.genesis)
    assert (genesis.timestamp, genesis.name) == (NOW_MS, "demo")
    candidates = [candidate.signing_key for candidate in genesis.candidates]

    for node in description.spec.nodes:
        files, ports = network.node(node.name), description.ports[node.name]
        config = NodeConfig.load(files.config)
        assert config.profile is Profile(node.profile)
        assert (config.data_dir, config.keys, config.genesis.resolve()) == (
            files.data,
            files.keys,
            network.genesis,
        )
        assert config.listen == (f"/ip4/127.0.0.1/tcp/{ports.p2p}",)
        assert config.rpc == f"127.0.0.1:{ports.rpc}"
        assert config.validator is node.is_validator
        keys = NodeKeys.load(files.keys)
        assert (keys.signing.public_key in candidates) is node.is_validator
        checked = CliRunner().invoke(main, ["config", "check", "--config", str(files.config)])
        assert checked.exit_code == 0, checked.output


def test_seeds_are_addresses_of_others(tmp_path: Path) -> None:
    network, description = made(tmp_path, spec_of(topology=Topology.MESH))
    nodes = description.spec.nodes
    address = {
        node.name: f"/ip4/127.0.0.1/tcp/{description.ports[node.name].p2p}"
        f"/p2p/{NodeKeys.load(network.node(node.name).keys).peer_id}"
        for node in nodes
    }
    for position, node in enumerate(nodes):
        seeds = NodeConfig.load(network.node(node.name).config).seeds
        assert seeds == tuple(address[other.name] for other in nodes[:position])


def test_all_ports_differ(tmp_path: Path) -> None:
    _, description = made(tmp_path, spec_of())
    ports = [port for both in description.ports.values() for port in (both.p2p, both.rpc)]
    assert len(set(ports)) == len(ports) == 2 * len(description.spec.nodes)


def test_who_keeps_bodies_counts_only_such_peers(tmp_path: Path) -> None:
    """A full node cannot follow light ones, and never asks for more peers than it can have."""
    star = spec_of({"history": 1, "full": 1, "light": 4}, topology=Topology.STAR)
    network, _ = made(tmp_path / "star", star)
    assert min_peers(network, star) == {
        "history-1": 1,
        "full-1": 1,
        **dict.fromkeys(("light-1", "light-2", "light-3", "light-4"), 1),
    }

    mesh = spec_of({"full": 5, "pico": 2}, topology=Topology.MESH)
    network, _ = made(tmp_path / "mesh", mesh)
    # Each full node has four peers with bodies and can lose two, a pico has five of them and more.
    expected = {f"full-{number}": 2 for number in range(1, 6)} | {"pico-1": 3, "pico-2": 3}
    assert min_peers(network, mesh) == expected


@pytest.mark.parametrize(("count", "needed"), [(2, 1), (3, 1), (4, 2), (5, 2), (6, 3), (9, 3)])
def test_a_third_of_the_peers_may_be_dead(tmp_path: Path, count: int, needed: int) -> None:
    """A network of four validators that cannot lose one would stop for ever when one dies."""
    mesh = spec_of({"full": count}, topology=Topology.MESH)
    network, _ = made(tmp_path / "mesh", mesh)
    assert set(min_peers(network, mesh).values()) == {needed}


def test_a_node_alone_needs_nobody(tmp_path: Path) -> None:
    spec = NetworkSpec(name="solo", seed=1, nodes=nodes_of(groups_of({"full": 1}), None))
    network, _ = made(tmp_path, spec)
    assert min_peers(network, spec) == {"full-1": 0}


def test_a_workload_has_funded_accounts(tmp_path: Path) -> None:
    network, description = made(tmp_path / "load", spec_of(load_tps=1))
    accounts = Genesis.load(network.genesis).accounts
    assert len(accounts) == description.spec.load_accounts
    assert set(accounts.values()) == {BALANCE}
    network, _ = made(tmp_path / "none", spec_of())
    assert Genesis.load(network.genesis).accounts == {}


@pytest.mark.parametrize("load_tps", [0, 5])
def test_many_accounts_are_in_a_file_that_all_nodes_share(tmp_path: Path, load_tps: int) -> None:
    network, description = made(tmp_path, spec_of(accounts=2000, load_tps=load_tps))
    genesis = Genesis.load(network.genesis)
    people = Population(seed=description.spec.seed, senders=64, holders=1936)
    assert genesis.account_records() == people.records()
    assert genesis.accounts_file is not None
    assert genesis.accounts_file.path == network.path / "accounts.bin"


def test_there_are_never_fewer_accounts_than_the_load_needs(tmp_path: Path) -> None:
    network, _ = made(tmp_path, spec_of(accounts=5))
    assert len(Genesis.load(network.genesis).accounts) == 64


def test_the_policy_follows_the_spec() -> None:
    spec = NetworkSpec(
        name="n",
        seed=1,
        nodes=nodes_of(groups_of({"full": 1}), None),
        block_time_ms=250,
        batch_length=5,
    )
    assert policy_of(spec) == Policy(
        batch_length=5,
        batches_per_epoch=4,
        slots=64,
        block_separation_ms=250,
        producer_timeout_ms=1000,
        validity_window_batches=2,
    )


def test_a_network_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    network, _ = made(tmp_path, spec_of())
    before = network.description.read_text()
    with pytest.raises(ConfigError, match="'demo' exists: 'headway net start --name demo'"):
        made(tmp_path, spec_of(seed=8))
    assert network.description.read_text() == before


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Not a directory"):
        made(tmp_path / "file", spec_of())


def test_a_failure_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a network would be in the way of the next try."""

    def refuse(_keys: NodeKeys, _path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(NodeKeys, "save", refuse)
    with pytest.raises(ConfigError, match="No space left on device"):
        made(tmp_path / "networks", spec_of())
    assert list((tmp_path / "networks").iterdir()) == []


def test_added_nodes_are_written_beside_the_others(tmp_path: Path) -> None:
    network, description = made(tmp_path, spec_of())
    before = {path: path.read_bytes() for path in (network.path / "nodes").rglob("*.*")}

    grown, new = add_nodes(description, network, "pico", 2)

    assert [node.name for node in new] == ["pico-2", "pico-3"]
    assert not any(node.is_validator for node in new)
    assert Description.load(network) == grown
    assert grown.spec.nodes == (*description.spec.nodes, *new)
    ports = [port for both in grown.ports.values() for port in (both.p2p, both.rpc)]
    assert len(set(ports)) == len(ports)
    for path, content in before.items():
        assert path.read_bytes() == content
    for node in new:
        config = NodeConfig.load(network.node(node.name).config)
        assert config.profile is Profile.PICO
        assert 1 <= len(config.seeds) <= 4
        # Whoever it is, it finds nodes with bodies among those that it dials.
        able = {NodeKeys.load(network.node(name).keys).peer_id for name in STATE_KEEPERS}
        dialled = [seed.rpartition("/")[2] for seed in config.seeds]
        assert len(able.intersection(dialled)) == 3
        assert config.min_peers >= 1


def test_late_nodes_do_not_count_for_the_others(tmp_path: Path) -> None:
    alone = spec_of({"full": 1})
    late = [NodeGroup(profile="full", count=3, start_at=9)]
    spec = replace(alone, name="late", nodes=nodes_of([*groups_of({"full": 1}), *late], 1))
    network, _ = made(tmp_path, spec)

    assert min_peers(network, spec)["full-1"] == 0
    assert min_peers(network, spec)["full-4"] == 2
