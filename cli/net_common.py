"""What the commands of `headway net` share: opening, starting, waiting, showing."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.net_options import Wanted
from cli.net_output import COLUMNS, heads_line, last_log_lines, status_facts, status_row
from cli.output import Output, table
from node.errors import ConfigError, UnreachableError
from node.testnet.control import NodeReport, Watch, report
from node.testnet.expression import holds_on
from node.testnet.layout import (
    DEFAULT_NAME,
    Description,
    NetworkFolder,
    existing_networks,
    networks_folder,
)
from node.testnet.selector import select
from node.testnet.spec import NodeSpec

REASONS: Final = ("state", "height", "finalized", "phase", "consensus", "peers")
"""Facts that are told of a node for which a condition does not hold."""

MAX_EXPLAINED: Final = 3
"""Nodes whose last log lines are shown: of more, nobody reads them."""


def all_networks() -> Path:
    """Return the folder of all networks."""
    return networks_folder(os.environ)


def open_network(name: str | None) -> tuple[NetworkFolder, Description]:
    """Open the network that is meant.

    Raises:
        CommandError: Several could be meant.
        ConfigError: Its description cannot be read.
        UnreachableError: There is none.
    """
    folder = find_network(name)
    return folder, Description.load(folder)


def find_network(name: str | None) -> NetworkFolder:
    """Find the network that is meant, whatever its description says.

    Raises:
        CommandError: Several could be meant.
        UnreachableError: There is none.
    """
    if name is None:
        found = existing_networks(all_networks())
        if not found:
            raise UnreachableError(
                f"there is no network in {all_networks()}: 'headway net up' makes one"
            )
        names = [folder.path.name for folder in found]
        if len(names) > 1 and DEFAULT_NAME not in names:
            reason = f"several networks: choose with --name: {', '.join(names)}"
            raise CommandError(ExitCode.USAGE, reason)
        name = names[0] if len(names) == 1 else DEFAULT_NAME
    folder = NetworkFolder(all_networks() / Path(name).name)
    if not folder.description.is_file():
        raise UnreachableError(f"there is no network {folder.path.name!r}")
    return folder


def select_nodes(description: Description, selectors: Sequence[str]) -> list[NodeSpec]:
    """Return the nodes that are named; all if none is.

    Raises:
        CommandError: A selector makes no sense.
        UnreachableError: A selector names nothing.
    """
    try:
        return select(description.spec.nodes, selectors, Random())
    except ConfigError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error


def start(
    folder: NetworkFolder,
    nodes: Sequence[NodeSpec],
    *,
    load: Description | None = None,
    late: Description | None = None,
) -> None:
    """Start nodes; what starts with an error ends this command with the same exit code.

    Args:
        folder: Of the network.
        nodes: None of them runs.
        load: The network, if its workload is to be started too.
        late: The network, if what starts its late nodes is to be started too.
    """
    from cli.net_start import start_processes  # noqa: PLC0415 - imports what a daemon needs.

    outcomes = {
        outcome.name: outcome for outcome in start_processes(folder, nodes, load=load, late=late)
    }
    worst = ExitCode.OK
    for node in nodes:
        outcome = outcomes.pop(node.name, None)
        if outcome is not None and outcome.exit_code is None:
            continue
        reason = "not ready in time" if outcome is None else f"exit code {outcome.exit_code}"
        explain(folder, node.name, reason)
        worst = max(worst, _exit_code_of(outcome.exit_code if outcome else None))
    for helper in outcomes.values():
        if helper.exit_code:
            note(f"{helper.name} did not start: its log is in {folder.path / helper.name}")
            worst = max(worst, ExitCode.UNEXPECTED)
    if worst is not ExitCode.OK:
        raise SystemExit(worst)


def wait_for(
    folder: NetworkFolder, nodes: Sequence[NodeSpec], wanted: Wanted, timeout_s: float
) -> None:
    """Wait until a condition holds; end the command if it does not in time."""
    watch = Watch(folder, nodes)
    fulfilled = watch.wait_for(wanted.condition, timeout_s)
    watch.close()
    if fulfilled:
        return
    note(f"{wanted.text!r} did not come to hold within {timeout_s:g} s")
    reports = watch.reports.values()
    failing = [each for each in reports if not holds_on(wanted.condition, each.facts)]
    for node_report in failing:
        facts = node_report.facts
        seen = ", ".join(f"{name}={facts[name]}" for name in REASONS)
        if len(failing) <= MAX_EXPLAINED:
            explain(folder, node_report.node.name, seen)
        else:
            note(f"{node_report.node.name}: {seen}")
    raise SystemExit(ExitCode.NOT_READY)


def wait_and_show(
    folder: NetworkFolder, nodes: Sequence[NodeSpec], wanted: Wanted | None, timeout_s: float
) -> None:
    """Wait for a condition if there is one, and print the state of the nodes."""
    if wanted is not None:
        wait_for(folder, nodes, wanted, timeout_s)
    show(report(folder, nodes), Output.TABLE)


def explain(folder: NetworkFolder, name: str, reason: str) -> None:
    """Say what is wrong with a node, with the end of its log."""
    note(f"{name}: {reason}")
    for line in last_log_lines(folder.node(name)):
        note(f"    {line}")


def show(reports: Sequence[NodeReport], output: Output) -> None:
    """Print the state of nodes."""
    click.echo(shown(reports, output))


def shown(reports: Sequence[NodeReport], output: Output) -> str:
    """Return the state of nodes as it is printed."""
    if output is Output.TABLE:
        return f"{table([status_row(each) for each in reports], COLUMNS)}\n{heads_line(reports)}"
    rows = [status_facts(each) for each in reports]
    if output is Output.JSON:
        return json.dumps(rows, indent=2)
    return "\n".join(json.dumps(row) for row in rows)


def note(text: str) -> None:
    """Say something to people: standard output is for data."""
    click.echo(text, err=True)


def _exit_code_of(code: int | None) -> ExitCode:
    if code is None:
        return ExitCode.NOT_READY
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.UNEXPECTED
