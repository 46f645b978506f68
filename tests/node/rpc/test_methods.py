"""The methods, over a real chain in memory."""

from typing import Any

import pytest

from node.rpc.json_rpc import (
    INVALID_PARAMS,
    METHOD_NOT_FOUND,
    NOT_FOUND,
    REFUSED,
    UNAUTHORIZED,
    Call,
    CallError,
)
from node.rpc.methods import call
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, light_chain
from tests.node.rpc.fake_view import FakeView


@pytest.fixture
def builder() -> ChainBuilder:
    builder = ChainBuilder()
    builder.extend(3)
    return builder


@pytest.fixture
def view(builder: ChainBuilder) -> FakeView:
    return FakeView(builder.chain)


async def _data(view: FakeView, method: str, *params: Any, is_admin: bool = False) -> Any:
    result = await call(view, Call(method, list(params)), is_admin=is_admin)
    assert result["metadata"]["blockNumber"] == view.chain.head.number
    return result["data"]


async def _code(view: FakeView, method: str, *params: Any) -> int:
    with pytest.raises(CallError) as caught:
        await call(view, Call(method, list(params)), is_admin=False)
    return caught.value.code


async def test_numbers(view: FakeView) -> None:
    assert await _data(view, "getBlockNumber") == 3
    assert await _data(view, "getBatchNumber") == 1
    assert await _data(view, "getEpochNumber") == 1
    assert await _data(view, "getNetworkId") == view.chain.network
    assert await _data(view, "getPeerCount") == 1
    assert await _data(view, "getPeerId") == "12D3KooWself"
    assert await _data(view, "isConsensusEstablished") is True


async def test_the_same_block_by_number_by_hash_and_as_the_latest(view: FakeView) -> None:
    by_number = await _data(view, "getBlockByNumber", 3, True)
    assert by_number["hash"] == view.chain.head.hash.hex()
    assert by_number["type"] == "micro"
    assert by_number["transactions"] == []
    assert await _data(view, "getBlockByHash", by_number["hash"], True) == by_number
    assert await _data(view, "getLatestBlock", True) == by_number
    assert "transactions" not in await _data(view, "getLatestBlock")


async def test_the_genesis_block_names_its_validators(view: FakeView) -> None:
    genesis = await _data(view, "getBlockByNumber", 0)
    assert genesis["type"] == "election"
    slots = sum(member["slots"] for member in genesis["validators"])
    assert slots == view.chain.policy.slots


async def test_what_is_not_there(view: FakeView, builder: ChainBuilder) -> None:
    assert await _code(view, "getBlockByNumber", 4) == NOT_FOUND
    assert await _code(view, "getBlockByHash", "00" * 32) == NOT_FOUND
    assert await _code(view, "getTransactionByHash", "00" * 32) == NOT_FOUND


async def test_what_is_no_longer_there(builder: ChainBuilder) -> None:
    light = light_chain(builder.genesis)
    builder.extend(9)
    builder.push_all(light)
    with pytest.raises(CallError, match="does not keep block 1") as caught:
        await call(FakeView(light), Call("getBlockByNumber", [1, False, False]), is_admin=False)
    assert caught.value.code == NOT_FOUND
    with pytest.raises(CallError, match="no block 13; the head is 12"):
        await call(FakeView(light), Call("getBlockByNumber", [13]), is_admin=False)


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getBlockByNumber", ()),
        ("getBlockByNumber", (-1,)),
        ("getBlockByNumber", (True,)),
        ("getBlockByNumber", (1, 1)),
        ("getBlockByNumber", (1, True, 2)),
        ("getBlockByHash", ("00",)),
        ("getBlockByHash", ("zz" * 32,)),
        ("getAccountByAddress", (5,)),
        ("sendRawTransaction", ("00",)),
        ("awaitStatus", (1, 61)),
        ("awaitStatus", (1, "1")),
    ],
)
async def test_bad_parameters(view: FakeView, method: str, params: tuple[Any, ...]) -> None:
    assert await _code(view, method, *params) == INVALID_PARAMS


async def test_parameters_by_name(view: FakeView) -> None:
    named = Call("getBlockByNumber", {"blockNumber": 2})
    result = await call(view, named, is_admin=False)
    assert result["data"]["number"] == 2
    with pytest.raises(CallError, match="unknown parameter 'number'"):
        await call(view, Call("getBlockByNumber", {"number": 2}), is_admin=False)


async def test_a_transaction_is_submitted_or_refused_with_the_reason(view: FakeView) -> None:
    sent = transaction()
    assert await _data(view, "sendRawTransaction", sent.encode().hex()) == sent.hash.hex()
    assert view.submitted == [sent]

    view.refusal = "the fee is too low"
    with pytest.raises(CallError, match="fee is too low") as caught:
        await _data(view, "sendRawTransaction", sent.encode().hex())
    assert caught.value.code == REFUSED


async def test_status_can_be_waited_for(view: FakeView) -> None:
    assert (await _data(view, "getStatus"))["height"] == 3
    assert (await _data(view, "awaitStatus", 4, 1.5))["sequence"] == 5
    assert view.asked_after == [(4, 1.5)]


async def test_admin_methods_need_the_token(view: FakeView) -> None:
    assert await _code(view, "shutdown") == UNAUTHORIZED
    assert view.stopped == 0
    assert await _data(view, "shutdown", is_admin=True) == "stopping"
    assert view.stopped == 1


async def test_peers_and_constants(view: FakeView) -> None:
    (peer,) = await _data(view, "getPeerList")
    assert peer["list"] == "live"
    assert peer["services"] == ["HEADERS", "BODIES"]
    constants = await _data(view, "getPolicyConstants")
    assert constants["genesisHash"] == view.chain.genesis.hex()
    assert constants["slots"] == view.chain.policy.slots


async def test_unknown_methods(view: FakeView) -> None:
    assert await _code(view, "getNothing") == METHOD_NOT_FOUND
