"""Asking a running node over its loopback HTTP port.

Standard library only, so that commands start fast.
"""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from node.errors import NodeError, UnreachableError

MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
"""A block with its largest body, in hex, and room."""


class RpcError(NodeError):
    """The node answered with an error.

    Attributes:
        code: JSON-RPC error code.
        message: What the node said.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a batch."""

    method: str
    params: Mapping[str, Any] | Sequence[Any] = ()


class RpcClient:
    """One kept-alive connection to one node. Not to be shared between threads."""

    def __init__(self, address: str, *, timeout_s: float, token: str | None = None) -> None:
        """Prepare; the first call connects.

        Args:
            address: `host:port` of the node's RPC listener.
            timeout_s: For connecting, and for each read.
            token: Bearer token for admin methods.
        """
        host, _, port = address.rpartition(":")
        self._address = address
        self._connection = http.client.HTTPConnection(host, int(port), timeout=timeout_s)
        self._headers = {"Content-Type": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"

    def __enter__(self) -> Self:
        """Use as a context manager: closes the connection at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def call(self, method: str, params: Mapping[str, Any] | Sequence[Any] = ()) -> Any:
        """Call one method and return its result.

        Raises:
            UnreachableError: No node answers there, or not in time.
            RpcError: The node refused the call.
        """
        return _result(self._exchange(_request(1, Call(method, params))))

    def batch(self, calls: Sequence[Call]) -> list[Any]:
        """Call several methods in one request; a refused one gives its `RpcError` as the result.

        Raises:
            UnreachableError: No node answers there, or not in time.
        """
        answers = self._exchange([_request(number, call) for number, call in enumerate(calls)])
        if not isinstance(answers, list):
            raise UnreachableError(f"{self._address} does not speak JSON-RPC")
        by_id = {answer.get("id"): answer for answer in answers}
        return [_result_or_error(by_id.get(number, {})) for number in range(len(calls))]

    def close(self) -> None:
        """Close the connection; a later call opens a new one."""
        self._connection.close()

    def _exchange(self, content: Any) -> Any:
        try:
            self._connection.request("POST", "/", json.dumps(content), self._headers)
            response = self._connection.getresponse()
            text = response.read(MAX_RESPONSE_BYTES)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            reason = str(error) or type(error).__name__
            raise UnreachableError(f"no node answers at {self._address}: {reason}") from error
        if not text or response.length:
            self.close()
            raise UnreachableError(f"the node at {self._address} stopped before it answered")
        try:
            return json.loads(text)
        except ValueError:
            raise UnreachableError(
                f"{self._address} does not speak JSON-RPC: HTTP status {response.status}"
            ) from None


def _request(number: int, call: Call) -> dict[str, Any]:
    params = call.params if isinstance(call.params, Mapping) else list(call.params)
    return {"jsonrpc": "2.0", "id": number, "method": call.method, "params": params}


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict) or not ("result" in answer or "error" in answer):
        raise RpcError(-32603, "the answer is not a JSON-RPC response")
    if error := answer.get("error"):
        raise RpcError(int(error.get("code", -32603)), str(error.get("message", "unknown error")))
    return answer["result"]


def _result_or_error(answer: Any) -> Any:
    try:
        return _result(answer)
    except RpcError as error:
        return error
