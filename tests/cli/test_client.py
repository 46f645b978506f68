"""Commands that ask a running node."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import Result

from node.accounts.transaction import Transaction
from node.process import FILE_NAME
from node.rpc.server import RpcServer, bind, load_token
from tests.build.chain import ChainBuilder
from tests.build.keys import address
from tests.cli.running import FACTS, StatusView, invoke, outside, write_record

pytestmark = pytest.mark.network


@pytest.fixture
def view() -> StatusView:
    return StatusView(ChainBuilder().chain)


@pytest.fixture
async def server(view: StatusView, nursery: trio.Nursery, tmp_path: Path) -> RpcServer:
    server = RpcServer(view, bind("127.0.0.1:0"), load_token(tmp_path))
    await nursery.start(server.run)
    return server


async def _ask(server: RpcServer, *arguments: str | Path) -> Result:
    return await outside(lambda: invoke(*arguments, "--rpc", server.address))


async def test_status(server: RpcServer) -> None:
    shown = await _ask(server, "status", "-o", "json")
    assert (shown.exit_code, json.loads(shown.stdout)) == (0, FACTS)
    assert "phase       live\n" in (await _ask(server, "status")).stdout


async def test_watching_ends_when_the_node_does(view: StatusView, server: RpcServer) -> None:
    """Each change is one line; a node that goes away ends it with 6."""
    later: dict[str, Any] = {**FACTS, "height": 6, "sequence": 5}
    unreadable: dict[str, Any] = {}
    view.news = (FACTS, FACTS, later, unreadable)
    shown = await _ask(server, "status", "--watch")
    assert [line.split()[0] for line in shown.stdout.splitlines()] == ["height=5", "height=6"]
    assert view.asked_after == [(4, 10.0), (4, 10.0), (5, 10.0)]


async def test_a_state_sync_that_is_over_stays_in_the_table(
    view: StatusView, server: RpcServer
) -> None:
    assert "state synced" not in (await _ask(server, "sync")).stdout
    record = {"accounts": 1000, "seconds": 2.345, "pivots": 3, "height": 241, "blocks_behind": 0}
    view.news = ({**FACTS, "state_synced": record},)
    shown = (await _ask(server, "sync")).stdout
    assert "1000 accounts in 2.3 s, 3 pivots, at 241, 0 blocks behind\n" in shown
    assert json.loads((await _ask(server, "sync", "-o", "json")).stdout)["state_synced"] == record


async def test_health(view: StatusView, server: RpcServer) -> None:
    assert (await _ask(server, "health")).exit_code == 0
    searching = {**FACTS, "consensus": False, "phase": "searching"}
    view.news = (searching,)
    shown = await _ask(server, "health")
    assert shown.exit_code == 7
    assert shown.stderr == (
        "headway: not ready: phase searching, 1 live peers of 3 that it needs\n"
    )
    assert view.asked_after == []
    view.news = (searching, searching, FACTS)
    assert (await _ask(server, "health", "--timeout", "1m")).exit_code == 0
    assert view.asked_after == [(4, 10.0), (4, 10.0)]


async def test_peers(server: RpcServer) -> None:
    (peer,) = json.loads((await _ask(server, "peers", "-o", "json")).stdout)
    assert (peer["list"], peer["services"]) == ("live", ["HEADERS", "BODIES"])
    assert "ooWother" in (await _ask(server, "peers")).stdout


@pytest.mark.parametrize("which", ["0", "latest", "HASH"])
async def test_block_get(which: str, view: StatusView, server: RpcServer) -> None:
    genesis = view.chain.genesis.hex()
    shown = await _ask(
        server, "block", "get", which.replace("HASH", genesis), "--body", "-o", "json"
    )
    assert json.loads(shown.stdout)["hash"] == genesis


async def test_a_block_that_does_not_exist(server: RpcServer) -> None:
    shown = await _ask(server, "block", "get", "7")
    assert (shown.exit_code, shown.stderr) == (8, "headway: no block 7; the head is 0\n")
    assert (await _ask(server, "block", "get", "nine")).exit_code == 2


async def test_block_tail(server: RpcServer) -> None:
    shown = await _ask(server, "block", "tail")
    header, genesis = shown.stdout.splitlines()
    assert header.split() == ["NUMBER", "TYPE", "HASH", "TIME", "TXS", "SIGNED"]
    assert genesis.split()[:2] == ["0", "election"]
    endless = await _ask(server, "block", "tail", "-f", "-o", "json")
    assert (endless.exit_code, endless.stdout) == (2, "")


async def test_rpc(server: RpcServer) -> None:
    shown = await _ask(server, "rpc", "getBlockByNumber", "[0, false]")
    assert json.loads(shown.stdout)["data"]["number"] == 0
    assert (await _ask(server, "rpc", "frob")).exit_code == 1
    assert (await _ask(server, "rpc", "getBlockNumber", "[")).exit_code == 2
    assert (await _ask(server, "rpc", "getBlockNumber", "1")).exit_code == 2


async def test_tx_send(view: StatusView, server: RpcServer, tmp_path: Path) -> None:
    keys = tmp_path / "sender.json"
    made = await outside(lambda: invoke("keys", "new", keys, "-o", "json"))
    recipient = address(1)
    shown = await _ask(server, "tx", "send", recipient.hex(), "7", "--fee", "2", "--keys", keys)
    (sent,) = view.submitted
    assert shown.stdout == sent.hash.hex() + "\n"
    expected = Transaction(
        sender_key=bytes.fromhex(json.loads(made.stdout)["signing_key"]),
        recipient=recipient,
        value=7,
        fee=2,
        validity_start=0,
        network=view.chain.network,
        signature=sent.signature,
    )
    assert sent == expected
    view.refusal = "insufficient_funds"
    refused = await _ask(server, "tx", "send", recipient.hex(), "7", "--keys", keys)
    assert (refused.exit_code, refused.stderr) == (9, "headway: insufficient_funds\n")
    assert (await _ask(server, "tx", "send", "xy", "7", "--keys", keys)).exit_code == 2


async def test_the_folder_tells_where_the_node_is(server: RpcServer, tmp_path: Path) -> None:
    write_record(tmp_path, server)
    by_folder = await outside(lambda: invoke("status", "--data-dir", tmp_path))
    assert by_folder.exit_code == 0
    settings = tmp_path / "config.toml"
    settings.write_text("data_dir = '.'", encoding="utf-8")
    assert (await outside(lambda: invoke("status", "--config", settings))).exit_code == 0


async def test_a_node_of_a_local_network(server: RpcServer, tmp_path: Path) -> None:
    networks = {"HEADWAY_NETWORKS": str(tmp_path / "networks")}
    for name in ("one", "two"):
        data = tmp_path / "networks" / name / "nodes" / "full-1" / "data"
        data.mkdir(parents=True)
        (tmp_path / "networks" / name / "network.json").touch()
        write_record(data, server)

    async def ask(node: str) -> Result:
        return await outside(lambda: invoke("status", "--node", node, environment=networks))

    assert (await ask("one/full-1")).exit_code == 0
    ambiguous = await ask("full-1")
    assert ambiguous.exit_code == 2
    assert "one/full-1, two/full-1" in ambiguous.stderr
    assert (await ask("full-2")).exit_code == 6
    assert (await ask("three/full-1")).exit_code == 6


async def test_shutdown_shows_the_token(
    view: StatusView, server: RpcServer, tmp_path: Path
) -> None:
    """The process of this test is the node's, so it does not end."""
    record = write_record(tmp_path, server)
    shown = await outside(lambda: invoke("shutdown", "--data-dir", tmp_path, "--timeout", "100ms"))
    assert shown.exit_code == 7
    assert shown.stderr == f"headway: process {record.pid} is still there after 0.1 s\n"
    assert view.stopped == 1
    (tmp_path / "rpc-token").write_text("wrong", encoding="ascii")
    refused = await outside(lambda: invoke("shutdown", "--data-dir", tmp_path))
    assert refused.exit_code == 9
    assert view.stopped == 1


def test_nobody_there(tmp_path: Path) -> None:
    for command in ("status", "health", "peers", "shutdown"):
        missing = invoke(command, "--data-dir", tmp_path)
        assert (missing.exit_code, missing.stderr) == (
            6,
            f"headway: no node runs in {tmp_path}\n",
        )
    (tmp_path / FILE_NAME).write_text(
        json.dumps(
            {
                "pid": 2**22 + 1,
                "start_time": 1,
                "peer_id": "",
                "addresses": [],
                "rpc": "127.0.0.1:1",
                "network": "",
                "genesis": "",
                "profile": "",
                "version": "",
            }
        ),
        encoding="utf-8",
    )
    crashed = invoke("status", "--data-dir", tmp_path)
    assert crashed.exit_code == 6
    assert "crashed" in crashed.stderr
    refused = invoke("status", "--rpc", "127.0.0.1:1")
    assert refused.exit_code == 6
    assert refused.stderr.startswith("headway: no node answers at 127.0.0.1:1")
    assert invoke("status", "--rpc", "localhost").exit_code == 2


@pytest.mark.parametrize(
    ("text", "is_good"),
    [("500ms", True), ("2", True), ("1.5s", True), ("2m", True), ("1h", True), ("x", False)],
)
def test_durations(text: str, is_good: bool) -> None:
    asked = invoke("status", "--rpc", "127.0.0.1:1", "--timeout", text)
    assert asked.exit_code == (6 if is_good else 2)
