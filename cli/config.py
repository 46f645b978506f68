"""`headway config`."""

import os
from pathlib import Path
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import config_option, given_settings, output_option, settings_options
from cli.output import Output, print_rows
from node.config import NodeConfig, load_settings
from node.profiles import Profile

COLUMNS: Final = ("key", "value", "origin")


@click.group()
def config() -> None:
    """Show and check settings."""


@config.command()
@config_option
@settings_options
@output_option
def show(config_file: Path | None, output: Output, **parameters: Any) -> None:
    """Show the value of each setting that counts, and where it came from."""
    flags = given_settings(parameters)
    settings = load_settings(config_file, flags=flags, environment=os.environ)
    rows = [
        {"key": key, "value": effective.value, "origin": str(effective.origin)}
        for key, effective in settings.items()
    ]
    print_rows(rows, output, COLUMNS)


@config.command()
@config_option
@settings_options
def check(config_file: Path | None, **parameters: Any) -> None:
    """Check settings, genesis and keys without starting. Exit code 3 names what is wrong."""
    flags = given_settings(parameters)
    settings = load_settings(config_file, flags=flags, environment=os.environ)
    _check_files(NodeConfig.of(settings))
    click.echo("ok")


def _check_files(checked: NodeConfig) -> None:
    # They bring the whole of the node's cryptography, which showing settings does not need.
    from node.chain.genesis import Genesis  # noqa: PLC0415
    from node.keys import NodeKeys  # noqa: PLC0415

    genesis = Genesis.load(checked.genesis)
    if checked.validator or checked.profile is Profile.HISTORY:
        # All others can do without the accounts of block 0.
        genesis.account_records()
    keys = NodeKeys.load(checked.keys)
    candidates = {each.signing_key for each in genesis.candidates}
    if checked.validator and keys.signing.public_key not in candidates:
        raise CommandError(
            ExitCode.BAD_CONFIG,
            f"{checked.keys}: signing: validator is on, but {checked.genesis} has no candidate"
            " with this key",
        )
