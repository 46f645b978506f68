"""`headway sync`."""

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.options import output_option, timeout_option
from cli.output import Output, Row, print_record, short_hash
from cli.status import NEWS_TIMEOUT_S, statuses
from cli.target import target_of, target_options

FACTS: Final = (
    "phase",
    "height",
    "head",
    "finalized",
    "target",
    "state_sync",
    "state_synced",
    "state_failure",
    "behind",
    "rate",
    "eta_s",
    "consensus",
    "peer_lists",
    "requests",
    "buffered",
)
"""What there is to say about the sync."""

BAR_WIDTH: Final = 30
MINUTE_S: Final = 60
HOUR_S: Final = 3600
DAY_S: Final = 24 * HOUR_S


@click.command()
@target_options
@output_option
@timeout_option(5.0, "Longest wait for each answer.")
@click.option("--watch", is_flag=True, help="Follow it until interrupted.")
def sync(output: Output, timeout_s: float, *, watch: bool, **parameters: Any) -> None:
    """Show how far a node is, and when it will be there.

    On a terminal --watch draws a bar; elsewhere it prints a line for each change.
    """
    if watch and output is Output.JSON:
        raise CommandError(ExitCode.USAGE, "what has no end is no JSON array: use -o ndjson")
    with target_of(parameters).connect(timeout_s + NEWS_TIMEOUT_S * watch) as client:
        if not watch:
            status = client.call("getStatus")["data"]
            print_record(_facts(status, output), output)
            return
        if output is Output.TABLE and sys.stdout.isatty():
            _draw(statuses(client))
        else:
            _print(statuses(client), output)


def _facts(status: Row, output: Output) -> Row:
    facts = {name: status.get(name) for name in FACTS}
    if output is not Output.TABLE:
        return facts
    for name in ("eta_s", "state_sync", "state_synced", "state_failure"):
        del facts[name]
    return {
        **facts,
        **_state_facts(status.get("state_sync")),
        **_failure_facts(status.get("state_failure")),
        **_synced_facts(status.get("state_synced")),
        "head": short_hash(status.get("head")),
        "rate": _rate(status),
        "eta": eta_text(status.get("eta_s")),
    }


def _state_facts(state: Row | None) -> Row:
    """Return what a table says of a state sync, if one is under way."""
    if state is None:
        return {}
    return {
        "state": state["state"],
        "state target": state["target"],
        "accounts": f"{state['accounts']} of {_known(state['total'])}, {_percent(state)}%",
        "pivots": state["pivots"],
        "queued": state["queued"],
        "state behind": f"{_behind(state)} blocks",
    }


def _failure_facts(cause: str | None) -> Row:
    """Return what a table says of an attempt that has failed, until one ends well."""
    return {} if cause is None else {"state failure": cause}


def _synced_facts(synced: Row | None) -> Row:
    """Return what a table says of the last state sync that ended well, if there was one."""
    if synced is None:
        return {}
    cost = f"{synced['accounts']} accounts in {synced['seconds']:.1f} s, {synced['pivots']} pivots"
    end = f"at {synced['height']}, {synced['blocks_behind']} blocks behind"
    return {"state synced": f"{cost}, {end}"}


def _print(news: Iterator[Row], output: Output) -> None:
    printed = ""
    for status in news:
        line = json.dumps(_facts(status, output)) if output is Output.NDJSON else sync_line(status)
        # Not all news is in the line.
        if line != printed:
            click.echo(line)
        printed = line


def _draw(news: Iterator[Row]) -> None:
    """Keep one line up to date; a new phase begins a new one."""
    phase = None
    for status in news:
        if phase is not None and phase != status["phase"]:
            click.echo()
        phase = status["phase"]
        # Back to the start of the line, and what was there is cleared.
        click.echo(f"\r\x1b[2K{sync_line(status)}", nl=False)


def sync_line(status: Row) -> str:
    """Return the state of the sync in one line for people."""
    height, target, state = status["height"], status.get("target"), status.get("state_sync")
    parts = [status["phase"]]
    if state:
        parts += _state_parts(state)
    elif target:
        parts += [_bar(height, target), f"{height}/{target}"]
    else:
        parts += [f"at {height}", f"{status['behind']} behind"]
        parts.append("in consensus" if status["consensus"] else _lack(status))
    if not state and status.get("state_failure"):
        parts.append(f"failed: {status['state_failure']}")
    parts += [text for text in (_rate(status), eta_text(status.get("eta_s"))) if text]
    return "  ".join(parts)


def _lack(status: Row) -> str:
    """Say what peers a node without consensus has, if they are too few to be followed."""
    lists, wanted = status["peer_lists"], status["min_peers"]
    if lists["live"] >= max(wanted, 1):
        return "no consensus yet"
    known = [f"{count} {name}" for name, count in lists.items() if count]
    return f"no consensus, peers: {', '.join(known) or 'none'} (wants {wanted} live)"


def _state_parts(state: Row) -> list[str]:
    return [
        _bar(round(state["coverage"] * 1000), 1000),
        f"{state['accounts']}/{_known(state['total'])} accounts at {state['target']}",
        f"{state['pivots']} pivots",
        f"{state['queued']} queued",
        f"{_behind(state)} blocks behind",
        *([] if state["state"] == "running" else [state["state"].replace("_", " ")]),
    ]


def _behind(state: Row) -> int:
    """Count the blocks above the state: those that are known, and those that must be by now."""
    return int(state["blocks_behind"]) + int(state["blocks_due"])


def _known(total: int | None) -> str:
    return "?" if total is None else str(total)


def _percent(state: Row) -> int:
    return int(state["coverage"] * 100)


def eta_text(eta_s: Sequence[int] | None) -> str | None:
    """Return a range of seconds as people read it, such as `40 s to 2 min`."""
    if eta_s is None:
        return None
    low, high = (_time(seconds) for seconds in eta_s)
    return f"{low} left" if low == high else f"{low} to {high} left"


def _time(seconds: int) -> str:
    if seconds < 2 * MINUTE_S:
        return f"{seconds} s"
    if seconds < 2 * HOUR_S:
        return f"{round(seconds / MINUTE_S)} min"
    if seconds < 2 * DAY_S:
        return f"{round(seconds / HOUR_S)} h"
    return f"{round(seconds / DAY_S)} days"


def _rate(status: Row) -> str | None:
    rate, state = status.get("rate"), status.get("state_sync")
    unit = "accounts" if state else "blocks"
    if state and state["state"] == "executing_batch":
        unit = "operations"
    return None if rate is None else f"{rate:g} {unit}/s"


def _bar(height: int, target: int) -> str:
    done = min(height * BAR_WIDTH // max(target, 1), BAR_WIDTH)
    percent = min(height * 100 // max(target, 1), 100)
    return f"[{'#' * done}{'.' * (BAR_WIDTH - done)}] {percent:3}%"
