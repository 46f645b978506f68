"""The files of a network."""

import json
from pathlib import Path
from typing import Any

import pytest

from node.errors import ConfigError, UnreachableError
from node.testnet.layout import (
    Description,
    NetworkFolder,
    NodePorts,
    existing_networks,
    networks_folder,
    replace_file,
)
from node.testnet.spec import NetworkSpec, Topology, groups_of, nodes_of

SPEC = NetworkSpec(
    name="demo",
    seed=7,
    nodes=nodes_of(groups_of({"full": 2, "light": 1}), 1),
    block_time_ms=250,
    topology=Topology.STAR,
    load_tps=2.5,
)
DESCRIPTION = Description(
    spec=SPEC,
    ports={
        "full-1": NodePorts(p2p=1, rpc=2),
        "full-2": NodePorts(p2p=3, rpc=4),
        "light-1": NodePorts(p2p=5, rpc=6),
    },
)


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    (tmp_path / "demo").mkdir()
    return NetworkFolder(tmp_path / "demo")


def test_a_description_is_read_as_it_was_written(folder: NetworkFolder) -> None:
    DESCRIPTION.save(folder)
    assert Description.load(folder) == DESCRIPTION
    # Nothing but the file itself is left.
    assert [path.name for path in folder.path.iterdir()] == ["network.json"]


def test_a_network_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="there is no network 'nowhere'"):
        Description.load(NetworkFolder(tmp_path / "nowhere"))


def _without(content: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name != key}


def _damages() -> dict[str, str]:
    whole = {
        "format": 1,
        "spec": {"name": "demo", "seed": 1, "nodes": [], "topology": "ring"},
        "ports": {},
    }
    node = {"name": "full-1", "profile": "full", "is_validator": True}
    spec: dict[str, Any] = {"name": "demo", "seed": 1, "nodes": [node], "topology": "ring"}
    contents: dict[str, Any] = {
        "not an object": [],
        "a number": 5,
        "another format": {**whole, "format": 2},
        "no format": _without(whole, "format"),
        "no spec": _without(whole, "spec"),
        "no nodes": whole,
        "unknown key": {**whole, "spec": {**spec, "color": "red"}},
        "missing key": {**whole, "spec": _without(spec, "seed")},
        "unknown topology": {**whole, "spec": {**spec, "topology": "tree"}},
        "a path as name": {**whole, "spec": {**spec, "name": "../up"}},
        "ports of a list": {**whole, "spec": spec, "ports": []},
        "half a port": {**whole, "spec": spec, "ports": {"full-1": {"p2p": 1}}},
        "text for a node": {**whole, "spec": {**spec, "nodes": ["full-1"]}},
    }
    texts = {name: json.dumps(content) for name, content in contents.items()}
    return {**texts, "half a file": json.dumps(whole)[:40], "empty": "", "no text": "\x00\xff"}


@pytest.mark.parametrize("damage", _damages())
def test_a_damaged_description_names_the_file(damage: str, folder: NetworkFolder) -> None:
    folder.description.write_bytes(_damages()[damage].encode("latin-1"))
    with pytest.raises(ConfigError) as caught:
        Description.load(folder)
    if damage not in {"no nodes", "a path as name"}:
        assert str(folder.description) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_networks_are() -> None:
    assert networks_folder({"HEADWAY_NETWORKS": "/x", "HOME": "/h"}) == Path("/x")
    assert networks_folder({"HOME": "/h"}) == Path("/h/.headway/networks")
    assert networks_folder({"HEADWAY_NETWORKS": "", "HOME": "/h"}) == Path("/h/.headway/networks")
    assert networks_folder({}).parts[-2:] == (".headway", "networks")


def test_the_networks_of_a_folder(tmp_path: Path) -> None:
    assert existing_networks(tmp_path / "none") == []
    for name in ("b", "a", "no-network", ".unfinished"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").write_text("")
    for name in ("b", "a", ".unfinished"):
        DESCRIPTION.save(NetworkFolder(tmp_path / name))
    assert [network.path.name for network in existing_networks(tmp_path)] == ["a", "b"]


def test_where_the_files_of_a_node_are() -> None:
    network = NetworkFolder(Path("/n/demo"))
    node = network.node("full-1")
    assert [str(path) for path in (network.genesis, network.load)] == [
        "/n/demo/genesis.json",
        "/n/demo/load",
    ]
    assert [str(path) for path in (node.config, node.keys, node.log, node.data)] == [
        "/n/demo/nodes/full-1/config.toml",
        "/n/demo/nodes/full-1/keys.json",
        "/n/demo/nodes/full-1/node.log",
        "/n/demo/nodes/full-1/data",
    ]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    before = path.open()
    replace_file(path, "new")
    # Whoever had it open still reads the old one to its end.
    assert (before.read(), path.read_text()) == ("old", "new")
    before.close()
