"""`headway rpc`."""

import json
from typing import Any

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import timeout_option
from cli.target import target_of, target_options


@click.command()
@click.argument("method")
@click.argument("params", default="[]")
@click.option("--admin", "as_admin", is_flag=True, help="Show the token of the data folder.")
@target_options
@timeout_option(30.0, "Longest wait for the answer.")
def rpc(method: str, params: str, timeout_s: float, *, as_admin: bool, **parameters: Any) -> None:
    """Call METHOD with PARAMS and print the JSON of its result.

    PARAMS is a JSON array or object, by position or by name.
    """
    try:
        content = json.loads(params)
    except ValueError as error:
        raise CommandError(ExitCode.USAGE, f"PARAMS is not JSON: {error}") from error
    if not isinstance(content, list | dict):
        raise CommandError(ExitCode.USAGE, "PARAMS is neither an array nor an object")
    with target_of(parameters).connect(timeout_s, as_admin=as_admin) as client:
        click.echo(json.dumps(client.call(method, content), indent=2))
