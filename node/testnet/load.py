"""The process that sends a network's transaction workload.

It asks running nodes that take transactions, one after the other, over their RPC port, and leaves
out those that do not answer. Nothing it does is worth saving: it ends at the first signal.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import cycle
from typing import Final

import structlog

from node.errors import UnreachableError
from node.process import ProcessRecord, own_start_time
from node.rpc.client import Call, RpcClient, RpcError
from node.testnet.layout import Description, NetworkFolder
from node.testnet.spec import STATE_PROFILES
from node.testnet.workload import Pacer, Workload
from node.version import VERSION

log = structlog.get_logger("load")

TICK_S: Final = 0.1
"""Between two batches: smooth enough for blocks of a tenth of a second."""

BATCH: Final = 100
"""Transactions in one request, the most that a node takes."""

TIMEOUT_S: Final = 5.0
REPORT_S: Final = 10.0


def run_load(folder: NetworkFolder, description: Description, ready: Callable[[], None]) -> int:
    """Send transactions until the process is ended. Returns an exit code only if there are none."""
    spec = description.spec
    targets = [
        f"127.0.0.1:{description.ports[node.name].rpc}"
        for node in spec.nodes
        if node.profile in STATE_PROFILES
    ]
    sender = _Sender(targets)
    _record(folder)
    ready()
    network, height = sender.wait_for_network()
    workload = Workload(seed=spec.seed, network=network, accounts=spec.load_accounts)
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
    """Spreads calls over the nodes that answer."""

    def __init__(self, targets: Sequence[str]) -> None:
        self._clients = [RpcClient(target, timeout_s=TIMEOUT_S) for target in targets]
        self._turn = cycle(self._clients)
        self.accepted = 0
        self.refused = 0

    def wait_for_network(self) -> tuple[int, int]:
        """Return the network id and head height of the first node that answers."""
        while True:
            for client in self._next_clients():
                with suppress(UnreachableError, RpcError):
                    network = client.call("getNetworkId")
                    return int(network["data"]), int(network["metadata"]["blockNumber"])
            time.sleep(TICK_S)

    def height(self, last: int) -> int:
        """Return the head height of the next node that answers, or the last one known."""
        for client in self._next_clients():
            with suppress(UnreachableError, RpcError):
                return int(client.call("getBlockNumber")["data"])
        return last

    def send(self, calls: Sequence[Call]) -> None:
        """Send transactions; those that no node takes are counted as refused."""
        for start in range(0, len(calls), BATCH):
            self._send_batch(calls[start : start + BATCH])

    def _send_batch(self, calls: Sequence[Call]) -> None:
        for client in self._next_clients():
            with suppress(UnreachableError):
                results = client.batch(calls)
                refused = sum(isinstance(result, RpcError) for result in results)
                self.refused += refused
                self.accepted += len(results) - refused
                return
        self.refused += len(calls)

    def _next_clients(self) -> Iterator[RpcClient]:
        """Return each client once, from the next in turn on."""
        return (next(self._turn) for _ in self._clients)


def _record(folder: NetworkFolder) -> None:
    record = ProcessRecord(
        pid=os.getpid(),
        start_time=own_start_time(),
        peer_id="",
        addresses=(),
        rpc="",
        network=folder.path.name,
        genesis="",
        profile="load",
        version=VERSION,
    )
    record.save(folder.load)
