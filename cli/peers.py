"""`headway peers`."""

from typing import Any, Final

import click

from cli.options import output_option, timeout_option
from cli.output import Output, print_rows
from cli.target import target_of, target_options

COLUMNS: Final = (
    "id",
    "address",
    "direction",
    "list",
    "services",
    "score",
    "bytesIn",
    "bytesOut",
    "agent",
)


@click.command()
@target_options
@output_option
@timeout_option(5.0, "Longest wait for the answer.")
def peers(output: Output, timeout_s: float, **parameters: Any) -> None:
    """Show the peers of a node."""
    with target_of(parameters).connect(timeout_s) as client:
        print_rows(client.call("getPeerList")["data"], output, COLUMNS)
