"""`headway health`."""

import time
from typing import Any

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record
from cli.status import NEWS_TIMEOUT_S
from cli.target import target_of, target_options
from node.rpc.client import RpcClient

ANSWER_TIMEOUT_S = 5.0
"""A node that takes longer for a status is not healthy."""


@click.command()
@target_options
@output_option
@timeout_option(0.0, "How long to wait for a node that runs to become ready.")
def health(output: Output, timeout_s: float, **parameters: Any) -> None:
    """Tell whether a node is ready, by exit code.

    0 ready, 7 not ready, 6 not there. Ready is a node that agrees with enough peers on the head.
    """
    deadline = time.monotonic() + timeout_s
    with target_of(parameters).connect(ANSWER_TIMEOUT_S + NEWS_TIMEOUT_S) as client:
        status = _wait(client, deadline)
    facts = {name: status.get(name) for name in ("consensus", "phase", "height", "peers", "behind")}
    print_record({"ready": bool(status["consensus"]), **facts}, output)
    if not status["consensus"]:
        raise CommandError(
            ExitCode.NOT_READY,
            f"not ready: phase {status['phase']}, {status['peer_lists']['live']} live peers"
            f" of {status['min_peers']} that it needs",
        )


def _wait(client: RpcClient, deadline: float) -> Row:
    status: Row = client.call("getStatus")["data"]
    while not status["consensus"] and (left := deadline - time.monotonic()) > 0:
        question = {"after": status["sequence"], "timeout_s": min(left, NEWS_TIMEOUT_S)}
        status = client.call("awaitStatus", question)["data"]
    return status
