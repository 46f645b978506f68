"""JSON-RPC 2.0: from the bytes of a request to the bytes of a response. No transport.

    bytes -> JSON -> one call, or a batch of 1..100 -> result or error for each -> JSON -> bytes

A call without an id is a notification: it is carried out and gets no answer.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

MAX_BATCH_CALLS: Final = 100
"""Calls in one batch: they are answered one after the other while the node has other work."""

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
NOT_FOUND: Final = -32001
"""Ours: the thing asked for does not exist here."""
UNAUTHORIZED: Final = -32002
"""Ours: an admin method without the node's token."""
REFUSED: Final = -32003
"""Ours: the node cannot do this now, or never; the message says why."""
UNPROVEN: Final = -32004
"""Ours: the node does not have it and no peer has proven it; the message says why."""

Params: TypeAlias = "dict[str, Any] | list[Any]"


class CallError(Exception):
    """A call is answered with this error.

    Attributes:
        code: One of the codes above.
        message: One line for the caller.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Call:
    """One method to call."""

    method: str
    params: Params


Dispatch: TypeAlias = Callable[[Call], Awaitable[Any]]
"""Carries out one call and returns its result, or raises `CallError`."""


async def answer(payload: bytes, dispatch: Dispatch) -> bytes | None:
    """Carry out a request and return the response; None if nothing is to be answered."""
    try:
        content = json.loads(payload)
    except (ValueError, RecursionError):
        return _encode(_error(None, CallError(PARSE_ERROR, "not JSON")))
    if not isinstance(content, list):
        response = await _answer_one(content, dispatch)
        return None if response is None else _encode(response)
    if not 1 <= len(content) <= MAX_BATCH_CALLS:
        reason = f"a batch has 1..{MAX_BATCH_CALLS} calls"
        return _encode(_error(None, CallError(INVALID_REQUEST, reason)))
    responses = [await _answer_one(item, dispatch) for item in content]
    answered = [response for response in responses if response is not None]
    return _encode(answered) if answered else None


async def _answer_one(content: Any, dispatch: Dispatch) -> dict[str, Any] | None:
    try:
        call = _read_call(content)
    except CallError as error:
        return _error(_id_of(content), error)
    is_notification = "id" not in content
    try:
        result = await dispatch(call)
    except CallError as error:
        return None if is_notification else _error(content["id"], error)
    return None if is_notification else {"jsonrpc": "2.0", "id": content["id"], "result": result}


def _read_call(content: Any) -> Call:
    if not isinstance(content, dict) or content.get("jsonrpc") != "2.0":
        raise CallError(INVALID_REQUEST, "not a JSON-RPC 2.0 request")
    method, params = content.get("method"), content.get("params", [])
    if not isinstance(method, str):
        raise CallError(INVALID_REQUEST, "method is not a string")
    if not isinstance(params, dict | list):
        raise CallError(INVALID_REQUEST, "params is neither an object nor an array")
    if not _is_id(content.get("id")):
        raise CallError(INVALID_REQUEST, "id is neither a string nor a number")
    return Call(method, params)


def _id_of(content: Any) -> Any:
    """Return the id to answer to, as far as there is a usable one."""
    number = content.get("id") if isinstance(content, dict) else None
    return number if _is_id(number) else None


def _is_id(value: Any) -> bool:
    return value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))


def _error(number: Any, error: CallError) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": number,
        "error": {"code": error.code, "message": error.message},
    }


def _encode(content: Any) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
