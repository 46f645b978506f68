"""What users hear from a node that has not got its state yet: the truth, as its peers prove it."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.accounts.account import Account
from node.accounts.state_at import StateAt
from node.accounts.transaction import Transaction
from node.blocks.body import MicroBody
from node.rpc.json_rpc import Call, CallError
from node.rpc.methods import call
from node.storage.store import Table
from protocols.types import Address
from tests.build.blocks import transaction
from tests.build.keys import address
from tests.sim.nodes import Nodes, SimNode
from tests.sim.test_state_joining import busy_network, is_live


async def ask(node: SimNode, method: str, *params: object) -> dict[str, Any]:
    result: dict[str, Any] = await call(node.node, Call(method, list(params)), is_admin=False)
    return result


def balance_after(node: SimNode, macro: int, owner: Address) -> int:
    """Return what an address owned after a final block, as a node with its state says."""
    with node.store.read() as reader:
        stored = StateAt(reader, macro).get(Table.ACCOUNTS, owner)
    return 0 if stored is None else Account.decode(stored).balance


def transaction_of(node: SimNode, newest: int) -> tuple[int, Transaction]:
    """Return a transaction of a final block, and its height."""
    for number in range(newest, 0, -1):
        block = node.node.chain.block(node.hash_at(number), with_body=True)
        if block is not None and isinstance(block.body, MicroBody) and block.body.transactions:
            return number, block.body.transactions[0]
    raise AssertionError("nobody has sent anything")


async def started(nursery: trio.Nursery, *, accounts: int) -> tuple[Nodes, SimNode]:
    """Return a network, and a node of it that fetches the state."""
    nodes = await busy_network(nursery, accounts_=accounts, range_leaves=24)
    late = nodes.nodes[-1]
    await nodes.start([late.spec.name])
    await nodes.until(lambda: late.node.status()["state_sync"] is not None, within_s=20)
    assert not late.node.chain.has_state
    return nodes, late


def spoil(node: SimNode) -> None:
    """Make what a node has of the state worth nothing: nobody may hear of it."""
    with node.store.write() as writer:
        for key, _ in list(writer.scan(Table.ACCOUNTS)):
            writer.put(Table.ACCOUNTS, key, Account(1).encode())


async def test_accounts_are_proven_by_peers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await started(nursery, accounts=1500)
    proven = 0
    while not is_live(late):
        answer = await ask(late, "getAccountByAddress", address(0).hex())
        if "proof" in answer["metadata"]:
            number = answer["metadata"]["proof"]["number"]
            expected = balance_after(nodes.nodes[0], number, address(0))
            assert answer["data"]["balance"] == expected
            proven += 1
        await trio.sleep(0.5)
    assert proven >= 5
    answer = await ask(late, "getAccountByAddress", address(0).hex())
    assert "proof" not in answer["metadata"]
    nursery.cancel_scope.cancel()


async def test_half_a_state_is_never_told(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    nodes, late = await started(nursery, accounts=1500)
    quiet, coins = list(nodes.genesis.accounts.items())[-1]
    spoil(late)
    for _ in range(3):
        answer = await ask(late, "getAccountByAddress", quiet.hex())
        assert answer["data"]["balance"] == coins
        assert "proof" in answer["metadata"]
        await trio.sleep(0.5)
    nursery.cancel_scope.cancel()


async def test_transactions_and_blocks_are_told_too(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await started(nursery, accounts=1500)
    final = late.final_height
    height, wanted = transaction_of(nodes.nodes[0], final)
    answer = await ask(late, "getTransactionByHash", wanted.hash.hex())
    assert answer["data"]["hash"] == wanted.hash.hex()
    for number in (2, height, final):
        found = await ask(late, "getBlockByNumber", number)
        assert found["data"]["hash"] == nodes.nodes[0].hash_at(number).hex()
    head = await ask(late, "getLatestBlock", False)
    assert head["data"]["number"] == late.height
    with pytest.raises(CallError, match="no block"):
        await ask(late, "getBlockByNumber", late.height + 100)
    nursery.cancel_scope.cancel()


async def test_what_nobody_proves_is_one_line(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes, late = await started(nursery, accounts=1500)
    nodes.kill(node.spec.name for node in nodes.nodes if node is not late)
    await trio.sleep(1)
    told = "while this node fetches its state: no peer is connected that proves accounts"
    with pytest.raises(CallError, match=told):
        await ask(late, "getAccountByAddress", address(1).hex())
    sent = transaction(nonce=1, sender=1, recipient=2, validity_start=late.height)
    with pytest.raises(CallError, match="state"):
        await ask(late, "sendRawTransaction", sent.encode().hex())
    nursery.cancel_scope.cancel()
