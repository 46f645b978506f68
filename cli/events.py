"""`headway events`."""

import json
import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_rows, short_hash
from cli.peers import SHORT_ID
from cli.status import NEWS_TIMEOUT_S
from cli.target import target_of, target_options
from node.rpc.client import RpcClient

PAGE: Final = 1000
"""Events in one answer: as many as the node gives."""

LEADING: Final = ("seq", "time", "monotonic", "node", "type")
"""What each event has; all else are its facts."""

HASH_DIGITS: Final = 64
PEER_ID: Final = re.compile(r"12D3KooW[1-9A-Za-z]{44}")
TYPE_WIDTH: Final = 20


@click.command()
@click.option(
    "--since",
    metavar="SEQ",
    type=click.IntRange(0, 2**53),
    default=0,
    help="Only those after this number.  [default: all that the node still has]",
)
@click.option("-f", "--follow", is_flag=True, help="Print new ones until interrupted.")
@click.option(
    "--type",
    "types",
    metavar="NAME",
    multiple=True,
    help="Only those of this type, such as range_received or 'state_*'. May be repeated.",
)
@target_options
@output_option
@timeout_option(5.0, "Longest wait for each answer.")
def events(
    since: int,
    types: tuple[str, ...],
    output: Output,
    timeout_s: float,
    *,
    follow: bool,
    **parameters: Any,
) -> None:
    """Show what has happened in a node.

    A node keeps its newest 10,000 events, also those of level debug that its log does not show.
    Each has seq (from 1, without a gap in one run of the node), time, monotonic (seconds since the
    start of the node), node (its peer id), type, and facts of its own. -o ndjson gives all of it,
    one object for each; a line for people has hashes and peer ids shortened. A line on standard
    error says where events are missing: not kept any more, or the node was started again.
    """
    if follow and output is Output.JSON:
        raise CommandError(ExitCode.USAGE, "what has no end is no JSON array: use -o ndjson")
    with target_of(parameters).connect(timeout_s + NEWS_TIMEOUT_S * follow) as client:
        pages = (_chosen(page, types) for page in _pages(client, since, follow=follow))
        if output is Output.JSON:
            print_rows([event for page in pages for event in page], output, ())
            return
        for page in pages:
            for event in page:
                click.echo(json.dumps(event) if output is Output.NDJSON else event_line(event))


def _pages(client: RpcClient, since: int, *, follow: bool) -> Iterator[list[Row]]:
    """Yield events in order: those that there are, and if it follows also those that come."""
    answer = _ask(client, "getEvents", since=since)
    if since > answer["newest"]:
        _tell(f"the newest event is {answer['newest']}: the node has been started again")
        since, answer = 0, _ask(client, "getEvents", since=0)
    # Without following, what comes while pages are asked for is left out, or it might never end.
    end = answer["newest"]
    while follow or since < end:
        if answer["oldest"] > since + 1:
            _tell(f"events {since + 1} to {answer['oldest'] - 1} are not kept any more")
        page = [event for event in answer["events"] if follow or event["seq"] <= end]
        # An answer without events still says how far one has seen.
        since = page[-1]["seq"] if page else max(since, answer["oldest"] - 1)
        yield page
        if follow:
            answer = _ask(client, "awaitEvents", since=since, timeout_s=NEWS_TIMEOUT_S)
        elif since < end:
            answer = _ask(client, "getEvents", since=since)


def _ask(client: RpcClient, method: str, **question: Any) -> Row:
    answer: Row = client.call(method, {**question, "limit": PAGE})["data"]
    return answer


def _tell(reason: str) -> None:
    click.echo(f"headway: {reason}", err=True)


def _chosen(page: Sequence[Row], types: Sequence[str]) -> list[Row]:
    if not types:
        return list(page)
    return [each for each in page if any(fnmatchcase(each["type"], type_) for type_ in types)]


def event_line(event: Row) -> str:
    """Return an event in one line for people."""
    facts = (f"{name}={_word(value)}" for name, value in event.items() if name not in LEADING)
    head = f"{event['seq']:>6}  {event['time']}  {event['monotonic']:>10.3f}"
    return "  ".join([head, f"{event['type']:<{TYPE_WIDTH}}", " ".join(facts)]).rstrip()


def _word(value: Any) -> str:
    """Return a fact as the log has it: hashes short, quotes around what would not be one word."""
    match value:
        case str() if len(value) == HASH_DIGITS and _is_hex(value):
            return str(short_hash(value))
        case str() if PEER_ID.fullmatch(value):
            return value[-SHORT_ID:]
        case str() if value.isprintable() and value and not set(value) & set(' "='):
            return value
        case float():
            return f"{value:.6g}"
        case _:
            return json.dumps(value)


def _is_hex(text: str) -> bool:
    return set(text) <= set("0123456789abcdef")
