"""`headway block`."""

from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record, print_rows, short_hash
from cli.status import NEWS_TIMEOUT_S, statuses
from cli.target import target_of, target_options
from node.rpc.client import Call, RpcClient, RpcError

COLUMNS: Final = ("number", "type", "hash", "time", "signed")
MAX_TAIL: Final = 100
"""Blocks in one request: as many as the node answers in a batch."""

HASH_DIGITS: Final = 64


@click.group()
def block() -> None:
    """Show blocks of a node's chain."""


@block.command()
@click.argument("which", metavar="NUMBER|HASH|latest")
@click.option("--body", "with_body", is_flag=True, help="With transactions or rewards.")
@target_options
@output_option
@timeout_option(5.0, "Longest wait for the answer.")
def get(
    which: str, output: Output, timeout_s: float, *, with_body: bool, **parameters: Any
) -> None:
    """Show one block of the chain of a node."""
    call = _call(which, with_body=with_body)
    with target_of(parameters).connect(timeout_s) as client:
        print_record(client.call(call.method, call.params)["data"], output)


@block.command()
@click.option("-n", "count", type=click.IntRange(1, MAX_TAIL), default=10, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Print new blocks until interrupted.")
@target_options
@output_option
@timeout_option(5.0, "Longest wait for each answer.")
def tail(count: int, output: Output, timeout_s: float, *, follow: bool, **parameters: Any) -> None:
    """Show the newest blocks, the head last."""
    with target_of(parameters).connect(timeout_s + NEWS_TIMEOUT_S * follow) as client:
        head = client.call("getBlockNumber")["data"]
        _print(_blocks(client, max(head - count + 1, 0), head), output)
        if follow:
            _follow(client, head, output)


def _follow(client: RpcClient, shown: int, output: Output) -> None:
    streamed = Output.NDJSON if output is Output.JSON else output
    for news in statuses(client):
        # After a rebranch the head may be lower; blocks already shown are not shown again.
        first = max(shown + 1, news["height"] - MAX_TAIL + 1)
        if news["height"] >= first:
            _print(_blocks(client, first, news["height"]), streamed, with_header=False)
            shown = news["height"]


def _blocks(client: RpcClient, first: int, last: int) -> list[Row]:
    numbers = range(first, last + 1)
    answers = client.batch([Call("getBlockByNumber", [number]) for number in numbers])
    # A block that is missing was replaced while we asked; the next look shows its successor.
    return [answer["data"] for answer in answers if not isinstance(answer, RpcError)]


def _print(blocks: list[Row], output: Output, *, with_header: bool = True) -> None:
    if output is not Output.TABLE:
        print_rows(blocks, output, ())
        return
    rows = [_row(each) for each in blocks]
    if with_header:
        print_rows(rows, output, COLUMNS)
        return
    for row in rows:
        click.echo("  ".join(str(row[column]) for column in COLUMNS))


def _row(content: Row) -> dict[str, Any]:
    return {
        "number": content["number"],
        "type": content["type"],
        "hash": short_hash(content["hash"]),
        "time": _clock(content["timestamp"]),
        "signed": content["justification"]["type"],
    }


def _clock(timestamp_ms: int) -> str:
    """Return hours, minutes, seconds and milliseconds of a day in UTC."""
    seconds, milliseconds = divmod(timestamp_ms, 1000)
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours % 24:02}:{minutes:02}:{seconds % 60:02}.{milliseconds:03}"


def _call(which: str, *, with_body: bool) -> Call:
    if which == "latest":
        return Call("getLatestBlock", [with_body])
    if len(which) == HASH_DIGITS:
        return Call("getBlockByHash", [which, with_body])
    if which.isdecimal():
        return Call("getBlockByNumber", [int(which), with_body])
    raise CommandError(
        ExitCode.USAGE, f"{which!r} is neither a block number, a hash of 64 digits, nor latest"
    )
