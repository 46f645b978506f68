"""The processes of a network that are no nodes: the workload, and what starts late nodes.

Each has a folder of its own with its log and its process.json, and ends at the first signal.
"""

import os
from pathlib import Path
from typing import Final

from node.process import ProcessRecord, own_start_time
from node.testnet.processes import end_processes
from node.version import VERSION

STOP_TIMEOUT_S: Final = 10.0
"""They have nothing to save, so it is never needed but on a machine that hangs."""


def record_helper(folder: Path, network: str, kind: str) -> None:
    """Write the process.json of this process, which does no more than name it."""
    record = ProcessRecord(
        pid=os.getpid(),
        start_time=own_start_time(),
        peer_id="",
        addresses=(),
        rpc="",
        network=network,
        genesis="",
        profile=kind,
        version=VERSION,
    )
    record.save(folder)


def is_helper_running(folder: Path) -> bool:
    """Tell whether the process that a folder belongs to runs."""
    record = ProcessRecord.load(folder)
    return record is not None and record.is_alive()


def stop_helper(folder: Path) -> bool:
    """Stop the process that a folder belongs to. Tells whether there was one."""
    record = ProcessRecord.load(folder)
    if record is None:
        return False
    is_alive = record.is_alive()
    if is_alive:
        end_processes({folder.name: record.pid}, timeout_s=STOP_TIMEOUT_S)
    ProcessRecord.remove(folder)
    return is_alive
