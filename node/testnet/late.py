"""The process that starts late nodes when the network has come to their height.

It has imported what a node needs, and forks each of them at its time. It ends with the last one.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from node.process import ProcessRecord
from node.testnet.helpers import record_helper
from node.testnet.layout import Description, NetworkFolder
from node.testnet.nodes import Nodes
from node.testnet.spec import NodeSpec

log = structlog.get_logger("late")

LOOK_S: Final = 0.1
"""Between two looks at the height: a block of the fastest networks takes as long."""


def waiting_nodes(folder: NetworkFolder, nodes: Sequence[NodeSpec]) -> list[NodeSpec]:
    """Return the late nodes that have never been started."""
    return [node for node in nodes if node.start_at and not folder.node(node.name).data.exists()]


def run_late(
    folder: NetworkFolder,
    description: Description,
    start: Callable[[Sequence[NodeSpec]], None],
    ready: Callable[[], None],
) -> int:
    """Start late nodes, each when a node of the network has reached its height.

    Args:
        folder: Of the network.
        description: Of the network.
        start: Starts nodes.
        ready: Called when the wait begins.

    Returns:
        Exit code, after the last one has been started.
    """
    ports = description.ports.values()
    nodes = Nodes([f"127.0.0.1:{both.rpc}" for both in ports])
    record_helper(folder.late, folder.path.name, "late")
    ready()
    waiting = waiting_nodes(folder, description.spec.nodes)
    while waiting:
        height = nodes.height() or 0
        due = [node for node in waiting if node.start_at <= height]
        if due:
            log.info("starting", nodes=[node.name for node in due], height=height)
            start(due)
        # Those that an operator has started by hand meanwhile are no longer waiting.
        left = [node for node in waiting if node not in due]
        waiting = waiting_nodes(folder, left)
        time.sleep(LOOK_S)
    ProcessRecord.remove(folder.late)
    return 0
