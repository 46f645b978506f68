"""What a node answers from its own store, and what it has peers prove."""

from typing import Any

import pytest

from node.accounts.transaction import Transaction
from node.rpc.json_rpc import NOT_FOUND, UNPROVEN, Call, CallError
from node.rpc.methods import call
from tests.build.keys import address
from tests.build.proofs import honest, silent
from tests.node.rpc.fake_view import FakeView
from tests.node.serve.chains import epochs

OWNER = address(1).hex()


def leaf(epoch: int, index: int) -> str:
    return Transaction.decode(epochs().transactions(epoch)[index]).hash.hex()


@pytest.fixture
def full() -> FakeView:
    return FakeView(epochs().chain)


@pytest.fixture
def light() -> FakeView:
    return FakeView(epochs().light(), provers={"full": honest(epochs().chain)})


async def ask(view: FakeView, method: str, *params: Any) -> dict[str, Any]:
    result: dict[str, Any] = await call(view, Call(method, list(params)), is_admin=False)
    assert result["metadata"]["blockNumber"] == view.chain.head.number
    return result


async def refused(view: FakeView, method: str, *params: Any) -> tuple[int, str]:
    with pytest.raises(CallError) as caught:
        await call(view, Call(method, list(params)), is_admin=False)
    return caught.value.code, caught.value.message


def proof(height: int) -> dict[str, Any]:
    return {"block": epochs().at(height).hex(), "number": height, "peer": "full"}


async def test_a_node_with_state_needs_nobody(full: FakeView) -> None:
    answer = await ask(full, "getAccountByAddress", OWNER)
    balance = full.chain.account(address(1)).balance
    assert answer["data"] == {"address": OWNER, "balance": balance}
    assert "proof" not in answer["metadata"]


async def test_an_account_at_the_macro_head(light: FakeView) -> None:
    answer = await ask(light, "getAccountByAddress", OWNER)
    then = epochs().builder.fork_from(epochs().at(28)).chain.account(address(1))
    assert answer["data"] == {"address": OWNER, "balance": then.balance}
    assert answer["metadata"]["proof"] == proof(28)


async def test_an_account_that_is_not_there_is_no_error(light: FakeView) -> None:
    answer = await ask(light, "getAccountByAddress", "33" * 20)
    assert answer["data"] == {"address": "33" * 20, "balance": 0}
    assert answer["metadata"]["proof"] == proof(28)


@pytest.mark.parametrize(("epoch", "index", "height"), [(1, 0, 1), (2, 16, 22), (3, 7, 29)])
async def test_transactions_of_our_own(full: FakeView, epoch: int, index: int, height: int) -> None:
    """Those above the macro head too."""
    answer = await ask(full, "getTransactionByHash", leaf(epoch, index))
    assert answer["data"]["hash"] == leaf(epoch, index)
    assert answer["data"]["blockNumber"] == height
    assert "proof" not in answer["metadata"]


async def test_transactions_that_a_peer_proves(full: FakeView, light: FakeView) -> None:
    own = (await ask(full, "getTransactionByHash", leaf(1, 0)))["data"]
    answer = await ask(light, "getTransactionByHash", leaf(1, 0))
    assert answer["data"] == own | {"blockNumber": None}
    assert answer["metadata"]["proof"] == proof(12)


async def test_a_transaction_that_nobody_knows(full: FakeView, light: FakeView) -> None:
    unknown = "ab" * 32
    assert await refused(full, "getTransactionByHash", unknown) == (
        NOT_FOUND,
        f"no transaction {unknown}",
    )
    assert await refused(light, "getTransactionByHash", unknown) == (
        NOT_FOUND,
        f"transaction {unknown}: no peer that was asked knows it",
    )


@pytest.mark.parametrize("with_body", [False, True])
async def test_blocks_that_a_peer_proves(full: FakeView, light: FakeView, with_body: bool) -> None:
    stored = (await ask(full, "getBlockByNumber", 14, with_body))["data"]
    by_number = await ask(light, "getBlockByNumber", 14, with_body)
    size = stored.pop("size")
    assert size > 0
    assert by_number["data"] == stored | {"justification": None}
    assert ("transactions" in by_number["data"]) is with_body
    assert by_number["metadata"]["proof"] == proof(12)
    assert await ask(light, "getBlockByHash", stored["hash"], with_body) == by_number


async def test_a_body_for_a_header_of_ours(full: FakeView, light: FakeView) -> None:
    stored = (await ask(full, "getBlockByNumber", 29, True))["data"]
    for method, which in (("getBlockByNumber", 29), ("getBlockByHash", stored["hash"])):
        answer = await ask(light, method, which, True)
        assert answer["data"] == stored
        assert answer["metadata"]["proof"] == proof(29)
        kept = await ask(light, method, which, False)
        assert "proof" not in kept["metadata"]


async def test_only_what_is_stored(light: FakeView) -> None:
    missing = "this node does not keep the body of that block"
    assert await refused(light, "getBlockByNumber", 29, True, False) == (NOT_FOUND, missing)
    assert await refused(light, "getLatestBlock", True) == (NOT_FOUND, missing)
    old = "this node does not keep block 14"
    assert await refused(light, "getBlockByNumber", 14, False, False) == (NOT_FOUND, old)
    by_hash = await refused(light, "getBlockByHash", epochs().at(14).hex(), False, False)
    assert by_hash == (NOT_FOUND, f"no block {epochs().at(14).hex()}")


async def test_one_line_says_why_nothing_is_proven(light: FakeView) -> None:
    light.provers = {}
    assert await refused(light, "getAccountByAddress", OWNER) == (
        UNPROVEN,
        f"account {OWNER}: no peer is connected that proves accounts",
    )
    light.provers = {"silent": silent, "light": honest(epochs().light())}
    assert await refused(light, "getBlockByNumber", 14) == (
        UNPROVEN,
        "block 14: no peer could prove it: 1 no answer, 1 pruned",
    )
    assert (await refused(light, "getBlockByNumber", 31))[1] == "no block 31; the head is 30"
