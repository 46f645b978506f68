"""`headway block`."""

from typing import Any, Final

import click

from cli.answer import PROOF_TIMEOUT_S, with_proof
from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record, print_rows, short_hash, table
from cli.status import NEWS_TIMEOUT_S, statuses
from cli.target import target_of, target_options
from node.rpc.client import Call, RpcClient, RpcError

COLUMNS: Final = ("number", "type", "hash", "time", "txs", "signed")
WIDTHS: Final = {"number": 8, "type": 10, "txs": 5}
"""At least, so that blocks that come later stand below those that were first."""

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
@timeout_option(PROOF_TIMEOUT_S, "Longest wait for the answer.")
def get(
    which: str, output: Output, timeout_s: float, *, with_body: bool, **parameters: Any
) -> None:
    """Show one block of the chain of a node.

    A node that does not keep it, or its body, asks its peers and shows what one of them proves to
    it. Then it is not told who has signed the block, unless the node has its header.
    """
    call = _call(which, with_body=with_body)
    with target_of(parameters).connect(timeout_s) as client:
        print_record(with_proof(client.call(call.method, call.params)), output)


@block.command()
@click.option("-n", "count", type=click.IntRange(1, MAX_TAIL), default=10, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Print new blocks until interrupted.")
@target_options
@output_option
@timeout_option(5.0, "Longest wait for each answer.")
def tail(count: int, output: Output, timeout_s: float, *, follow: bool, **parameters: Any) -> None:
    """Show the newest blocks, the head last."""
    if follow and output is Output.JSON:
        raise CommandError(ExitCode.USAGE, "what has no end is no JSON array: use -o ndjson")
    with target_of(parameters).connect(timeout_s + NEWS_TIMEOUT_S * follow) as client:
        source = _Source(client)
        head = client.call("getBlockNumber")["data"]
        _print(source.blocks(max(head - count + 1, 0), head), output)
        if follow:
            _follow(source, head, output)


def _follow(source: "_Source", shown: int, output: Output) -> None:
    for news in statuses(source.client):
        # After a rebranch the head may be lower; blocks already shown are not shown again.
        first = max(shown + 1, news["height"] - MAX_TAIL + 1)
        if news["height"] >= first:
            _print(source.blocks(first, news["height"]), output, with_header=False)
            shown = news["height"]


class _Source:
    """The blocks of one node, with bodies where it keeps them."""

    def __init__(self, client: RpcClient) -> None:
        self.client = client
        try:
            client.call("getLatestBlock", [True])
        except RpcError:
            self._with_body = False
        else:
            self._with_body = True

    def blocks(self, first: int, last: int) -> list[Row]:
        # Only those that the node has itself: peers would be asked for a hundred, one by one.
        calls = [
            Call("getBlockByNumber", [number, self._with_body, False])
            for number in range(first, last + 1)
        ]
        # A block that is missing was replaced while we asked; the next look shows its successor.
        return [
            answer["data"]
            for answer in self.client.batch(calls)
            if not isinstance(answer, RpcError)
        ]


def _print(blocks: list[Row], output: Output, *, with_header: bool = True) -> None:
    if output is not Output.TABLE:
        print_rows(blocks, output, ())
        return
    rows = [_row(each) for each in blocks]
    text = table(rows, COLUMNS, widths=WIDTHS)
    click.echo(text if with_header else text.partition("\n")[2])


def _row(content: Row) -> dict[str, Any]:
    return {
        "number": content["number"],
        "type": content["type"],
        "hash": short_hash(content["hash"]),
        "time": _clock(content["timestamp"]),
        "txs": len(content["transactions"]) if "transactions" in content else None,
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
