"""What can be done with a network from outside: ask, wait, stop.

Nothing here imports libp2p or runs an event loop, so commands that use it start fast.
"""

import queue
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final

from node.errors import UnreachableError
from node.process import ProcessRecord
from node.rpc.client import RpcClient, RpcError
from node.testnet.expression import Condition, Facts, holds
from node.testnet.late import waiting_nodes
from node.testnet.layout import NetworkFolder
from node.testnet.processes import end_processes
from node.testnet.spec import NodeSpec

STATUS_TIMEOUT_S: Final = 3.0
"""A node that does not answer within this is shown as not answering. Longer than a node holds a
question for news."""

STOP_TIMEOUT_S: Final = 10.0
"""Longer than a node's own bound for a graceful stop."""

NEWS_TIMEOUT_S: Final = 2.0
"""How long a node holds a question for news before it answers that there are none."""

RETRY_S: Final = 0.1
"""Between two looks at a node that is not up yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeReport:
    """One node as seen from outside."""

    node: NodeSpec
    state: str
    """`running`, `stopped`, `crashed` (its process record is there, the process is not), `silent`
    (the process is there and does not answer) or `waiting` (it joins at a height to come)."""
    pid: int | None = None
    status: Mapping[str, Any] = field(default_factory=dict)
    """What the node says of itself; empty unless it runs."""

    @property
    def facts(self) -> Facts:
        """What conditions may ask of it."""
        status = self.status
        return {
            "name": self.node.name,
            "profile": self.node.profile,
            "state": self.state,
            "height": status.get("height"),
            "head": status.get("head"),
            "finalized": status.get("finalized"),
            "peers": status.get("peers"),
            "phase": status.get("phase"),
            "behind": status.get("behind"),
            "consensus": _yes_no(status.get("consensus")),
        }


def _yes_no(value: bool | None) -> str | None:  # noqa: FBT001 - a fact, not a switch.
    return None if value is None else ("yes" if value else "no")


def report(folder: NetworkFolder, nodes: Sequence[NodeSpec]) -> list[NodeReport]:
    """Ask all nodes at the same time."""
    if not nodes:
        return []
    with ThreadPoolExecutor(max_workers=min(len(nodes), 32)) as pool:
        return list(pool.map(lambda node: report_one(folder, node), nodes))


def report_one(folder: NetworkFolder, node: NodeSpec) -> NodeReport:
    """Ask one node."""
    record = ProcessRecord.load(folder.node(node.name).data)
    if record is None:
        state = "waiting" if waiting_nodes(folder, [node]) else "stopped"
        return NodeReport(node=node, state=state)
    if not record.is_alive():
        return NodeReport(node=node, state="crashed")
    try:
        with RpcClient(record.rpc, timeout_s=STATUS_TIMEOUT_S) as client:
            status = client.call("getStatus")["data"]
    except (UnreachableError, RpcError):
        return NodeReport(node=node, state="silent", pid=record.pid)
    return NodeReport(node=node, state="running", pid=record.pid, status=status)


def running(folder: NetworkFolder, names: Iterable[str]) -> dict[str, ProcessRecord]:
    """Return the process records of the nodes that are alive, by name."""
    found = {}
    for name in names:
        record = ProcessRecord.load(folder.node(name).data)
        if record is not None and record.is_alive():
            found[name] = record
    return found


def stop(folder: NetworkFolder, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Stop nodes gracefully, by force after a bound.

    Returns:
        Names of those that were running, and of those among them that had to be killed.
    """
    records = running(folder, names)
    pids = {name: record.pid for name, record in records.items()}
    return list(pids), end_processes(pids, timeout_s=STOP_TIMEOUT_S)


class Watch:
    """Follows nodes: each tells its news as soon as there are any.

    One thread for each node asks it for the next change and waits for the answer, so nothing is
    polled but nodes that are not up.
    """

    def __init__(self, folder: NetworkFolder, nodes: Sequence[NodeSpec]) -> None:
        self._folder = folder
        self._news: queue.Queue[NodeReport] = queue.Queue()
        self._stopping = threading.Event()
        self._unheard = {node.name for node in nodes}
        self.reports = {node.name: NodeReport(node=node, state="stopped") for node in nodes}
        """The newest report of each node, in the order given. Only once `is_complete`."""
        for node in nodes:
            # Daemon threads: a command that is done does not wait for a silent node.
            threading.Thread(target=self._follow, args=(node,), daemon=True).start()

    @property
    def is_complete(self) -> bool:
        """Whether every node has been heard of, or found not to answer."""
        return not self._unheard

    def wait_for(self, condition: Condition, timeout_s: float) -> bool:
        """Wait until a condition holds. Tells whether it came to hold in time."""
        deadline = time.monotonic() + timeout_s
        while not self.is_complete or not holds(condition, self._facts()):
            if not self.next_news(deadline - time.monotonic()):
                return False
        return True

    def next_news(self, timeout_s: float) -> bool:
        """Take in the next report. Tells whether one came in time."""
        try:
            news = self._news.get(timeout=max(timeout_s, 0))
        except queue.Empty:
            return False
        self.reports[news.node.name] = news
        self._unheard.discard(news.node.name)
        return True

    def close(self) -> None:
        """End the threads, each with the answer that it waits for."""
        self._stopping.set()

    def _facts(self) -> list[Facts]:
        return [each.facts for each in self.reports.values()]

    def _follow(self, node: NodeSpec) -> None:
        last: NodeReport | None = None
        while not self._stopping.is_set():
            record = ProcessRecord.load(self._folder.node(node.name).data)
            if record is not None and record.is_alive():
                self._follow_running(node, record)
                last = None
            now = report_one(self._folder, node)
            if now != last:
                self._news.put(now)
            last = now
            self._stopping.wait(RETRY_S)

    def _follow_running(self, node: NodeSpec, record: ProcessRecord) -> None:
        """Pass on the news of one process until it stops answering."""
        sequence = 0
        with RpcClient(record.rpc, timeout_s=STATUS_TIMEOUT_S) as client:
            while not self._stopping.is_set():
                question = {"after": sequence, "timeout_s": NEWS_TIMEOUT_S}
                try:
                    status = client.call("awaitStatus", question)["data"]
                except (UnreachableError, RpcError):
                    return
                if status["sequence"] != sequence:
                    sequence = status["sequence"]
                    self._news.put(
                        NodeReport(node=node, state="running", pid=record.pid, status=status)
                    )
