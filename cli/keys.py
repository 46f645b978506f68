"""`headway keys`."""

import os
from pathlib import Path

import click

from cli.options import config_option, output_option
from cli.output import Output, print_record
from node.config import load_settings
from node.keys import NodeKeys


@click.group()
def keys() -> None:
    """Make keys and show what they are known by."""


@keys.command()
@click.argument("file", type=click.Path(path_type=Path))
@output_option
def new(file: Path, output: Output) -> None:
    """Write new keys to FILE, readable by its owner only. Never replaces a file."""
    made = NodeKeys.generate()
    made.save(file)
    print_record(_public(made), output)


@keys.command("show-id")
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
@output_option
def show_id(file: Path | None, config_file: Path | None, output: Output) -> None:
    """Show the public side of the keys in FILE, or in the key file of the settings."""
    if file is None:
        settings = load_settings(config_file, flags={}, environment=os.environ)
        file = Path(str(settings["keys"].value))
    print_record(_public(NodeKeys.load(file)), output)


def _public(made: NodeKeys) -> dict[str, str]:
    return {
        "peer_id": made.peer_id,
        "address": made.reward_address.hex(),
        "signing_key": made.signing.public_key.hex(),
        "voting_key": made.voting.public_key.hex(),
    }
