"""Commands that need no node: init, config, keys."""

import json
import stat
from pathlib import Path

import pytest

from node.profiles import Profile
from tests.cli.running import invoke

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "node"
    assert invoke("init", folder, "--new-network", "solo").exit_code == 0
    return folder


def test_init_makes_a_folder_that_passes_the_check(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.toml",
        "genesis.json",
        "keys.json",
    ]
    assert stat.S_IMODE((folder / "keys.json").stat().st_mode) == 0o600
    assert invoke("config", "check", "--config", folder / "config.toml").stdout == "ok\n"


def test_init_replaces_nothing(folder: Path) -> None:
    before = (folder / "keys.json").read_bytes()
    again = invoke("init", folder, "--new-network", "solo")
    assert again.exit_code == 3
    assert again.stderr == (
        f"headway: {folder / 'config.toml'}: exists, and init replaces nothing\n"
    )
    (folder / "config.toml").unlink()
    assert invoke("init", folder, "--new-network", "solo").exit_code == 3
    assert (folder / "keys.json").read_bytes() == before


def test_init_joins_a_network(folder: Path, tmp_path: Path) -> None:
    joining = tmp_path / "other"
    seed = "/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWGMer7nbmFzCNSwvMZ6SgNjwhRuBmkoHZGtxKopoBkJvs"
    arguments = ("--genesis", folder / "genesis.json", "--profile", "light", "--seed", seed)
    assert invoke("init", joining, *arguments).exit_code == 0
    shown = invoke("config", "show", "-o", "json", "--config", joining / "config.toml")
    values = {row["key"]: row["value"] for row in json.loads(shown.stdout)}
    assert (values["profile"], values["seeds"]) == ("light", [seed])
    assert (joining / "genesis.json").read_bytes() == (folder / "genesis.json").read_bytes()
    assert invoke("config", "check", "--config", joining / "config.toml").exit_code == 0


def test_init_in_the_home_folder(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    assert invoke("init", "--new-network", "solo", environment=home).exit_code == 0
    assert invoke("config", "check", environment=home).stdout == "ok\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--new-network", "a", "--genesis", "b"],
        ["--new-network", "a", "--profile", "pico"],
        ["--new-network", "a", "--profile", "huge"],
    ],
    ids=" ".join,
)
def test_init_without_a_way(arguments: list[str], tmp_path: Path) -> None:
    assert invoke("init", tmp_path / "node", *arguments).exit_code == 2
    assert not (tmp_path / "node").exists()


def test_init_with_a_genesis_that_is_none(tmp_path: Path) -> None:
    genesis = tmp_path / "genesis.json"
    refused = invoke("init", tmp_path / "node", "--genesis", genesis)
    assert refused.exit_code == 3
    assert refused.stderr == f"headway: {genesis}: No such file or directory\n"
    assert not (tmp_path / "node").exists()


@pytest.mark.parametrize("profile", list(Profile), ids=str)
def test_the_examples_pass_the_check(profile: Profile, folder: Path) -> None:
    (folder / "config.toml").write_bytes((CONFIGS / f"{profile}.toml").read_bytes())
    checked = invoke("config", "check", "--config", folder / "config.toml")
    assert (checked.exit_code, checked.stdout) == (0, "ok\n")


def test_show_says_where_a_value_came_from(folder: Path) -> None:
    file = folder / "config.toml"
    shown = invoke(
        "config",
        "show",
        "-o",
        "ndjson",
        "--config",
        file,
        "--rpc",
        "127.0.0.1:5",
        environment={"HEADWAY_LOG_LEVEL": "debug", "HEADWAY_RPC": "127.0.0.1:6"},
    )
    rows = {row["key"]: row for row in map(json.loads, shown.stdout.splitlines())}
    assert rows["rpc"] == {"key": "rpc", "value": "127.0.0.1:5", "origin": "flag --rpc"}
    assert rows["log.level"]["origin"] == "env HEADWAY_LOG_LEVEL"
    assert rows["profile"]["origin"] == f"file {file}"
    assert rows["max_peers"]["origin"] == "profile full"
    assert rows["listen"]["origin"] == "default"
    assert "KEY" in invoke("config", "show", "--config", file).stdout


@pytest.mark.parametrize(
    ("file", "change", "reason"),
    [
        ("config.toml", "frob = 1", "config.toml: frob: unknown setting"),
        ("config.toml", "min_peers = 'x'", "config.toml: min_peers: not an integer in 0..100"),
        ("config.toml", "min_peers = ", "config.toml: not TOML"),
        ("genesis.json", "{}", "genesis.json: format: missing"),
        ("keys.json", "{", "keys.json: not JSON"),
    ],
)
def test_what_is_wrong_is_one_line_and_3(file: str, change: str, reason: str, folder: Path) -> None:
    (folder / file).write_text(change, encoding="utf-8")
    checked = invoke("config", "check", "--config", folder / "config.toml")
    assert checked.exit_code == 3
    assert checked.stderr.count("\n") == 1
    assert f"{folder}/{reason}" in checked.stderr


def test_a_validator_that_nobody_can_elect(folder: Path) -> None:
    (folder / "keys.json").unlink()
    assert invoke("keys", "new", folder / "keys.json").exit_code == 0
    checked = invoke("config", "check", "--config", folder / "config.toml")
    assert checked.exit_code == 3
    assert "keys.json: signing: validator is on" in checked.stderr


def test_keys_are_shown_without_their_secrets(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    made = invoke("keys", "new", file, "-o", "json")
    shown = invoke("keys", "show-id", file, "-o", "json")
    assert json.loads(made.stdout) == json.loads(shown.stdout)
    assert json.loads(shown.stdout)["peer_id"].startswith("12D3KooW")
    secrets = json.loads(file.read_text(encoding="utf-8"))
    assert secrets["peer"] not in made.stdout
    assert secrets["signing"] not in made.stdout
    assert secrets["voting"] not in made.stdout
    again = invoke("keys", "new", file)
    assert (again.exit_code, again.stderr) == (3, f"headway: {file}: File exists\n")


def test_keys_of_the_settings(folder: Path) -> None:
    shown = invoke("keys", "show-id", "--config", folder / "config.toml")
    assert shown.stdout == invoke("keys", "show-id", folder / "keys.json").stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    assert "_HEADWAY_COMPLETE" in invoke("completion", shell).stdout
