"""Starting the processes of a network: one import, one fork for each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from node.testnet.layout import Description, NetworkFolder
from node.testnet.spec import NodeSpec
from node.testnet.zygote import DaemonMain, Job, Outcome, start_all, wait_until_ready

log = structlog.get_logger("late")

READY_TIMEOUT_S: Final = 30.0
"""Without any further node becoming ready. Twenty take two seconds on two idle cores."""


def start_processes(
    folder: NetworkFolder,
    nodes: Sequence[NodeSpec],
    *,
    load: Description | None,
    late: Description | None,
) -> list[Outcome]:
    """Start nodes, and the helpers of a network for which its description is given.

    Args:
        folder: Of the network.
        nodes: None of them runs.
        load: For the transaction workload, if the network has one.
        late: For what starts late nodes.

    Returns:
        How each start ended; those that were neither ready nor gone in time are missing.
    """
    jobs = [Job(node.name, folder.node(node.name).log, _node_main(folder, node)) for node in nodes]
    if load is not None and load.spec.load_tps:
        jobs.append(_helper(folder.load, _load_main(folder, load)))
    if late is not None:
        jobs.append(_helper(folder.late, _late_main(folder, late)))
    return wait_until_ready(start_all(jobs), READY_TIMEOUT_S)


def _helper(folder: Path, main: DaemonMain) -> Job:
    folder.mkdir(exist_ok=True)
    return Job(folder.name, folder / f"{folder.name}.log", main)


def _node_main(folder: NetworkFolder, node: NodeSpec) -> DaemonMain:
    # Imported here, before the fork, and not at the top: it costs a second, and commands that only
    # ask need none of it.
    from cli.run import run_from_file  # noqa: PLC0415

    config = folder.node(node.name).config

    def main(ready: Callable[[], None]) -> int:
        return run_from_file(config, ready)

    return main


def _load_main(folder: NetworkFolder, description: Description) -> DaemonMain:
    from node.log import configure_logging  # noqa: PLC0415
    from node.testnet.load import run_load  # noqa: PLC0415

    def main(ready: Callable[[], None]) -> int:
        configure_logging(level="info", format_="text")
        return run_load(folder, description, ready)

    return main


def _late_main(folder: NetworkFolder, description: Description) -> DaemonMain:
    from node.log import configure_logging  # noqa: PLC0415
    from node.testnet.late import run_late  # noqa: PLC0415

    def start_nodes(nodes: Sequence[NodeSpec]) -> None:
        for outcome in start_processes(folder, nodes, load=None, late=None):
            if outcome.exit_code is not None:
                log.error("not_started", node=outcome.name, exit_code=outcome.exit_code)

    def main(ready: Callable[[], None]) -> int:
        configure_logging(level="info", format_="text")
        return run_late(folder, description, start_nodes, ready)

    return main
