"""`headway net up` and `headway net add`: making networks, and making them larger."""

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from cli.exit_codes import CommandError, ExitCode
from cli.net_common import all_networks, note, open_network, show, start, wait_and_show, wait_for
from cli.net_options import (
    Wanted,
    name_option,
    network_options,
    pivot_interval_option,
    sync_option,
    wait_option,
    wait_timeout_option,
)
from cli.output import Output
from cli.progress import progress_bar
from node.errors import ConfigError
from node.testnet.control import report
from node.testnet.layout import DEFAULT_NAME, NetworkFolder
from node.testnet.network_file import read_network_file
from node.testnet.spec import (
    PROFILES,
    NetworkSpec,
    NodeGroup,
    Topology,
    groups_of,
    mix_for,
    nodes_of,
)


@click.command()
@click.argument(
    "file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@network_options
@wait_option
@click.option("--dry-run", is_flag=True, help="Write the files and start nothing.")
@wait_timeout_option
def up(
    file: Path | None, *, wanted: Wanted | None, dry_run: bool, timeout_s: float, **parameters: Any
) -> None:
    """Make a network and start it. It goes on when this command has ended.

    FILE describes the network in TOML; what an option says counts more. configs/networks has
    examples.
    """
    spec = _spec(file, parameters)
    from node.testnet.prepare import prepare  # noqa: PLC0415 - only these commands sign keys.

    folder = NetworkFolder(all_networks() / spec.name)
    with ExitStack() as stack:
        accounts_progress = progress_bar(stack, "accounts", spec.accounts)
        description = prepare(
            spec,
            folder,
            timestamp_ms=time.time_ns() // 1_000_000,
            accounts_progress=accounts_progress,
        )
    if dry_run:
        click.echo(str(folder.path))
        return
    early = [node for node in spec.nodes if not node.start_at]
    note(f"{len(early)} nodes in {folder.path}")
    for node in spec.nodes[len(early) :]:
        note(f"{node.name} joins at height {node.start_at}")
    late = description if len(early) < len(spec.nodes) else None
    start(folder, early, load=description, late=late)
    if wanted is not None:
        try:
            wait_for(folder, early, wanted, timeout_s)
        except KeyboardInterrupt:
            note(f"the network goes on: 'headway net down --name {spec.name}' stops it")
            raise
    show(report(folder, spec.nodes), Output.TABLE)


@click.command()
@click.option(
    "--profile", type=click.Choice(PROFILES), required=True, help="What the new nodes are."
)
@click.option("-n", "--nodes", "count", type=click.IntRange(1, 500), default=1, show_default=True)
@sync_option
@pivot_interval_option
@wait_option
@wait_timeout_option
@name_option
def add(
    *,
    profile: str,
    count: int,
    sync: str | None,
    pivot_interval: int | None,
    wanted: Wanted | None,
    timeout_s: float,
    name: str | None,
) -> None:
    """Add nodes to a network and start them. They dial up to four of those that are there.

    What is not said about their state sync is as for the network.
    """
    folder, description = open_network(name)
    from node.testnet.prepare import add_nodes  # noqa: PLC0415 - only these commands sign keys.

    _, new = add_nodes(
        description, folder, profile, count, sync=sync, pivot_interval=pivot_interval
    )
    note(f"{', '.join(node.name for node in new)} in {folder.path}")
    start(folder, new)
    wait_and_show(folder, new, wanted, timeout_s)


def _spec(file: Path | None, parameters: Mapping[str, Any]) -> NetworkSpec:
    """Put file and options together.

    Raises:
        CommandError: The options make no sense, alone or with the file.
        ConfigError: The file makes no sense.
    """
    written = {} if file is None else read_network_file(file)
    given = {name: value for name, value in parameters.items() if value is not None and value != ()}
    chosen = {"name": DEFAULT_NAME, "seed": 1, **written, **given}
    if "count" in given or "mix" in given:
        # Other nodes are asked for than those of the file.
        chosen.pop("early", None)
    try:
        return _spec_of(**chosen)
    except ConfigError as error:
        if file is not None and not given:
            raise ConfigError(f"{file}: {error}") from error
        raise CommandError(ExitCode.USAGE, str(error)) from error


def _spec_of(
    *,
    count: int | None = None,
    mix: dict[str, int] | None = None,
    early: Sequence[NodeGroup] | None = None,
    late: Sequence[NodeGroup] = (),
    validators: int | None = None,
    block_time_s: float = 1.0,
    topology: str = Topology.RANDOM.value,
    **numbers: Any,
) -> NetworkSpec:
    if early is None:
        early = groups_of(mix_for(count, mix))
    return NetworkSpec(
        nodes=nodes_of([*early, *late], validators),
        block_time_ms=round(block_time_s * 1000),
        topology=Topology(topology),
        **numbers,
    )
