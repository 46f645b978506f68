"""The process that sends a network's transaction workload.

It asks running nodes that take transactions, one after the other, over their RPC port, and leaves
out those that do not answer. Nothing it does is worth saving: it ends at the first signal.
"""

import time
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from node.rpc.client import Call, RpcError
from node.testnet.helpers import record_helper
from node.testnet.layout import Description, NetworkFolder
from node.testnet.nodes import Nodes
from node.testnet.spec import STATE_PROFILES
from node.testnet.workload import Pacer, Workload

log = structlog.get_logger("load")

TICK_S: Final = 0.1
"""Between two batches: smooth enough for blocks of a tenth of a second."""

BATCH: Final = 100
"""Transactions in one request, the most that a node takes."""

REPORT_S: Final = 10.0


def run_load(folder: NetworkFolder, description: Description, ready: Callable[[], None]) -> int:
    """Send transactions until the process is ended. Returns an exit code only if there are none."""
    spec = description.spec
    able = [node for node in spec.nodes if node.profile in STATE_PROFILES]
    targets = [f"127.0.0.1:{description.ports[node.name].rpc}" for node in able]
    sender = _Sender(Nodes(targets))
    record_helper(folder.load, folder.path.name, "load")
    ready()
    network, height = sender.wait_for_network()
    workload = Workload(
        seed=spec.seed, network=network, accounts=spec.load_accounts, holders=spec.holders
    )
    start = time.monotonic()
    pacer = Pacer(spec.load_tps, start)
    next_report = start + REPORT_S
    while True:
        time.sleep(TICK_S)
        if due := pacer.due(time.monotonic()):
            height = sender.height(height)
            calls = [
                Call("sendRawTransaction", [transaction.encode().hex()])
                for transaction in workload.take(due, height)
            ]
            sender.send(calls)
        if time.monotonic() >= next_report:
            log.info("load", accepted=sender.accepted, refused=sender.refused, height=height)
            next_report += REPORT_S


class _Sender:
    """Spreads transactions over the nodes that answer."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.accepted = 0
        self.refused = 0

    def wait_for_network(self) -> tuple[int, int]:
        """Return the network id and head height of the first node that answers."""
        while True:
            answer = self._nodes.ask(lambda client: client.call("getNetworkId"))
            if answer is not None:
                return int(answer["data"]), int(answer["metadata"]["blockNumber"])
            time.sleep(TICK_S)

    def height(self, last: int) -> int:
        """Return the head height of the next node that answers, or the last one known."""
        height = self._nodes.height()
        return last if height is None else height

    def send(self, calls: Sequence[Call]) -> None:
        """Send transactions; those that no node takes are counted as refused."""
        for start in range(0, len(calls), BATCH):
            self._send_batch(calls[start : start + BATCH])

    def _send_batch(self, calls: Sequence[Call]) -> None:
        results = self._nodes.ask(lambda client: client.batch(calls))
        refused = len(calls)
        if results is not None:
            refused = sum(isinstance(result, RpcError) for result in results)
        self.refused += refused
        self.accepted += len(calls) - refused
