"""Starting the processes of a network: one import, one fork for each."""

from collections.abc import Callable, Sequence
from typing import Final

from node.testnet.control import LOAD
from node.testnet.layout import Description, NetworkFolder
from node.testnet.spec import NodeSpec
from node.testnet.zygote import DaemonMain, Job, Outcome, start_all, wait_until_ready

READY_TIMEOUT_S: Final = 30.0
"""Without any further node becoming ready. Twenty take two seconds on two idle cores."""


def start_nodes(
    folder: NetworkFolder, nodes: Sequence[NodeSpec], load: Description | None = None
) -> list[Outcome]:
    """Start nodes, and the transaction workload of a network if its description is given.

    Returns:
        How each start ended; those that were neither ready nor gone in time are missing.
    """
    jobs = [Job(node.name, folder.node(node.name).log, _node_main(folder, node)) for node in nodes]
    if load is not None and load.spec.load_tps:
        folder.load.mkdir(exist_ok=True)
        jobs.append(Job(LOAD, folder.load / "load.log", _load_main(folder, load)))
    return wait_until_ready(start_all(jobs), READY_TIMEOUT_S)


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
