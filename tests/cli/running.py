"""A running node for commands to talk to: the real HTTP port over a chain made for the test."""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog
import trio
from click.testing import CliRunner, Result

from cli.main import main
from node.process import ProcessRecord, own_start_time
from node.rpc.server import RpcServer
from tests.node.rpc.fake_view import FakeView

T = TypeVar("T")

FACTS: dict[str, Any] = {
    "min_peers": 3,
    "peer_lists": {"live": 1},
    "profile": "full",
    "height": 5,
    "head": "ab" * 32,
    "finalized": 0,
    "consensus": True,
    "peers": 1,
    "phase": "live",
    "behind": 0,
    "sequence": 4,
}


@dataclass
class StatusView(FakeView):
    """A node whose status is told by the test."""

    news: tuple[Mapping[str, Any], ...] = (FACTS,)
    """What it says, one after the other; the last one stays."""

    def status(self) -> dict[str, Any]:
        return dict(self.news[0])

    async def status_after(self, sequence: int, timeout_s: float) -> dict[str, Any]:
        self.asked_after.append((sequence, timeout_s))
        if len(self.news) > 1:
            self.news = self.news[1:]
        return self.status()


def invoke(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Result:
    """Run a command in this process, as a shell would see it."""
    runner = CliRunner(env={"COLUMNS": "200", **(environment or {})})
    with logging_restored():
        return runner.invoke(main, [str(argument) for argument in arguments], prog_name="headway")


@contextmanager
def logging_restored() -> Iterator[None]:
    """Undo what `configure_logging` does to the process: loggers of later tests would keep it."""
    root = logging.getLogger()
    before = (root.handlers, root.level, logging.raiseExceptions)
    yield
    root.handlers, root.level, logging.raiseExceptions = before
    structlog.reset_defaults()


async def outside(action: Callable[[], T]) -> T:
    """Run something in a thread while the node serves."""
    with trio.fail_after(30):
        return await trio.to_thread.run_sync(action)


def write_record(folder: Path, server: RpcServer) -> ProcessRecord:
    """Leave what a running node leaves in its data folder."""
    record = ProcessRecord(
        pid=os.getpid(),
        start_time=own_start_time(),
        peer_id="12D3KooWself",
        addresses=(),
        rpc=server.address,
        network="testnet",
        genesis="00" * 32,
        profile="full",
        version="0.1.0",
    )
    record.save(folder)
    return record
