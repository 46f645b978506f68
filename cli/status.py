"""`headway status`."""

import json
from collections.abc import Iterator
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record, short_hash
from cli.target import target_of, target_options
from node.rpc.client import RpcClient

NEWS_TIMEOUT_S: Final = 10.0
"""How long the node holds a question for news."""

LINE: Final = ("height", "head", "finalized", "phase", "consensus", "peers", "behind")
"""What a line of `--watch` shows in a table; JSON has everything."""


@click.command()
@target_options
@output_option
@timeout_option(5.0, "Longest wait for each answer.")
@click.option("--watch", is_flag=True, help="Print a line for each change until interrupted.")
def status(output: Output, timeout_s: float, *, watch: bool, **parameters: Any) -> None:
    """Show what a node is doing."""
    if watch and output is Output.JSON:
        raise CommandError(ExitCode.USAGE, "what has no end is no JSON array: use -o ndjson")
    with target_of(parameters).connect(timeout_s + NEWS_TIMEOUT_S * watch) as client:
        if not watch:
            print_record(client.call("getStatus")["data"], output)
            return
        shown = ""
        for news in statuses(client):
            # Not all news is in the line.
            if (text := _line(news, output)) != shown:
                click.echo(text)
            shown = text


def statuses(client: RpcClient) -> Iterator[Row]:
    """Yield the status, and again each time it has changed."""
    news: Row = client.call("getStatus")["data"]
    yield news
    while True:
        question = {"after": news["sequence"], "timeout_s": NEWS_TIMEOUT_S}
        answer: Row = client.call("awaitStatus", question)["data"]
        if answer["sequence"] != news["sequence"]:
            news = answer
            yield news


def _line(news: Row, output: Output) -> str:
    if output is Output.NDJSON:
        return json.dumps(news)
    facts = {**news, "head": short_hash(news.get("head"))}
    return " ".join(f"{name}={_word(facts.get(name))}" for name in LINE)


def _word(value: Any) -> str:
    return "-" if value is None else str(value).lower().replace(" ", "_")
