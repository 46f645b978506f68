"""JSON-RPC 2.0, rule by rule."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.json_rpc import (
    INVALID_REQUEST,
    MAX_BATCH_CALLS,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    Call,
    CallError,
    answer,
)


async def _dispatch(call: Call) -> Any:
    if call.method != "echo":
        raise CallError(METHOD_NOT_FOUND, "unknown method")
    return call.params


async def _exchange(content: Any) -> Any:
    response = await answer(json.dumps(content).encode(), _dispatch)
    return None if response is None else json.loads(response)


def _call(number: Any = 1, **changes: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "echo", "params": [5], **changes}


def _error(number: Any, code: int) -> dict[str, Any]:
    return {"id": number, "code": code}


def _short(response: Any) -> Any:
    return {"id": response["id"], "code": response["error"]["code"]}


async def test_a_call_gets_its_result() -> None:
    assert await _exchange(_call("a")) == {"jsonrpc": "2.0", "id": "a", "result": [5]}
    assert await _exchange(_call(params={"x": 1})) == {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {"x": 1},
    }


@pytest.mark.parametrize("payload", [b"", b"{", b"\xff", b"[" * 100_000])
async def test_what_is_no_json(payload: bytes) -> None:
    response = await answer(payload, _dispatch)
    assert response is not None
    assert _short(json.loads(response)) == _error(None, PARSE_ERROR)


@pytest.mark.parametrize(
    ("content", "number"),
    [
        (5, None),
        ("text", None),
        ({}, None),
        (_call(jsonrpc="1.0"), 1),
        (_call(method=5), 1),
        (_call(params="text"), 1),
        (_call(number=[1]), None),
        (_call(number=True), None),
    ],
)
async def test_what_is_no_request(content: Any, number: Any) -> None:
    assert _short(await _exchange(content)) == _error(number, INVALID_REQUEST)


async def test_an_error_of_a_method_names_the_call() -> None:
    assert _short(await _exchange(_call(7, method="nope"))) == _error(7, METHOD_NOT_FOUND)


async def test_notifications_are_carried_out_and_not_answered() -> None:
    notification = {"jsonrpc": "2.0", "method": "echo"}
    assert await _exchange(notification) is None
    assert await _exchange({**notification, "method": "nope"}) is None
    assert await _exchange([notification, notification]) is None


async def test_a_batch_is_answered_in_order_without_its_notifications() -> None:
    notification = {"jsonrpc": "2.0", "method": "echo"}
    responses = await _exchange([_call(1), notification, 5, _call(2, method="nope")])
    assert [response["id"] for response in responses] == [1, None, 2]


@pytest.mark.parametrize("size", [0, MAX_BATCH_CALLS + 1])
async def test_an_empty_or_too_long_batch_is_one_error(size: int) -> None:
    assert _short(await _exchange([_call()] * size)) == _error(None, INVALID_REQUEST)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@given(json_values)
async def test_any_json_is_answered(content: Any) -> None:
    response = await _exchange(content)
    assert response is None or isinstance(response, dict | list)
