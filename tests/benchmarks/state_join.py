"""A full node that fetches the accounts of a prepared chain, in a process of its own."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

import trio

from node.app import Node
from node.chain.chain import Chain
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.profiles import Profile
from node.services.clock import SystemClock
from node.services.workers import let_threads_alternate
from node.storage.disk import DiskStore
from node.testnet.ports import free_ports
from node.testnet.processes import kill_processes
from node.testnet.zygote import Job, start_all, wait_until_ready
from tests.benchmarks.processes import (
    Main,
    address_of,
    anonymous_bytes,
    make_node,
    run_to_the_end,
    with_peer,
)
from tests.benchmarks.state_server import Live, Served, serve_state
from tests.benchmarks.state_source import genesis_of, make_source

TIMEOUT_S: Final = 900
LOOK_S: Final = 0.01
"""Between two looks at how far the client is."""

FACTS_S: Final = 0.1
"""Between two looks that cost a millisecond: at its memory and its status."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a client has measured."""

    seconds: float
    """From its first peer until it had the state."""
    accounts: int
    served: int
    """Accounts that the server has sent, in all runs of the client."""
    change_bytes: int
    """Of answers about what blocks change."""
    behind: int
    """Blocks of the server's chain above the client's head, when it had the state."""
    blocks: int
    """That the server's chain has grown meanwhile."""
    pivots: int
    bytes: int
    """That the client has received, in its last run."""
    memory: float
    """Bytes of its own, at most, in its last run."""
    processor_s: float
    """Of the client, in its last run."""


@contextmanager
def source_of(accounts: int, later: dict[int, int]) -> Iterator[Path]:
    """Make a source as `make_source` does, for a while."""
    with TemporaryDirectory() as text:
        folder = Path(text)

        def main(ready: Callable[[], None]) -> int:
            make_source(folder, accounts, later)
            ready()
            return 0

        # In a process of its own: its memory is not to be in that of the nodes forked here.
        run_to_the_end(folder, [Job("source", folder / "source.log", main)], TIMEOUT_S)
        yield folder


def join(
    source: Path,
    *,
    live: Live | None = None,
    pivot_interval: int | None = None,
    killed_at: float | None = None,
) -> Seen:
    """Have a client join, and return what it has seen.

    Args:
        source: Where the server's chain is.
        live: How that chain moves meanwhile.
        pivot_interval: Of the client.
        killed_at: Part of the accounts, 0..1, with which the client is killed the first time.
    """
    with TemporaryDirectory() as text:
        folder = Path(text)
        shutil.copytree(source / "data", folder / "server")
        (port,) = free_ports(1, Random())
        server = Job("server", folder / "server.log", _server(source, folder, port, live))
        client = Job(
            "client", folder / "client.log", _client(source, folder, port, pivot_interval, None)
        )
        before = 0.0
        if killed_at is None:
            run_to_the_end(folder, [server, client], TIMEOUT_S)
        else:
            first = _client(source, folder, port, pivot_interval, killed_at)
            children = start_all([server])
            try:
                _until_killed(Job("client", folder / "client.log", first))
                before = float((folder / "killed").read_text())
                run_to_the_end(folder, [client], TIMEOUT_S)
            finally:
                kill_processes({each.name: each.pid for each in children}, timeout_s=10)
        seen: dict[str, Any] = json.loads((folder / "seen.json").read_text())
        return Seen(**{**seen, "seconds": before + seen["seconds"]})


def _until_killed(job: Job) -> None:
    (outcome,) = wait_until_ready(start_all([job]), TIMEOUT_S)
    if outcome.exit_code != -signal.SIGKILL:
        raise RuntimeError(f"the client was not killed: {outcome}\n{job.log.read_text()}")


def _server(source: Path, folder: Path, port: int, live: Live | None) -> Main:
    def main(ready: Callable[[], None]) -> int:
        let_threads_alternate()
        told = folder / "told"
        trio.run(serve_state, source, folder / "server", port, live, told, ready)
        return 0

    return main


def _client(
    source: Path, folder: Path, port: int, pivot_interval: int | None, killed_at: float | None
) -> Main:
    def main(ready: Callable[[], None]) -> int:
        let_threads_alternate()
        genesis = genesis_of(source)
        store = DiskStore(folder / "client")
        Chain.open(
            store,
            genesis,
            retention=Retention.WINDOW,
            keeps_state=True,
            clock=SystemClock(),
            key_cache=KeyCache(),
            starts_without_state=True,
        )
        make = make_node(
            genesis,
            store,
            Profile.FULL,
            "client",
            seeds=(address_of("server", port),),
            pivot_interval=pivot_interval,
        )
        trio.run(with_peer, make, _Watch(folder, killed_at).run)
        ready()
        return 0

    return main


class _Watch:
    """Looks at a client until it has the state, or kills it."""

    def __init__(self, folder: Path, killed_at: float | None) -> None:
        self._folder = folder
        self._killed_at = killed_at
        self._memory = 0.0
        self._state: dict[str, Any] = {}

    async def run(self, node: Node) -> None:
        start, processor = trio.current_time(), time.process_time()
        next_facts = start
        while not node.chain.has_state:
            if trio.current_time() >= next_facts:
                next_facts = trio.current_time() + FACTS_S
                self._look(node, start)
            await trio.sleep(LOOK_S)
        seconds = trio.current_time() - start
        served = Served.read(self._folder / "told")
        seen = Seen(
            seconds=seconds,
            accounts=self._state["total"] or 0,
            served=served.accounts,
            change_bytes=served.change_bytes,
            behind=served.height - node.chain.head.number,
            blocks=served.height - served.first,
            pivots=self._state["pivots"],
            bytes=sum(peer.bytes_in for peer in node.peers.values()),
            memory=self._memory,
            processor_s=time.process_time() - processor,
        )
        (self._folder / "seen.json").write_text(json.dumps(asdict(seen)))

    def _look(self, node: Node, start: float) -> None:
        self._memory = max(self._memory, anonymous_bytes())
        self._state = node.status()["state_sync"] or self._state
        total = self._state.get("total")
        if self._killed_at is None or total is None:
            return
        if self._state["accounts"] >= self._killed_at * total:
            (self._folder / "killed").write_text(str(trio.current_time() - start))
            os.kill(os.getpid(), signal.SIGKILL)
