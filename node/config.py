"""Everything that a node is told before it starts.

`SETTINGS` is the one table: files, variables, flags, `config show` and the documentation in
`configs/` all follow from it.
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from node.errors import ConfigError
from node.policy import Policy
from node.profiles import Profile
from node.settings import Effective, Kind, Layer, Origin, Setting, Value, place_of, resolve
from node.sync.live.config import QueueConfig
from node.sync.macro.target import MAX_HEIGHT, Target
from node.sync.state.pivot_policy import DEFAULT_INTERVAL
from node.sync.state.strategy import DEFAULT_STRATEGY, SyncStrategy
from protocols.types import Hash32

FILE_VARIABLE: Final = "HEADWAY_CONFIG"
"""Names the settings file, where no flag does."""

_LISTEN: Final = re.compile(r"/(ip4|ip6)/([^/]+)/tcp/(\d{1,5})")
_SEED: Final = re.compile(
    r"/(ip4|ip6|dns|dns4|dns6)/([^/]+)/tcp/(\d{1,5})/p2p/[1-9A-HJ-NP-Za-km-z]+"
)
_PINNED: Final = re.compile(r"(\d{1,10}):([0-9a-fA-F]{64})")
_RPC: Final = re.compile(r"(localhost|127(?:\.\d{1,3}){3}|\[::1\]):(\d{1,5})")


def _check_listen(text: str) -> str | None:
    found = _LISTEN.fullmatch(text)
    if found is None or not _is_address(found[1], found[2]) or int(found[3]) > 65_535:
        return f"{text!r} is not like /ip4/127.0.0.1/tcp/0"
    return None


def _check_seed(text: str) -> str | None:
    found = _SEED.fullmatch(text)
    if found is None or not _is_address(found[1], found[2]) or not 1 <= int(found[3]) <= 65_535:
        return f"{text!r} is not like /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW..."
    return None


def _check_rpc(text: str) -> str | None:
    found = _RPC.fullmatch(text)
    if found is None or int(found[2]) > 65_535:
        return f"{text!r} is not host:port on loopback, like 127.0.0.1:0"
    return None


def _check_pinned(text: str) -> str | None:
    found = _PINNED.fullmatch(text)
    if found is None or not 0 < int(found[1]) <= MAX_HEIGHT:
        return f"{text!r} is not a block number and 64 hex digits, like 86400:5af0..."
    return None


def _is_address(kind: str, text: str) -> bool:
    if kind not in {"ip4", "ip6"}:
        return True
    try:
        return ipaddress.ip_address(text).version == int(kind[-1])
    except ValueError:
        return False


def _sync_bound(name: str, help_: str, maximum: int) -> Setting:
    return Setting(key=f"sync.{name}", kind=Kind.INTEGER, help=help_, minimum=1, maximum=maximum)


SETTINGS: Final = (
    Setting(
        key="profile",
        kind=Kind.TEXT,
        default=Profile.FULL.value,
        choices=tuple(profile.value for profile in Profile),
        help="What the node stores, asks for and serves.",
    ),
    Setting(
        key="genesis",
        kind=Kind.PATH,
        default="genesis.json",
        help="Genesis file: which network this is.",
    ),
    Setting(
        key="data_dir",
        kind=Kind.PATH,
        default="data",
        help="Folder of the chain, of process.json and of the admin token.",
    ),
    Setting(
        key="keys",
        kind=Kind.PATH,
        default="keys.json",
        help="Key file: peer identity and validator keys.",
    ),
    Setting(
        key="validator",
        kind=Kind.BOOLEAN,
        default=False,
        help="Produce and vote with the keys. Only profiles that keep state can.",
    ),
    Setting(
        key="exit_when_synced",
        kind=Kind.BOOLEAN,
        default=False,
        help="Stop with exit code 0 once the node agrees on the head with its peers.",
    ),
    Setting(
        key="exit_when_synced_timeout",
        kind=Kind.NUMBER,
        default=0.0,
        minimum=0,
        maximum=1_000_000.0,
        help="Then stop with exit code 7 if that takes more seconds than these; 0 is no limit.",
    ),
    Setting(
        key="listen",
        kind=Kind.LIST,
        default=("/ip4/127.0.0.1/tcp/0",),
        check=_check_listen,
        help="Multiaddrs to listen on for peers; port 0 is any free one.",
    ),
    Setting(
        key="seeds",
        kind=Kind.LIST,
        default=(),
        check=_check_seed,
        help="Multiaddrs of peers to dial, each with its peer id.",
    ),
    Setting(
        key="min_peers",
        kind=Kind.INTEGER,
        default=3,
        minimum=0,
        maximum=100,
        help="Peers that must agree before the node calls itself in consensus.",
    ),
    Setting(
        key="max_peers",
        kind=Kind.INTEGER,
        default=100,
        minimum=1,
        maximum=10_000,
        help="Most connections at a time.",
    ),
    Setting(
        key="rpc",
        kind=Kind.TEXT,
        default="127.0.0.1:0",
        check=_check_rpc,
        help="host:port of the JSON-RPC listener, loopback only; port 0 is any free one.",
    ),
    Setting(
        key="log.level",
        kind=Kind.TEXT,
        default="info",
        choices=("debug", "info", "warning", "error"),
        help="Least severe events that are logged.",
    ),
    Setting(
        key="log.format",
        kind=Kind.TEXT,
        default="text",
        choices=("text", "json"),
        help="Log lines for people, or one JSON object for each.",
    ),
    Setting(
        key="log.status_s",
        kind=Kind.NUMBER,
        default=10.0,
        minimum=0.1,
        maximum=3600,
        help="Seconds between two status lines.",
    ),
    _sync_bound("buffer_max", "Blocks that wait for their parents.", 1_000_000),
    _sync_bound("window_ahead_max", "A block further above the head is not buffered.", 1_000_000),
    _sync_bound("tolerate_past_max", "A sender further below the head is behind.", 1_000_000),
    _sync_bound("requests_in_flight", "Open requests for missing blocks.", 64),
    Setting(
        key="sync.request_timeout_s",
        kind=Kind.NUMBER,
        minimum=0.1,
        maximum=600,
        help="Seconds until another peer is asked.",
    ),
    Setting(
        key="sync.strategy",
        kind=Kind.TEXT,
        default=DEFAULT_STRATEGY.value,
        choices=tuple(strategy.value for strategy in SyncStrategy),
        help="While the state is fetched, dynamic follows the chain, static waits.",
    ),
    Setting(
        key="sync.pivot_interval",
        kind=Kind.INTEGER,
        default=DEFAULT_INTERVAL,
        minimum=1,
        maximum=10_000_000,
        help="Blocks between two targets of a state sync; never more than half of what peers keep.",
    ),
    Setting(
        key="sync.pinned_election",
        kind=Kind.TEXT,
        check=_check_pinned,
        help="NUMBER:HASH of an election block that is known to be true. A Pico starts from it and"
        " trusts no peer; whoever claims another block there is banned.",
    ),
)
"""All settings, in the order in which they are shown."""

SETTINGS_BY_KEY: Final[Mapping[str, Setting]] = MappingProxyType(
    {setting.key: setting for setting in SETTINGS}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    """What is logged, and how."""

    level: str
    format: str
    status_s: float
    """Seconds between two status lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncConfig:
    """Bounds of block live sync, where macro sync starts, and how the state is fetched.

    A bound of None follows the network's batch length and block time.
    """

    buffer_max: int | None = None
    window_ahead_max: int | None = None
    tolerate_past_max: int | None = None
    requests_in_flight: int | None = None
    request_timeout_s: float | None = None
    strategy: SyncStrategy = DEFAULT_STRATEGY
    pivot_interval: int = DEFAULT_INTERVAL
    pinned_election: str | None = None
    """`NUMBER:HASH`."""

    def pinned(self, policy: Policy) -> Target | None:
        """Return the election block that the operator vouches for, if there is one.

        Raises:
            ConfigError: There is no election block at its height.
        """
        if self.pinned_election is None:
            return None
        number, _, digits = self.pinned_election.partition(":")
        if not policy.is_election(int(number)):
            raise ConfigError(
                f"sync.pinned_election: no election block at height {number}: this network has one"
                f" every {policy.epoch_length} blocks"
            )
        return Target(int(number), Hash32(bytes.fromhex(digits)))

    def queue_config(self, policy: Policy, *, include_body: bool) -> QueueConfig:
        """Return the bounds for a network: its own defaults, and what was set above them.

        Raises:
            ConfigError: With these bounds peers could not be followed.
        """
        ahead = self.window_ahead_max
        if ahead is not None and ahead < policy.batch_length:
            # Macro sync ends at a macro block; what is above it has to be inside the window.
            raise ConfigError(
                f"sync.window_ahead_max must be at least {policy.batch_length}, the length of this"
                f" network's batches: {ahead}"
            )
        names = {each.name for each in fields(self)} & set(QueueConfig.__slots__)
        chosen: dict[str, Any] = {name: getattr(self, name) for name in names}
        return replace(
            QueueConfig.for_policy(policy, include_body=include_body),
            **{name: value for name, value in chosen.items() if value is not None},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """The settings of one node. All paths are absolute."""

    profile: Profile
    genesis: Path
    data_dir: Path
    keys: Path
    validator: bool
    exit_when_synced: bool
    exit_when_synced_timeout: float
    """Seconds; 0 is no limit."""
    listen: tuple[str, ...]
    seeds: tuple[str, ...]
    min_peers: int
    max_peers: int
    rpc: str
    log: LogConfig
    sync: SyncConfig

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a settings file alone: neither flags nor environment count.

        Raises:
            ConfigError: File, key and reason, in one line.
        """
        return cls.of(load_settings(file, flags={}, environment={}))

    @classmethod
    def of(cls, settings: Mapping[str, Effective]) -> Self:
        """Build from resolved settings.

        Raises:
            ConfigError: Settings that do not go together: where, key and reason, in one line.
        """
        _check_together(settings)
        values: dict[str, Any] = {key: effective.value for key, effective in settings.items()}
        return cls(
            profile=Profile(values["profile"]),
            genesis=Path(values["genesis"]),
            data_dir=Path(values["data_dir"]),
            keys=Path(values["keys"]),
            validator=values["validator"],
            exit_when_synced=values["exit_when_synced"],
            exit_when_synced_timeout=values["exit_when_synced_timeout"],
            listen=values["listen"],
            seeds=values["seeds"],
            min_peers=values["min_peers"],
            max_peers=values["max_peers"],
            rpc=values["rpc"],
            log=LogConfig(**_table(values, "log")),
            sync=_sync_config(values),
        )


def load_settings(
    file: Path | None, *, flags: Mapping[str, Value], environment: Mapping[str, str]
) -> dict[str, Effective]:
    """Return the value of each setting and where it came from, by key.

    Args:
        file: Settings file; None for the file that the environment names, or the one in the
            home folder if there is one.
        flags: Values from the command line by key, without those not given.
        environment: All variables.

    Raises:
        ConfigError: File, key and reason, in one line.
    """
    home = default_file(environment)
    if file is None and (home.exists() or FILE_VARIABLE in environment):
        file = home
    settings = resolve(
        SETTINGS,
        flags=flags,
        environment=environment,
        file=file,
        base=(file or home).parent,
    )
    return _with_profile(settings)


def default_file(environment: Mapping[str, str]) -> Path:
    """Return the settings file where none is named: `~/.headway/node/config.toml`."""
    if named := environment.get(FILE_VARIABLE):
        return Path(named).expanduser()
    return Path(environment.get("HOME") or Path.home()) / ".headway" / "node" / "config.toml"


def profile_values(profile: Profile) -> dict[str, Value]:
    """Return what a profile sets, by key: stronger than a default, weaker than all else."""
    return {"max_peers": profile.traits.max_peers}


def _with_profile(settings: dict[str, Effective]) -> dict[str, Effective]:
    """Put the profile's own values in the place of defaults."""
    profile = Profile(str(settings["profile"].value))
    origin = Origin(Layer.PROFILE, profile.value)
    for key, value in profile_values(profile).items():
        if settings[key].origin.layer is Layer.DEFAULT:
            settings[key] = Effective(value, origin)
    return settings


def _check_together(settings: Mapping[str, Effective]) -> None:
    profile = Profile(str(settings["profile"].value))
    if settings["validator"].value and not profile.traits.may_validate:
        _refuse(settings, "validator", f"profile {profile} keeps no state to validate with")
    if not settings["listen"].value:
        _refuse(settings, "listen", "no address")
    low, high = settings["min_peers"].value, settings["max_peers"].value
    if int(str(low)) > int(str(high)):
        # Blame what the operator wrote, not a default.
        key = "min_peers" if settings["max_peers"].origin.layer is Layer.PROFILE else "max_peers"
        _refuse(settings, key, f"min_peers {low} is above max_peers {high}")


def _refuse(settings: Mapping[str, Effective], key: str, reason: str) -> None:
    place = place_of(SETTINGS_BY_KEY[key], settings[key].origin)
    raise ConfigError(f"{place}: {reason}")


def _sync_config(values: Mapping[str, Any]) -> SyncConfig:
    table = _table(values, "sync")
    return SyncConfig(**{**table, "strategy": SyncStrategy(table["strategy"])})


def _table(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    prefix = f"{name}."
    return {
        key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)
    }
