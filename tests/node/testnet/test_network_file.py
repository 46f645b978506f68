"""Networks described in TOML."""

from pathlib import Path

import pytest

from node.errors import ConfigError
from node.testnet.network_file import read_network_file
from node.testnet.spec import NodeGroup


def read(folder: Path, text: str) -> dict[str, object]:
    path = folder / "network.toml"
    path.write_text(text)
    return read_network_file(path)


def test_what_is_left_out_is_missing(tmp_path: Path) -> None:
    assert read(tmp_path, "") == {}


def test_all_keys(tmp_path: Path) -> None:
    text = """
name = "demo"
seed = 7
block_time = "500ms"
batch_length = 10
batches_per_epoch = 2
topology = "ring"
validators = 3
sync = "static"
pivot_interval = 40
accounts = 200000
load = "50tps"
[[nodes]]
profile = "full"
count = 3
[[nodes]]
profile = "full"
[[nodes]]
profile = "full"
count = 2
start_at = 200
sync = "static"
pivot_interval = 40
"""
    assert read(tmp_path, text) == {
        "name": "demo",
        "seed": 7,
        "block_time_s": 0.5,
        "batch_length": 10,
        "batches_per_epoch": 2,
        "topology": "ring",
        "validators": 3,
        "sync": "static",
        "pivot_interval": 40,
        "accounts": 200_000,
        "load_tps": 50.0,
        "early": (NodeGroup(profile="full", count=3), NodeGroup(profile="full", count=1)),
        "late": (
            NodeGroup(profile="full", count=2, start_at=200, sync="static", pivot_interval=40),
        ),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("name = ", "Invalid value"),
        ("sed = 7", "sed: unknown: one of name, seed"),
        ("seed = true", "seed: True is no whole number"),
        ("seed = -1", "seed: -1 is not in 0.."),
        ("block_time = 1", 'block_time: 1 is no text, as block_time = "250ms"'),
        ('block_time = "soon"', "block_time: 'soon' is not a duration"),
        ('topology = "tree"', "topology: 'tree' is none of random, mesh, ring, star"),
        ('load = "much"', "load: 'much' is not a load"),
        ("accounts = 10000001", "accounts: 10000001 is not in 0..10000000"),
        ("nodes = 3", "nodes: groups of nodes are written as"),
        ("[[nodes]]", "nodes 1: profile: missing"),
        ('[[nodes]]\nprofile = "archive"', "nodes 1: profile: 'archive' is none of"),
        ('[[nodes]]\nprofile = "full"\ncount = 0', "nodes 1: count: 0 is not in 1..500"),
        ('[[nodes]]\nprofile = "full"\nstart = 4', "nodes 1: start: unknown: one of profile"),
    ],
)
def test_what_makes_no_sense_names_file_key_and_reason(
    tmp_path: Path, text: str, reason: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert str(caught.value).startswith(f"{tmp_path / 'network.toml'}: ")
    assert reason in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_network_file(tmp_path / "network.toml")
