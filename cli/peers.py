"""`headway peers`."""

from typing import Any, Final

import click

from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_rows
from cli.target import target_of, target_options

COLUMNS: Final = (
    "id",
    "address",
    "direction",
    "list",
    "services",
    "score",
    "in",
    "out",
)

SHORT_ID: Final = 8
"""Last characters of a peer id: the first ones are the same for all."""


@click.command()
@target_options
@output_option
@timeout_option(5.0, "Longest wait for the answer.")
def peers(output: Output, timeout_s: float, **parameters: Any) -> None:
    """Show the peers of a node."""
    with target_of(parameters).connect(timeout_s) as client:
        rows = client.call("getPeerList")["data"]
    print_rows([_row(each) for each in rows] if output is Output.TABLE else rows, output, COLUMNS)


def _row(peer: Row) -> dict[str, Any]:
    """Return a peer as it fits into a terminal; JSON has everything."""
    return {
        **peer,
        "id": peer["id"][-SHORT_ID:],
        "address": peer["address"].partition("/p2p/")[0],
        "in": f"{peer['bytesIn'] / 1000:.0f} kB",
        "out": f"{peer['bytesOut'] / 1000:.0f} kB",
    }
