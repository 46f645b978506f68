"""Accounts, transactions and old blocks: from a node that has them, and from one that asks."""

import json
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import Result

from node.accounts.transaction import Transaction
from node.rpc.server import RpcServer, bind
from tests.build.keys import address
from tests.build.proofs import honest
from tests.cli.running import StatusView, invoke, outside
from tests.node.serve.chains import epochs

pytestmark = pytest.mark.network

OWNER = address(1).hex()
ABSENT = "33" * 20
LEAF = Transaction.decode(epochs().transactions(1)[0]).hash.hex()


@pytest.fixture
def full() -> StatusView:
    return StatusView(epochs().chain)


@pytest.fixture
def light() -> StatusView:
    return StatusView(epochs().light(), provers={"peer": honest(epochs().chain)})


async def ask(nursery: trio.Nursery, view: StatusView, *arguments: str) -> Result:
    server = RpcServer(view, bind("127.0.0.1:0"), "token")
    await nursery.start(server.run)
    shown = await outside(lambda: invoke(*arguments, "--rpc", server.address))
    nursery.cancel_scope.cancel()
    return shown


def proof(height: int) -> dict[str, Any]:
    return {"block": epochs().at(height).hex(), "number": height, "peer": "peer"}


async def test_an_account_of_a_node_with_state(nursery: trio.Nursery, full: StatusView) -> None:
    shown = await ask(nursery, full, "account", "get", OWNER, "-o", "json")
    balance = full.chain.account(address(1)).balance
    expected = {"address": OWNER, "balance": balance, "blockNumber": 30, "proof": None}
    assert (shown.exit_code, json.loads(shown.stdout)) == (0, expected)


@pytest.mark.parametrize("output", ["json", "ndjson"])
async def test_an_account_that_is_proven(
    nursery: trio.Nursery, light: StatusView, output: str
) -> None:
    shown = await ask(nursery, light, "account", "get", ABSENT, "-o", output)
    expected = {"address": ABSENT, "balance": 0, "blockNumber": 28, "proof": proof(28)}
    assert (shown.exit_code, json.loads(shown.stdout)) == (0, expected)


async def test_an_account_as_a_table(nursery: trio.Nursery, light: StatusView) -> None:
    shown = await ask(nursery, light, "account", "get", ABSENT)
    assert shown.stdout.splitlines() == [
        f"address      {ABSENT}",
        "balance      0",
        "blockNumber  28",
        f"proof        block {epochs().at(28).hex()}, number 28, peer peer",
    ]


async def test_a_transaction_of_our_own(nursery: trio.Nursery, full: StatusView) -> None:
    shown = json.loads((await ask(nursery, full, "tx", "get", LEAF, "-o", "json")).stdout)
    assert (shown["hash"], shown["blockNumber"], shown["proof"]) == (LEAF, 1, None)


async def test_a_transaction_that_is_proven(nursery: trio.Nursery, light: StatusView) -> None:
    shown = json.loads((await ask(nursery, light, "tx", "get", LEAF, "-o", "json")).stdout)
    assert (shown["hash"], shown["blockNumber"], shown["proof"]) == (LEAF, None, proof(12))


@pytest.mark.parametrize("which", ["14", epochs().at(14).hex()])
async def test_an_old_block_that_is_proven(
    nursery: trio.Nursery, light: StatusView, which: str
) -> None:
    asked = await ask(nursery, light, "block", "get", which, "--body", "-o", "ndjson")
    shown = json.loads(asked.stdout)
    assert (shown["number"], shown["hash"]) == (14, epochs().at(14).hex())
    assert (shown["justification"], shown["proof"]) == (None, proof(12))


async def test_the_tail_is_what_a_node_keeps(nursery: trio.Nursery, light: StatusView) -> None:
    shown = await ask(nursery, light, "block", "tail", "-n", "30", "-o", "json")
    numbers = [block["number"] for block in json.loads(shown.stdout)]
    assert numbers == [12, *range(24, 31)]


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("account", "get", OWNER), f"account {OWNER}: no peer is connected that proves accounts"),
        (("tx", "get", LEAF), f"transaction {LEAF}: no peer is connected that proves transactions"),
        (("block", "get", "14"), "block 14: no peer is connected that proves old blocks"),
    ],
)
async def test_nobody_proves_it(
    nursery: trio.Nursery, light: StatusView, arguments: tuple[str, ...], line: str
) -> None:
    light.provers = {}
    shown = await ask(nursery, light, *arguments)
    assert (shown.exit_code, shown.stdout, shown.stderr) == (8, "", f"headway: {line}\n")


async def test_a_transaction_that_nobody_knows(nursery: trio.Nursery, light: StatusView) -> None:
    shown = await ask(nursery, light, "tx", "get", "ab" * 32)
    assert shown.exit_code == 8
    assert shown.stderr == (f"headway: transaction {'ab' * 32}: no peer that was asked knows it\n")


def test_what_is_no_address_and_no_hash() -> None:
    for arguments in (("account", "get", "xy"), ("account", "get", LEAF), ("tx", "get", OWNER)):
        assert invoke(*arguments, "--rpc", "127.0.0.1:1").exit_code == 2


def test_nobody_there(tmp_path: Path) -> None:
    for arguments in (("account", "get", OWNER), ("tx", "get", LEAF), ("block", "get", "14")):
        missing = invoke(*arguments, "--data-dir", tmp_path)
        assert (missing.exit_code, missing.stderr) == (6, f"headway: no node runs in {tmp_path}\n")


@pytest.mark.parametrize("command", ["account", "tx", "block"])
def test_help(command: str) -> None:
    shown = invoke(command, "get", "--help")
    assert shown.exit_code == 0
    assert "one of them proves" in " ".join(shown.stdout.split())
