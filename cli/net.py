"""`headway net`: local networks of real daemons."""

import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Final

import click

from cli.net_common import (
    all_networks,
    find_network,
    note,
    open_network,
    select_nodes,
    show,
    shown,
    start,
    wait_and_show,
    wait_for,
)
from cli.net_make import add, up
from cli.net_options import (
    CONDITION,
    Wanted,
    name_option,
    nodes_argument,
    wait_option,
    wait_timeout_option,
)
from cli.net_output import whole_lines
from cli.options import output_option
from cli.output import Output, print_rows
from node.errors import ConfigError, UnreachableError
from node.testnet.control import Watch, report, running, stop
from node.testnet.helpers import is_helper_running, stop_helper
from node.testnet.late import waiting_nodes
from node.testnet.layout import Description, NetworkFolder, existing_networks
from node.testnet.processes import kill_processes
from node.testnet.spec import NodeSpec

KILL_TIMEOUT_S: Final = 10.0
FOLLOW_INTERVAL_S: Final = 0.2


@click.group()
def net() -> None:
    """Start, watch and break local networks of real daemons.

    Nodes are named by name (full-2), position (n3), glob (light-*), label (profile=pico,
    validator=true) or chance (@random:2). Networks live under ~/.headway/networks, or where
    HEADWAY_NETWORKS says.
    """


net.add_command(up)
net.add_command(add)


@net.command()
@nodes_argument
@name_option
def address(nodes: Sequence[str], *, name: str | None) -> None:
    """Print the multiaddrs of running nodes, to join them with a node of your own."""
    folder, description = open_network(name)
    records = running(folder, _names(select_nodes(description, nodes)))
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
    for folder in existing_networks(all_networks()):
        try:
            spec = Description.load(folder).spec
        except ConfigError as error:
            note(str(error))
            continue
        rows.append(
            {
                "name": spec.name,
                "nodes": len(spec.nodes),
                "running": len(running(folder, _names(spec.nodes))),
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
    folder, description = open_network(name)
    chosen = select_nodes(description, nodes)
    if watch:
        _watch(folder, chosen, output)
    else:
        show(report(folder, chosen), output)


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
    folder, description = open_network(name)
    wait_for(folder, select_nodes(description, nodes), condition, timeout_s)


@net.command()
@nodes_argument
@click.option("-n", "--lines", type=click.IntRange(0), default=20, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what comes.")
@name_option
def logs(nodes: Sequence[str], *, lines: int, follow: bool, name: str | None) -> None:
    """Print the end of the nodes' logs, each line with its node's name."""
    folder, description = open_network(name)
    chosen = select_nodes(description, nodes)
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
    folder, description = open_network(name)
    if not nodes:
        _stop_helpers(folder)
    _end(folder, select_nodes(description, nodes), kill=kill)


@net.command("start")
@nodes_argument
@wait_option
@wait_timeout_option
@name_option
def start_nodes_again(
    nodes: Sequence[str], *, wanted: Wanted | None, timeout_s: float, name: str | None
) -> None:
    """Start nodes that do not run; without names all, and the workload.

    Nodes that join at a height to come are waited for again, unless they are named.
    """
    folder, description = open_network(name)
    chosen = select_nodes(description, nodes)
    _begin(folder, description, chosen, are_named=bool(nodes))
    wait_and_show(folder, chosen, wanted, timeout_s)


@net.command()
@nodes_argument
@click.option("--kill", is_flag=True, help="Stop them with SIGKILL, as a power cut would.")
@wait_option
@wait_timeout_option
@name_option
def restart(
    nodes: Sequence[str],
    *,
    kill: bool,
    wanted: Wanted | None,
    timeout_s: float,
    name: str | None,
) -> None:
    """Stop nodes and start them again; without names all, and the workload goes on."""
    folder, description = open_network(name)
    chosen = select_nodes(description, nodes)
    _end(folder, chosen, kill=kill)
    _begin(folder, description, chosen, are_named=bool(nodes))
    wait_and_show(folder, chosen, wanted, timeout_s)


@net.command()
@click.option("--purge", is_flag=True, help="Delete the network's folder too.")
@name_option
def down(*, purge: bool, name: str | None) -> None:
    """Stop a whole network and its workload."""
    folder = find_network(name)
    _stop_helpers(folder)
    _stop(folder, folder.node_names())
    if purge:
        shutil.rmtree(folder.path)
        note(f"removed {folder.path}")


def _watch(folder: NetworkFolder, nodes: Sequence[NodeSpec], output: Output) -> None:
    watch, printed = Watch(folder, nodes), ""
    while True:
        while watch.next_news(0) or not watch.is_complete:
            pass
        text = shown(list(watch.reports.values()), output)
        if text != printed:
            if sys.stdout.isatty() and output is Output.TABLE:
                click.clear()
            click.echo(text)
        printed = text
        watch.next_news(60.0)
        # A new block reaches all nodes within moments: show it once.
        time.sleep(FOLLOW_INTERVAL_S)


def _end(folder: NetworkFolder, nodes: Sequence[NodeSpec], *, kill: bool) -> None:
    if not kill:
        _stop(folder, _names(nodes))
        return
    records = running(folder, _names(nodes))
    pids = {each: record.pid for each, record in records.items()}
    kill_processes(pids, timeout_s=KILL_TIMEOUT_S)
    note(f"killed: {', '.join(records) or 'no node was running'}")


def _begin(
    folder: NetworkFolder, description: Description, nodes: Sequence[NodeSpec], *, are_named: bool
) -> None:
    waiting = [] if are_named else waiting_nodes(folder, nodes)
    alive = running(folder, _names(nodes))
    is_load_due = not are_named and not is_helper_running(folder.load)
    is_late_due = bool(waiting) and not is_helper_running(folder.late)
    start(
        folder,
        [node for node in nodes if node.name not in alive and node not in waiting],
        load=description if is_load_due else None,
        late=description if is_late_due else None,
    )


def _names(nodes: Iterable[NodeSpec]) -> list[str]:
    return [node.name for node in nodes]


def _stop(folder: NetworkFolder, names: Iterable[str]) -> None:
    stopped, killed = stop(folder, names)
    note(f"stopped: {', '.join(stopped) or 'no node was running'}")
    if killed:
        note(f"had to be killed: {', '.join(killed)}")


def _stop_helpers(folder: NetworkFolder) -> None:
    stop_helper(folder.load)
    stop_helper(folder.late)
