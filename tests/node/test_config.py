"""The settings of a node."""

from dataclasses import fields
from pathlib import Path

import pytest

from node.config import SETTINGS, NodeConfig, SyncConfig, default_file, load_settings
from node.config_file import settings_text
from node.errors import ConfigError
from node.policy import Policy
from node.profiles import PROFILES, Profile
from node.settings import Layer, Origin
from node.sync.live.config import QueueConfig
from node.sync.macro.target import Target
from protocols.types import Hash32, Service

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
PEER = "12D3KooWGMer7nbmFzCNSwvMZ6SgNjwhRuBmkoHZGtxKopoBkJvs"


def _load(folder: Path, content: str) -> NodeConfig:
    file = folder / "config.toml"
    file.write_text(content, encoding="utf-8")
    return NodeConfig.load(file)


def test_defaults_lie_beside_the_file(tmp_path: Path) -> None:
    config = _load(tmp_path, "")
    assert config.profile is Profile.FULL
    assert config.data_dir == tmp_path / "data"
    assert config.keys == tmp_path / "keys.json"
    assert config.genesis == tmp_path / "genesis.json"
    assert config.listen == ("/ip4/127.0.0.1/tcp/0",)
    assert config.sync == SyncConfig()


def test_a_profile_is_weaker_than_a_setting(tmp_path: Path) -> None:
    assert _load(tmp_path, "profile = 'pico'").max_peers == 25
    assert _load(tmp_path, "profile = 'pico'\nmax_peers = 100").max_peers == 100
    settings = load_settings(tmp_path / "config.toml", flags={"profile": "light"}, environment={})
    assert settings["max_peers"].origin == Origin(Layer.FILE, str(tmp_path / "config.toml"))
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    settings = load_settings(tmp_path / "config.toml", flags={"profile": "light"}, environment={})
    assert settings["max_peers"].origin == Origin(Layer.PROFILE, "light")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("listen = ['127.0.0.1:1']", "listen: '127.0.0.1:1' is not like /ip4/127.0.0.1/tcp/0"),
        ("listen = ['/ip4/1.2.3/tcp/0']", "listen: '/ip4/1.2.3/tcp/0' is not like"),
        ("listen = ['/ip6/1.2.3.4/tcp/0']", "listen: '/ip6/1.2.3.4/tcp/0' is not like"),
        ("listen = ['/ip4/1.2.3.4/tcp/65536']", "listen: '/ip4/1.2.3.4/tcp/65536' is not like"),
        ("listen = []", "listen: no address"),
        ("seeds = ['/ip4/1.2.3.4/tcp/1']", "seeds: '/ip4/1.2.3.4/tcp/1' is not like"),
        (f"seeds = ['/ip4/1.2.3.4/tcp/0/p2p/{PEER}']", "seeds: "),
        ("rpc = '0.0.0.0:1'", "rpc: '0.0.0.0:1' is not host:port on loopback"),
        ("rpc = '127.0.0.1'", "rpc: '127.0.0.1' is not host:port on loopback"),
        ("rpc = '127.0.0.1:65536'", "rpc: '127.0.0.1:65536' is not host:port on loopback"),
        (
            "profile = 'light'\nvalidator = true",
            "validator: profile light keeps no state to validate with",
        ),
        ("min_peers = 4\nmax_peers = 3", "max_peers: min_peers 4 is above max_peers 3"),
        (
            "profile = 'pico'\nmin_peers = 30",
            "min_peers: min_peers 30 is above max_peers 25",
        ),
    ],
)
def test_what_cannot_work_is_one_line(content: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        _load(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'config.toml'}: {reason}")
    assert "\n" not in str(caught.value)


def test_addresses_that_work(tmp_path: Path) -> None:
    seeds = [f"/ip4/1.2.3.4/tcp/1/p2p/{PEER}", f"/dns/example.org/tcp/4001/p2p/{PEER}"]
    listen = ["/ip6/::1/tcp/0", "/ip4/0.0.0.0/tcp/65535"]
    config = _load(tmp_path, f"seeds = {seeds}\nlisten = {listen}\nrpc = '[::1]:0'")
    assert (list(config.seeds), list(config.listen), config.rpc) == (seeds, listen, "[::1]:0")


def test_where_the_file_is(tmp_path: Path) -> None:
    home = tmp_path / ".headway" / "node" / "config.toml"
    environment = {"HOME": str(tmp_path)}
    assert default_file(environment) == home
    assert load_settings(None, flags={}, environment=environment)["data_dir"].value == str(
        home.parent / "data"
    )
    home.parent.mkdir(parents=True)
    home.write_text("min_peers = 7", encoding="utf-8")
    assert load_settings(None, flags={}, environment=environment)["min_peers"].value == 7
    named = environment | {"HEADWAY_CONFIG": str(tmp_path / "none.toml")}
    with pytest.raises(ConfigError, match=r"none\.toml: No such file"):
        load_settings(None, flags={}, environment=named)


def test_sync_bounds_follow_the_network_unless_set(tmp_path: Path) -> None:
    policy = Policy(batch_length=1000)
    of_network = QueueConfig.for_policy(policy, include_body=True)
    config = _load(tmp_path, "[sync]\nbuffer_max = 7\nrequest_timeout_s = 0.5")
    bounds = config.sync.queue_config(policy, include_body=True)
    assert (bounds.buffer_max, bounds.request_timeout_s) == (7, 0.5)
    assert bounds.window_ahead_max == of_network.window_ahead_max
    assert SyncConfig().queue_config(policy, include_body=True) == of_network


def test_the_window_ahead_holds_a_batch(tmp_path: Path) -> None:
    policy = Policy(batch_length=1000)
    least = _load(tmp_path, "[sync]\nwindow_ahead_max = 1000")
    assert least.sync.queue_config(policy, include_body=True).window_ahead_max == 1000
    less = _load(tmp_path, "[sync]\nwindow_ahead_max = 999")
    with pytest.raises(ConfigError, match=r"window_ahead_max must be at least 1000, .*: 999$"):
        less.sync.queue_config(policy, include_body=True)


def test_each_sync_setting_is_a_bound() -> None:
    bounds = {each.name for each in fields(QueueConfig)}
    settings = {each.key.removeprefix("sync.") for each in SETTINGS if each.key[:5] == "sync."}
    assert settings == {each.name for each in fields(SyncConfig)}
    assert settings - bounds == {"pinned_election", "strategy", "pivot_interval"}


def test_pinned_election_block(tmp_path: Path) -> None:
    policy, digits = Policy(batch_length=4, batches_per_epoch=3), "ab" * 32
    config = _load(tmp_path, f"[sync]\npinned_election = '24:{digits}'")

    assert config.sync.pinned(policy) == Target(24, Hash32(bytes.fromhex(digits)))
    assert SyncConfig().pinned(policy) is None
    with pytest.raises(ConfigError, match=r"no election block at height 20: .* every 12 blocks"):
        SyncConfig(pinned_election=f"20:{digits}").pinned(policy)


@pytest.mark.parametrize(
    "text", ["24", "24:12", f"0:{'ab' * 32}", f"-1:{'ab' * 32}", f"24:{'xy' * 32}"]
)
def test_pinned_election_block_that_is_none(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"pinned_election: .* is not a block number and 64 hex"):
        _load(tmp_path, f"[sync]\npinned_election = '{text}'")


@pytest.mark.parametrize("profile", list(Profile), ids=str)
def test_the_examples_are_what_the_table_says(profile: Profile) -> None:
    text = (CONFIGS / f"{profile}.toml").read_text(encoding="utf-8")
    title = f"Example settings of a {profile} node."
    assert text == settings_text(title, {"profile": profile.value})


@pytest.mark.parametrize("profile", list(Profile), ids=str)
def test_a_commented_value_is_the_one_that_counts(profile: Profile, tmp_path: Path) -> None:
    example = (CONFIGS / f"{profile}.toml").read_text(encoding="utf-8")
    lines = [line.removeprefix("#") if line[1:2] != " " else line for line in example.splitlines()]
    everything = _load(tmp_path, "\n".join(lines))
    as_it_is = _load(tmp_path, example)
    assert everything.sync != as_it_is.sync
    for each in fields(NodeConfig):
        if each.name != "sync":
            assert getattr(everything, each.name) == getattr(as_it_is, each.name)


def test_profiles_offer_what_they_keep() -> None:
    for traits in PROFILES.values():
        assert traits.include_body == traits.keeps_bodies == (Service.BODIES in traits.services)
        assert Service.HEADERS in traits.services
        assert traits.keeps_state == (Service.STATE in traits.services)
        assert traits.may_validate == traits.runs_mempool == traits.keeps_state
    assert [Service.HISTORY in each.traits.services for each in Profile] == [
        True,
        False,
        False,
        False,
    ]
