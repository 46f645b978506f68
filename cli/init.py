"""`headway init`."""

import os
import shutil
import time
from pathlib import Path
from typing import Final

import click

from cli.exit_codes import CommandError, ExitCode
from node.chain.genesis import Genesis
from node.config import SETTINGS_BY_KEY, default_file
from node.config_file import settings_text
from node.errors import ConfigError
from node.keys import NodeKeys
from node.policy import Policy
from node.profiles import Profile
from node.settings import Value

SETTINGS_NAME: Final = "config.toml"
KEYS_NAME: Final = "keys.json"
GENESIS_NAME: Final = "genesis.json"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--genesis",
    "genesis_file",
    type=click.Path(path_type=Path),
    help="Genesis file of the network to join; it is copied, with the accounts that it names.",
)
@click.option(
    "--new-network", metavar="NAME", help="Start a network of which this node is the one validator."
)
@click.option(
    "--profile",
    type=click.Choice([each.value for each in Profile]),
    default=Profile.FULL.value,
    show_default=True,
    help="What the node stores, asks for and serves.",
)
@click.option("--seed", "seeds", multiple=True, metavar="MULTIADDR", help="Peer to dial.")
def init(
    folder: Path | None,
    genesis_file: Path | None,
    new_network: str | None,
    profile: str,
    seeds: tuple[str, ...],
) -> None:
    """Make FOLDER with settings, keys and genesis for a new node. Never replaces a file.

    Without FOLDER it is the one where the other commands look: ~/.headway/node.
    """
    if (genesis_file is None) == (new_network is None):
        raise CommandError(ExitCode.USAGE, "give either --genesis FILE or --new-network NAME")
    validator = new_network is not None
    if validator and not Profile(profile).traits.may_validate:
        raise CommandError(
            ExitCode.USAGE, f"a new network needs a validator, and profile {profile} cannot be one"
        )
    _check_seeds(seeds)
    folder = folder or default_file(os.environ).parent
    _refuse_existing(folder)
    keys = NodeKeys.generate()
    genesis = Genesis.load(genesis_file) if genesis_file else _alone(keys, str(new_network))
    values: dict[str, Value] = {"profile": profile}
    if seeds:
        values["seeds"] = seeds
    if validator:
        values |= {"validator": True, "min_peers": 0}
    _write(folder, keys, settings_text(f"Settings of a {profile} node.", values))
    if genesis_file:
        _copy_genesis(genesis_file, genesis, folder)
    else:
        genesis.save(folder / GENESIS_NAME)
    _report(folder, keys, genesis)


def _check_seeds(seeds: tuple[str, ...]) -> None:
    """Refuse now what the node would refuse when it starts."""
    try:
        SETTINGS_BY_KEY["seeds"].read(seeds)
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, f"--seed: {error}") from error


def _alone(keys: NodeKeys, name: str) -> Genesis:
    """Return the genesis of a network with one validator and nobody else."""
    # The seed only has to differ from that of other networks, and keys already do.
    return Genesis.for_testnet(
        keys.peer_id,
        validators=[keys],
        policy=Policy(),
        timestamp=time.time_ns() // 1_000_000,
        name=name,
    )


def _refuse_existing(folder: Path) -> None:
    for name in (SETTINGS_NAME, KEYS_NAME, GENESIS_NAME):
        if (folder / name).exists():
            raise ConfigError(f"{folder / name}: exists, and init replaces nothing")


def _write(folder: Path, keys: NodeKeys, settings: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        keys.save(folder / KEYS_NAME)
        with (folder / SETTINGS_NAME).open("x", encoding="utf-8") as file:
            file.write(settings)
    except OSError as error:
        raise ConfigError(f"{error.filename}: {error.strerror}") from error


def _copy_genesis(source: Path, genesis: Genesis, folder: Path) -> None:
    """Copy a genesis file, and what it names if it is there: not every node needs that."""
    shutil.copyfile(source, folder / GENESIS_NAME)
    accounts = genesis.accounts_file
    if accounts is not None and accounts.path.exists():
        try:
            shutil.copyfile(accounts.path, folder / accounts.path.name)
        except OSError as error:
            raise ConfigError(f"{accounts.path}: {error.strerror}") from error


def _report(folder: Path, keys: NodeKeys, genesis: Genesis) -> None:
    click.echo(f"network  {genesis.name} ({genesis.hash.hex()[:8]})", err=True)
    click.echo(f"peer id  {keys.peer_id}", err=True)
    click.echo(f"start    headway run --config {folder / SETTINGS_NAME}", err=True)
