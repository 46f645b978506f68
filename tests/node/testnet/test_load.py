"""Sending the workload over nodes that come and go."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from node.accounts.transaction import Transaction
from node.crypto.ed25519 import verify
from node.process import ProcessRecord
from node.rpc.client import Call
from node.testnet.layout import Description, NetworkFolder, NodePorts
from node.testnet.load import BATCH, _Sender
from node.testnet.nodes import Nodes
from node.testnet.spec import NetworkSpec, groups_of, nodes_of

NOBODY = "127.0.0.1:1"


@dataclass
class FakeNode:
    """Takes transactions, refuses those it is told to, and counts."""

    height: int = 5
    refuses: set[str] = field(default_factory=set)
    taken: list[str] = field(default_factory=list)
    has_taken: threading.Event = field(default_factory=threading.Event)

    def answer(self, call: dict[str, Any]) -> dict[str, Any]:
        match call["method"]:
            case "getNetworkId":
                result = {"data": 9, "metadata": {"blockNumber": self.height}}
            case "getBlockNumber":
                result = {"data": self.height}
            case _ if call["params"][0] in self.refuses:
                error = {"code": -32000, "message": "no"}
                return {"jsonrpc": "2.0", "id": call["id"], "error": error}
            case _:
                self.taken.append(call["params"][0])
                self.has_taken.set()
                result = {"data": True}
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    @contextmanager
    def served(self) -> Iterator[str]:
        node = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                several = isinstance(content, list)
                answers = [node.answer(call) for call in (content if several else [content])]
                body = json.dumps(answers if several else answers[0]).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield "{}:{}".format(*server.server_address[:2])
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def calls(count: int) -> list[Call]:
    return [Call("sendRawTransaction", [f"{number:04x}"]) for number in range(count)]


def test_nodes_take_turns() -> None:
    first, second = FakeNode(), FakeNode()
    with first.served() as one, second.served() as two:
        sender = _Sender(Nodes([one, two]))
        for _ in range(4):
            sender.send(calls(3))
    assert (len(first.taken), len(second.taken)) == (6, 6)
    assert (sender.accepted, sender.refused) == (12, 0)


def test_many_are_sent_in_several_requests() -> None:
    node = FakeNode()
    with node.served() as address:
        _Sender(Nodes([address])).send(calls(2 * BATCH + 1))
    assert node.taken == [call.params[0] for call in calls(2 * BATCH + 1)]  # type: ignore[index]


def test_nodes_that_do_not_answer_are_left_out() -> None:
    node = FakeNode()
    with node.served() as address:
        sender = _Sender(Nodes([NOBODY, address, NOBODY]))
        for _ in range(3):
            sender.send(calls(2))
        assert sender.height(3) == 5
    assert (sender.accepted, sender.refused) == (6, 0)


def test_what_is_refused_or_reaches_nobody_is_counted() -> None:
    node = FakeNode(refuses={"0001"})
    with node.served() as address:
        sender = _Sender(Nodes([address]))
        sender.send(calls(3))
    assert (sender.accepted, sender.refused) == (2, 1)
    sender.send(calls(4))
    assert (sender.accepted, sender.refused) == (2, 5)
    assert sender.height(7) == 7


def test_the_process_sends_signed_transfers_until_it_is_ended(tmp_path: Path) -> None:
    node = FakeNode(height=40)
    folder = NetworkFolder(tmp_path / "demo")
    folder.load.mkdir(parents=True)
    with node.served() as address:
        port = int(address.rpartition(":")[2])
        spec = NetworkSpec(
            name="demo", seed=3, nodes=nodes_of(groups_of({"full": 1, "light": 1}), 1), load_tps=100
        )
        # The light one, which takes none, is not asked: nobody listens there.
        ports = {"full-1": NodePorts(p2p=1, rpc=port), "light-1": NodePorts(p2p=1, rpc=1)}
        Description(spec=spec, ports=ports).save(folder)
        script = f"""
from pathlib import Path
from node.testnet.layout import Description, NetworkFolder
from node.testnet.load import run_load
folder = NetworkFolder(Path({str(folder.path)!r}))
run_load(folder, Description.load(folder), lambda: print("ready", flush=True))
"""
        with subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                record = ProcessRecord.load(folder.load)
                assert record is not None
                assert (record.pid, record.profile, record.is_alive()) == (
                    process.pid,
                    "load",
                    True,
                )
                assert node.has_taken.wait(30)
                os.kill(process.pid, signal.SIGTERM)
                assert process.wait(30) == -signal.SIGTERM
            finally:
                process.kill()
    transactions = [Transaction.decode(bytes.fromhex(each)) for each in node.taken]
    assert all((each.network, each.validity_start) == (9, 40) for each in transactions)
    assert all(verify(each.sender_key, each.hash, each.signature) for each in transactions)
