"""Which running node a command talks to."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, TypeVar

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import config_option
from node.config import NodeConfig, load_settings
from node.errors import NodeError, UnreachableError
from node.process import ProcessRecord
from node.rpc.client import RpcClient
from node.testnet.layout import (
    DEFAULT_NAME,
    Description,
    NetworkFolder,
    NodeFolder,
    existing_networks,
    networks_folder,
)
from node.testnet.selector import select

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

TOKEN_FILE = "rpc-token"  # noqa: S105 - the name of the file, not its content.


_HOST_PORT = re.compile(r"[^/:\s]+:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the options say about the node."""

    rpc: str | None
    """host:port; then no data folder is looked at."""
    data_dir: Path | None
    node: str | None
    """`NODE` or `NETWORK/NODE` of a local network."""
    config_file: Path | None

    def folder(self) -> Path:
        """Return the data folder of the node.

        Raises:
            ConfigError: The settings that would say so cannot be read.
            UnreachableError: No such network or node.
        """
        if self.data_dir is not None:
            return self.data_dir
        if self.node is not None:
            return _node_in_network(self.node).data
        settings = load_settings(self.config_file, flags={}, environment=os.environ)
        return Path(str(settings["data_dir"].value))

    def key_file(self) -> Path:
        """Return the key file that the settings of the node name.

        Raises:
            ConfigError: The settings cannot be read.
            UnreachableError: No such network or node.
        """
        if self.node is not None:
            return NodeConfig.load(_node_in_network(self.node).config).keys
        settings = load_settings(self.config_file, flags={}, environment=os.environ)
        return Path(str(settings["keys"].value))

    def record(self) -> ProcessRecord:
        """Return where the running node can be reached.

        Raises:
            UnreachableError: No node runs there.
        """
        folder = self.folder()
        record = ProcessRecord.load(folder)
        if record is None:
            raise UnreachableError(f"no node runs in {folder}")
        if not record.is_alive():
            raise UnreachableError(f"the node in {folder} is gone: process {record.pid} crashed")
        return record

    def connect(self, timeout_s: float, *, as_admin: bool = False) -> RpcClient:
        """Return a client of the node; the first call connects.

        Args:
            timeout_s: For connecting, and for each answer.
            as_admin: Show the token of the data folder.

        Raises:
            UnreachableError: No node runs there.
        """
        address = self.rpc or self.record().rpc
        token = self._token() if as_admin else None
        return RpcClient(address, timeout_s=timeout_s, token=token)

    def _token(self) -> str:
        path = self.folder() / TOKEN_FILE
        try:
            return path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise UnreachableError(f"{path}: {error.strerror}: this needs the token") from error


def target_options(command: Decorated) -> Decorated:
    """Add `--rpc`, `--node`, `--data-dir` and `--config`; the command gets one `Target`."""
    options = (
        config_option,
        click.option(
            "--data-dir", type=click.Path(path_type=Path), help="Data folder of the node."
        ),
        click.option(
            "--node", metavar="[NETWORK/]NODE", help="Node of a local network, such as demo/full-1."
        ),
        click.option("--rpc", metavar="HOST:PORT", help="RPC address of the node."),
    )
    for option in options:
        command = option(command)
    return command


def target_of(parameters: dict[str, Any]) -> Target:
    """Take the options of `target_options` out of a command's parameters."""
    rpc = parameters.pop("rpc")
    if rpc is not None and not _HOST_PORT.fullmatch(rpc):
        raise CommandError(ExitCode.USAGE, f"--rpc {rpc!r} is not HOST:PORT")
    return Target(
        rpc=rpc,
        data_dir=parameters.pop("data_dir"),
        node=parameters.pop("node"),
        config_file=parameters.pop("config_file"),
    )


def _node_in_network(name: str) -> NodeFolder:
    network, separator, node = name.rpartition("/")
    networks = existing_networks(networks_folder(os.environ))
    found = [each for each in networks if not separator or each.path.name == network]
    having = [(each, named) for each in found for named in _named(each, node)]
    if not having:
        raise UnreachableError(f"no local network has a node {name!r}")
    if len(having) > 1:
        # As `net` does: the one that is meant is the one that runs, or has the usual name.
        running = [each for each in having if _runs(*each)]
        having = running or having
        usual = [each for each in having if each[0].path.name == DEFAULT_NAME]
        having = usual if len(having) > 1 and len(usual) == 1 else having
    if len(having) > 1:
        names = ", ".join(f"{each.path.name}/{named}" for each, named in having)
        raise CommandError(ExitCode.USAGE, f"{name!r} names several nodes: {names}")
    network_folder, named = having[0]
    return network_folder.node(named)


def _runs(network: NetworkFolder, node: str) -> bool:
    record = ProcessRecord.load(network.node(node).data)
    return record is not None and record.is_alive()


def _named(network: NetworkFolder, node: str) -> list[str]:
    """Return the nodes of a network that a name, a position or a glob means."""
    if network.node(node).path.is_dir():
        return [node]
    try:
        nodes = Description.load(network).spec.nodes
        return [each.name for each in select(nodes, [node], Random())]
    except NodeError:
        return []
