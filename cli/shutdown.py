"""`headway shutdown`."""

import time
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import timeout_option
from cli.target import target_of, target_options

ANSWER_TIMEOUT_S: Final = 5.0
LOOK_S: Final = 0.02
"""Between two looks whether the process is gone."""


@click.command()
@target_options
@timeout_option(15.0, "Longest wait for the end of the process.")
def shutdown(timeout_s: float, **parameters: Any) -> None:
    """Stop a node gracefully and wait until it has ended."""
    target = target_of(parameters)
    record = target.record()
    deadline = time.monotonic() + timeout_s
    with target.connect(ANSWER_TIMEOUT_S, as_admin=True) as client:
        client.call("shutdown")
    while record.is_alive():
        if time.monotonic() >= deadline:
            raise CommandError(
                ExitCode.NOT_READY, f"process {record.pid} is still there after {timeout_s:g} s"
            )
        time.sleep(LOOK_S)
    click.echo(f"node {record.pid} has stopped", err=True)
