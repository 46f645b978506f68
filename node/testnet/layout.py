"""Where the files of a local network lie.

    <networks folder>/<network>/
        network.json        what it is made of, and the ports its nodes keep
        genesis.json        with accounts.bin, if it has many accounts
        load/               log and process.json of the transaction workload, if there is one
        late/               the same of what starts late nodes
        nodes/<node>/
            config.toml  keys.json  node.log  process.json
            data/           the node's data folder

Files are the interface: whoever reads them needs nothing else, and a network survives the shell
that started it.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from node.errors import ConfigError, UnreachableError
from node.testnet.spec import NetworkSpec, NodeSpec, Topology

DEFAULT_NAME: Final = "testnet"
"""Of a network that is given none."""

FORMAT: Final = 1
"""Version of network.json. Another one is refused, not guessed at."""


def networks_folder(environment: Mapping[str, str]) -> Path:
    """Return where networks are kept: `HEADWAY_NETWORKS`, or `.headway/networks` at home."""
    chosen = environment.get("HEADWAY_NETWORKS")
    if chosen:
        return Path(chosen)
    return Path(environment.get("HOME") or Path.home()) / ".headway" / "networks"


@dataclass(frozen=True, slots=True)
class NodeFolder:
    """The files of one node."""

    path: Path

    @property
    def config(self) -> Path:
        """Settings, as `headway run --config` takes them."""
        return self.path / "config.toml"

    @property
    def keys(self) -> Path:
        """Peer identity and validator keys, readable by the owner only."""
        return self.path / "keys.json"

    @property
    def log(self) -> Path:
        """What the node writes to standard error."""
        return self.path / "node.log"

    @property
    def data(self) -> Path:
        """The node's data folder, with its process.json while it runs."""
        return self.path / "data"


@dataclass(frozen=True, slots=True)
class NetworkFolder:
    """The files of one network."""

    path: Path

    @property
    def description(self) -> Path:
        """What the network is made of."""
        return self.path / "network.json"

    @property
    def genesis(self) -> Path:
        """The genesis that all nodes share."""
        return self.path / "genesis.json"

    @property
    def load(self) -> Path:
        """Folder of the transaction workload."""
        return self.path / "load"

    @property
    def late(self) -> Path:
        """Folder of the process that starts late nodes."""
        return self.path / "late"

    def node(self, name: str) -> NodeFolder:
        """Return the files of one node."""
        return NodeFolder(self.path / "nodes" / name)

    def node_names(self) -> list[str]:
        """Return the names of all nodes that have files, whatever the description says."""
        return sorted(each.parent.name for each in self.path.glob("nodes/*/config.toml"))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePorts:
    """The TCP ports of one node on 127.0.0.1, kept across restarts."""

    p2p: int
    rpc: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """The content of network.json."""

    spec: NetworkSpec
    ports: Mapping[str, NodePorts]
    """By node name."""

    def save(self, folder: NetworkFolder) -> None:
        """Write the file whole or not at all."""
        ports = {name: asdict(both) for name, both in self.ports.items()}
        content = {"format": FORMAT, "spec": asdict(self.spec), "ports": ports}
        replace_file(folder.description, json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, folder: NetworkFolder) -> Self:
        """Read the file.

        Raises:
            ConfigError: The file is not what `save` writes.
            UnreachableError: No such network.
        """
        path = folder.description
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UnreachableError(f"there is no network {folder.path.name!r}") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"{path}: {error}") from error
        try:
            if content["format"] != FORMAT:
                raise ConfigError(f"{path}: format {content['format']} instead of {FORMAT}")
            ports = {name: NodePorts(**both) for name, both in content["ports"].items()}
            return cls(spec=_spec(content["spec"]), ports=ports)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            reason = (
                f"no network of this version, which 'headway net down --purge' removes: {error}"
            )
            raise ConfigError(f"{path}: {reason}") from error


def _spec(content: dict[str, Any]) -> NetworkSpec:
    nodes = tuple(NodeSpec(**node) for node in content["nodes"])
    return NetworkSpec(**{**content, "nodes": nodes, "topology": Topology(content["topology"])})


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old content or the new, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def existing_networks(folder: Path) -> list[NetworkFolder]:
    """Return the networks under a folder, by name."""
    if not folder.is_dir():
        return []
    # One that is being written has a hidden name.
    paths = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
    found = (NetworkFolder(path) for path in paths)
    return [network for network in found if network.description.is_file()]
