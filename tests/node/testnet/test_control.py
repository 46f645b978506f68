"""Asking the nodes of a network from outside, over a real HTTP port."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from node.process import ProcessRecord, own_start_time, start_time_of
from node.testnet import control
from node.testnet.control import (
    NodeReport,
    Watch,
    report,
    running,
    stop,
)
from node.testnet.expression import parse
from node.testnet.helpers import is_helper_running, stop_helper
from node.testnet.layout import NetworkFolder
from node.testnet.spec import groups_of, nodes_of

NODES = nodes_of(groups_of({"full": 2, "light": 1}), 1)
FULL_1, FULL_2, LIGHT_1 = NODES

STATUS = {
    "sequence": 1,
    "height": 5,
    "head": "ab",
    "finalized": 4,
    "peers": 2,
    "phase": "live",
    "behind": 0,
    "consensus": True,
}

BOUND_S = 30.0


@dataclass
class FakeNode:
    """Answers like a node. Its status changes when the test says so."""

    status: dict[str, Any] = field(default_factory=lambda: dict(STATUS))
    changed: threading.Condition = field(default_factory=threading.Condition)
    is_broken: bool = False
    asked_after: list[int] = field(default_factory=list)

    def become(self, **facts: object) -> None:
        with self.changed:
            self.status = {**self.status, **facts, "sequence": self.status["sequence"] + 1}
            self.changed.notify_all()

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        if call["method"] == "awaitStatus":
            with self.changed:
                after = call["params"]["after"]
                self.asked_after.append(after)
                self.changed.wait_for(lambda: self.status["sequence"] != after, timeout=0.2)
        if self.is_broken:
            return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": -1, "message": "broken"}}
        return {"jsonrpc": "2.0", "id": call["id"], "result": {"data": self.status}}

    @contextmanager
    def served(self) -> Iterator[str]:
        """Listen on a port; closed at the end."""
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                content = json.dumps(node.answer(json.loads(body))).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # Its threads end with the connections of a watch, which may be later than the test.
        server.daemon_threads = True
        server.block_on_close = False
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "{}:{}".format(*server.server_address[:2])
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def folder(tmp_path: Path) -> NetworkFolder:
    folder = NetworkFolder(tmp_path / "demo")
    for node in NODES:
        folder.node(node.name).data.mkdir(parents=True)
    folder.load.mkdir()
    return folder


def record_of(rpc: str, *, pid: int | None = None, start_time: int | None = None) -> ProcessRecord:
    return ProcessRecord(
        pid=os.getpid() if pid is None else pid,
        start_time=own_start_time() if start_time is None else start_time,
        peer_id="12D3KooW",
        addresses=(),
        rpc=rpc,
        network="demo",
        genesis="00",
        profile="full",
        version="0",
    )


@contextmanager
def a_process(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """Run something that waits to be ended."""
    script = "import signal; print('up', flush=True); signal.pause()"
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        try:
            yield process
        finally:
            process.kill()


def test_what_a_node_may_be(folder: NetworkFolder) -> None:
    node = FakeNode()
    with node.served() as rpc:
        record_of(rpc).save(folder.node("full-1").data)
        # The process id is taken, but by a later process.
        record_of(rpc, start_time=1).save(folder.node("full-2").data)
        assert report(folder, NODES) == [
            NodeReport(node=FULL_1, state="running", pid=os.getpid(), status=STATUS),
            NodeReport(node=FULL_2, state="crashed"),
            NodeReport(node=LIGHT_1, state="stopped"),
        ]
        node.is_broken = True
        assert report(folder, [FULL_1]) == [
            NodeReport(node=FULL_1, state="silent", pid=os.getpid())
        ]
    # Nobody listens there any more.
    assert [each.state for each in report(folder, [FULL_1])] == ["silent"]
    assert report(folder, []) == []


def test_a_node_that_hangs_is_silent(
    folder: NetworkFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "STATUS_TIMEOUT_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        record_of(f"127.0.0.1:{mute.getsockname()[1]}").save(folder.node("full-1").data)
        assert report(folder, [FULL_1]) == [
            NodeReport(node=FULL_1, state="silent", pid=os.getpid())
        ]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"pid": 1}', "\x00"])
def test_a_record_that_cannot_be_read_is_none(folder: NetworkFolder, text: str) -> None:
    (folder.node("full-1").data / "process.json").write_text(text)
    assert [each.state for each in report(folder, [FULL_1])] == ["stopped"]


def test_the_facts_that_conditions_ask_for() -> None:
    there = NodeReport(node=FULL_1, state="running", pid=1, status=STATUS)
    assert there.facts == {
        "name": "full-1",
        "profile": "full",
        "state": "running",
        "height": 5,
        "head": "ab",
        "finalized": 4,
        "peers": 2,
        "phase": "live",
        "behind": 0,
        "consensus": "yes",
    }
    gone = NodeReport(node=LIGHT_1, state="crashed").facts
    assert {name for name, fact in gone.items() if fact is not None} == {"name", "profile", "state"}


def test_those_that_run_are_stopped(folder: NetworkFolder) -> None:
    with a_process() as process:
        start_time = start_time_of(process.pid)
        record = record_of("127.0.0.1:1", pid=process.pid, start_time=start_time)
        record.save(folder.node("full-1").data)
        record_of("127.0.0.1:1", start_time=1).save(folder.node("full-2").data)
        assert running(folder, [node.name for node in NODES]) == {"full-1": record}

        # A zombie until its parent, this test, asks for it: that counts as gone.
        assert stop(folder, [node.name for node in NODES]) == (["full-1"], [])
        assert running(folder, [node.name for node in NODES]) == {}
        assert stop(folder, [node.name for node in NODES]) == ([], [])
        assert process.wait(BOUND_S) == -15


def test_the_workload_is_stopped_once(folder: NetworkFolder) -> None:
    assert not is_helper_running(folder.load)
    assert stop_helper(folder.load) is False
    with a_process() as process:
        start_time = start_time_of(process.pid)
        record_of("", pid=process.pid, start_time=start_time).save(folder.load)
        assert is_helper_running(folder.load)
        assert stop_helper(folder.load) is True
        assert process.wait(BOUND_S) == -15
    assert ProcessRecord.load(folder.load) is None
    # What a crash leaves is cleared away.
    record_of("", start_time=1).save(folder.load)
    assert not is_helper_running(folder.load)
    assert stop_helper(folder.load) is False
    assert ProcessRecord.load(folder.load) is None


def test_a_watch_tells_news_until_the_condition_holds(folder: NetworkFolder) -> None:
    node = FakeNode()
    with node.served() as rpc:
        record_of(rpc).save(folder.node("full-1").data)
        watch = Watch(folder, [FULL_1])
        assert watch.wait_for(parse("height >= 5"), BOUND_S)
        assert not watch.wait_for(parse("height >= 6"), 0.05)
        node.become(height=6)
        assert watch.wait_for(parse("height >= 6"), BOUND_S)
        assert watch.reports["full-1"].status["sequence"] == 2
        # It asked for what comes after what it knew.
        assert node.asked_after[0] == 0
        assert set(node.asked_after[1:]) <= {1, 2}

        # The process goes away, and another takes its place.
        record_of(rpc, start_time=1).save(folder.node("full-1").data)
        node.is_broken = True
        assert watch.wait_for(parse("state == crashed"), BOUND_S)
        node.is_broken = False
        record_of(rpc).save(folder.node("full-1").data)
        assert watch.wait_for(parse("state == running and height == 6"), BOUND_S)
        watch.close()


def test_a_watch_of_all_nodes_waits_for_each(folder: NetworkFolder) -> None:
    first, second = FakeNode(), FakeNode()
    with first.served() as one, second.served() as two:
        record_of(one).save(folder.node("full-1").data)
        watch = Watch(folder, [FULL_1, FULL_2])
        assert watch.wait_for(parse("any(height >= 5)"), BOUND_S)
        assert not watch.wait_for(parse("height >= 5"), 0.05)
        assert [each.state for each in watch.reports.values()] == ["running", "stopped"]
        # A node that starts later is found.
        record_of(two).save(folder.node("full-2").data)
        assert watch.wait_for(parse("height >= 5"), BOUND_S)
        watch.close()


def test_reports_differ_by_what_a_node_says() -> None:
    one = NodeReport(node=FULL_1, state="running", pid=1, status=STATUS)
    assert one == replace(one)
    assert one != replace(one, status={**STATUS, "height": 6})
