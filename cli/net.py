"""`headway net`: local networks of real daemons."""

import json
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

import click

from cli.exit_codes import CommandError, ExitCode
from cli.net_options import (
    CONDITION,
    DEFAULT_NAME,
    Wanted,
    name_option,
    network_options,
    nodes_argument,
    wait_option,
    wait_timeout_option,
)
from cli.net_output import (
    COLUMNS,
    heads_line,
    last_log_lines,
    status_facts,
    status_row,
    whole_lines,
)
from cli.options import output_option
from cli.output import Output, print_rows, table
from node.errors import ConfigError, UnreachableError
from node.testnet.control import (
    LOAD,
    NodeReport,
    Watch,
    is_load_running,
    report,
    running,
    stop,
    stop_load,
)
from node.testnet.expression import holds_on
from node.testnet.layout import Description, NetworkFolder, existing_networks, networks_folder
from node.testnet.processes import kill_processes
from node.testnet.selector import select
from node.testnet.spec import NetworkSpec, NodeSpec, Topology, mix_for, nodes_of

REASONS: Final = ("state", "height", "finalized", "phase", "consensus", "peers")
"""Facts that are told of a node for which a condition does not hold."""

MAX_EXPLAINED: Final = 3
"""Nodes whose last log lines are shown: of more, nobody reads them."""

KILL_TIMEOUT_S: Final = 10.0
FOLLOW_INTERVAL_S: Final = 0.2


@click.group()
def net() -> None:
    """Start, watch and break local networks of real daemons.

    Nodes are named by name (full-2), position (n3), glob (light-*), label (profile=pico,
    validator=true) or chance (@random:2). Networks live under ~/.headway/networks, or where
    HEADWAY_NETWORKS says.
    """


@net.command()
@network_options
@wait_option
@click.option("--dry-run", is_flag=True, help="Write the files and start nothing.")
@wait_timeout_option
def up(*, wanted: Wanted | None, dry_run: bool, timeout_s: float, **parameters: Any) -> None:
    """Make a network and start it. It goes on when this command has ended."""
    spec = _spec(**parameters)
    from node.testnet.prepare import prepare  # noqa: PLC0415 - only this command signs keys.

    folder = NetworkFolder(_networks() / spec.name)
    description = prepare(spec, folder, timestamp_ms=time.time_ns() // 1_000_000)
    if dry_run:
        click.echo(str(folder.path))
        return
    _note(f"{len(spec.nodes)} nodes in {folder.path}")
    _start(folder, spec.nodes, description)
    if wanted is not None:
        try:
            _wait(folder, spec.nodes, wanted, timeout_s)
        except KeyboardInterrupt:
            _note(f"the network goes on: 'headway net down --name {spec.name}' stops it")
            raise
    _show(report(folder, spec.nodes), Output.TABLE)


@net.command()
@nodes_argument
@name_option
def address(nodes: Sequence[str], *, name: str | None) -> None:
    """Print the multiaddrs of running nodes, to join them with a node of your own."""
    folder, description = _open(name)
    records = running(folder, _select(description, nodes))
    if not records:
        raise UnreachableError("none of these nodes runs")
    for record in records.values():
        for multiaddr in record.addresses:
            click.echo(multiaddr)


@net.command("ls")
@output_option
def list_networks(output: Output) -> None:
    """List the networks and how many of their nodes run."""
    rows = []
    for folder in existing_networks(_networks()):
        try:
            spec = Description.load(folder).spec
        except ConfigError as error:
            _note(str(error))
            continue
        rows.append(
            {
                "name": spec.name,
                "nodes": len(spec.nodes),
                "running": len(running(folder, spec.nodes)),
                "seed": spec.seed,
                "folder": str(folder.path),
            }
        )
    print_rows(rows, output, ("name", "nodes", "running", "seed", "folder"))


@net.command()
@nodes_argument
@click.option("--watch", is_flag=True, help="Show it anew whenever something changes.")
@output_option
@name_option
def status(nodes: Sequence[str], *, watch: bool, output: Output, name: str | None) -> None:
    """Show the nodes of a network; validators have a star."""
    folder, description = _open(name)
    chosen = _select(description, nodes)
    if watch:
        _watch(folder, chosen, output)
    else:
        _show(report(folder, chosen), output)


@net.command()
@click.argument("condition", type=CONDITION)
@nodes_argument
@wait_timeout_option
@name_option
def wait(condition: Wanted, nodes: Sequence[str], *, timeout_s: float, name: str | None) -> None:
    """Wait until CONDITION holds, as 'height >= 100 and any(peers < 3)'.

    Fields: height, finalized, behind, peers, head, phase, state, consensus, profile, name. A
    comparison must hold on every node unless it stands inside any(...). Ends with exit code 7
    when the time is up, and says which nodes were the reason.
    """
    folder, description = _open(name)
    _wait(folder, _select(description, nodes), condition, timeout_s)


@net.command()
@nodes_argument
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what comes.")
@name_option
def logs(nodes: Sequence[str], *, lines: int, follow: bool, name: str | None) -> None:
    """Print the end of the nodes' logs, each line with its node's name."""
    folder, description = _open(name)
    chosen = _select(description, nodes)
    width = max(len(node.name) for node in chosen)
    positions: dict[str, int] = {}
    for node in chosen:
        written, positions[node.name] = whole_lines(folder.node(node.name).log, 0)
        for line in written[max(len(written) - lines, 0) :]:
            click.echo(f"{node.name.ljust(width)}  {line}")
    while follow:
        time.sleep(FOLLOW_INTERVAL_S)
        for node in chosen:
            path, position = folder.node(node.name).log, positions[node.name]
            written, positions[node.name] = whole_lines(path, position)
            for line in written:
                click.echo(f"{node.name.ljust(width)}  {line}")


@net.command("stop")
@nodes_argument
@click.option("--kill", is_flag=True, help="With SIGKILL, as a power cut would.")
@name_option
def stop_nodes(nodes: Sequence[str], *, kill: bool, name: str | None) -> None:
    """Stop nodes; without names all, and the workload."""
    folder, description = _open(name)
    chosen = _select(description, nodes)
    if not nodes:
        stop_load(folder)
    if kill:
        records = running(folder, chosen)
        kill_processes(
            {each: record.pid for each, record in records.items()}, timeout_s=KILL_TIMEOUT_S
        )
        _note(f"killed: {', '.join(records) or 'no node was running'}")
        return
    _stop(folder, chosen)


@net.command("start")
@nodes_argument
@wait_option
@wait_timeout_option
@name_option
def start_nodes_again(
    nodes: Sequence[str], *, wanted: Wanted | None, timeout_s: float, name: str | None
) -> None:
    """Start nodes that do not run; without names all, and the workload."""
    folder, description = _open(name)
    chosen = _select(description, nodes)
    alive = running(folder, chosen)
    to_start = [node for node in chosen if node.name not in alive]
    load = None if nodes or is_load_running(folder) else description
    _start(folder, to_start, load)
    if wanted is not None:
        _wait(folder, chosen, wanted, timeout_s)
    _show(report(folder, chosen), Output.TABLE)


@net.command()
@click.option("--purge", is_flag=True, help="Delete the network's folder too.")
@name_option
def down(*, purge: bool, name: str | None) -> None:
    """Stop a whole network and its workload."""
    folder, description = _open(name)
    stop_load(folder)
    _stop(folder, description.spec.nodes)
    if purge:
        shutil.rmtree(folder.path)
        _note(f"removed {folder.path}")


def _networks() -> Path:
    return networks_folder(os.environ)


def _spec(
    *,
    count: int | None,
    mix: dict[str, int] | None,
    block_time_s: float,
    topology: str,
    validators: int | None,
    **parameters: Any,
) -> NetworkSpec:
    """Put the options together; what does not fit is a mistake of the command line."""
    try:
        return NetworkSpec(
            nodes=nodes_of(mix_for(count, mix), validators),
            block_time_ms=round(block_time_s * 1000),
            topology=Topology(topology),
            **parameters,
        )
    except ConfigError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error


def _open(name: str | None) -> tuple[NetworkFolder, Description]:
    """Open the network that is meant."""
    if name is None:
        networks = existing_networks(_networks())
        if not networks:
            raise UnreachableError(
                f"there is no network in {_networks()}: 'headway net up' makes one"
            )
        names = [folder.path.name for folder in networks]
        if len(names) > 1 and DEFAULT_NAME not in names:
            reason = f"several networks: choose with --name: {', '.join(names)}"
            raise CommandError(ExitCode.USAGE, reason)
        name = names[0] if len(names) == 1 else DEFAULT_NAME
    folder = NetworkFolder(_networks() / Path(name).name)
    return folder, Description.load(folder)


def _select(description: Description, selectors: Sequence[str]) -> list[NodeSpec]:
    try:
        return select(description.spec.nodes, selectors, Random())
    except ConfigError as error:
        raise CommandError(ExitCode.USAGE, str(error)) from error


def _start(folder: NetworkFolder, nodes: Sequence[NodeSpec], load: Description | None) -> None:
    """Start nodes; what starts with an error ends this command with the same exit code."""
    from cli.net_start import start_nodes  # noqa: PLC0415 - imports what a daemon needs.

    outcomes = {outcome.name: outcome for outcome in start_nodes(folder, nodes, load)}
    worst = ExitCode.OK
    for node in nodes:
        outcome = outcomes.get(node.name)
        if outcome is not None and outcome.exit_code is None:
            continue
        reason = "not ready in time" if outcome is None else f"exit code {outcome.exit_code}"
        _explain(folder, node.name, reason)
        worst = max(worst, _exit_code_of(outcome.exit_code if outcome else None))
    if LOAD in outcomes and outcomes[LOAD].exit_code is not None:
        _note(f"the workload did not start: see {folder.load / 'load.log'}")
        worst = max(worst, ExitCode.UNEXPECTED)
    if worst is not ExitCode.OK:
        raise SystemExit(worst)


def _exit_code_of(code: int | None) -> ExitCode:
    if code is None:
        return ExitCode.NOT_READY
    try:
        return ExitCode(code)
    except ValueError:
        return ExitCode.UNEXPECTED


def _stop(folder: NetworkFolder, nodes: Sequence[NodeSpec]) -> None:
    stopped, killed = stop(folder, nodes)
    _note(f"stopped: {', '.join(stopped) or 'no node was running'}")
    if killed:
        _note(f"had to be killed: {', '.join(killed)}")


def _wait(
    folder: NetworkFolder,
    nodes: Sequence[NodeSpec],
    wanted: Wanted,
    timeout_s: float,
) -> None:
    watch = Watch(folder, nodes)
    fulfilled = watch.wait_for(wanted.condition, timeout_s)
    watch.close()
    if fulfilled:
        return
    _note(f"{wanted.text!r} did not come to hold within {timeout_s:g} s")
    reports = watch.reports.values()
    failing = [each for each in reports if not holds_on(wanted.condition, each.facts)]
    for node_report in failing:
        facts = node_report.facts
        seen = ", ".join(f"{name}={facts[name]}" for name in REASONS)
        if len(failing) <= MAX_EXPLAINED:
            _explain(folder, node_report.node.name, seen)
        else:
            _note(f"{node_report.node.name}: {seen}")
    raise SystemExit(ExitCode.NOT_READY)


def _explain(folder: NetworkFolder, name: str, reason: str) -> None:
    _note(f"{name}: {reason}")
    for line in last_log_lines(folder.node(name)):
        _note(f"    {line}")


def _watch(folder: NetworkFolder, nodes: Sequence[NodeSpec], output: Output) -> None:
    watch, shown = Watch(folder, nodes), ""
    while True:
        while watch.next_news(0) or not watch.is_complete:
            pass
        text = _shown(list(watch.reports.values()), output)
        if text != shown:
            if sys.stdout.isatty() and output is Output.TABLE:
                click.clear()
            click.echo(text)
        shown = text
        watch.next_news(60.0)
        # A new block reaches all nodes within moments: show it once.
        time.sleep(FOLLOW_INTERVAL_S)


def _show(reports: Sequence[NodeReport], output: Output) -> None:
    click.echo(_shown(reports, output))


def _shown(reports: Sequence[NodeReport], output: Output) -> str:
    if output is Output.TABLE:
        return f"{table([status_row(each) for each in reports], COLUMNS)}\n{heads_line(reports)}"
    rows = [status_facts(each) for each in reports]
    if output is Output.JSON:
        return json.dumps(rows, indent=2)
    return "\n".join(json.dumps(row) for row in rows)


def _note(text: str) -> None:
    """Say something to people: standard output is for data."""
    click.echo(text, err=True)
