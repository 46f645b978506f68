"""The one HTTP port of a node, on loopback: JSON-RPC on `POST /`, `/healthz` and `/readyz`."""

import logging
import re
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

import hypercorn.config
import hypercorn.trio
import trio
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from node.errors import ConfigError, ListenError
from node.rpc.json_rpc import Call, answer
from node.rpc.methods import call
from node.rpc.view import NodeView

TOKEN_FILE: Final = "rpc-token"  # noqa: S105 - the name of the file, not its content.
MAX_REQUEST_BYTES: Final = 1024 * 1024
"""A batch of a hundred transactions takes 60 KB."""

JSON: Final = "application/json"
"""Required: a page in a browser may send other types to any port without asking the node first."""

GRACE_S: Final = 0.5
"""How long a stopping node still works on answers that it has begun."""

KEEP_ALIVE_S: Final = 75.0
"""Longer than any question for news is held."""

_LOOPBACK: Final = re.compile(r"localhost|127(?:\.\d{1,3}){3}|\[::1\]")
"""What a Host header may name: a page in a browser cannot reach the node under another name."""


class RpcServer:
    """Serves one node."""

    def __init__(self, view: NodeView, listener: socket.socket, token: str) -> None:
        """Prepare.

        Args:
            view: The node.
            listener: From `bind`; this server owns it from here on.
            token: What admin calls must show.
        """
        self._view = view
        self._listener = listener
        self._token = token
        self.address = "{}:{}".format(*listener.getsockname()[:2])

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serve until cancelled; started once requests are answered."""
        config = hypercorn.config.Config()
        config.bind = [f"fd://{self._listener.detach()}"]
        config.accesslog = None
        # Where an error of ours in an answer is told; the client sees no more than status 500.
        config.errorlog = logging.getLogger("hypercorn")
        config.errorlog.setLevel(logging.WARNING)
        config.graceful_timeout = GRACE_S
        config.keep_alive_timeout = KEEP_ALIVE_S
        config.h11_max_incomplete_size = 64 * 1024
        routes = [
            Route("/", self._json_rpc, methods=["POST"]),
            Route("/healthz", self._health, methods=["GET"]),
            Route("/readyz", self._readiness, methods=["GET"]),
        ]
        application = Starlette(routes=routes)
        async with trio.open_nursery() as nursery:
            serve: Callable[..., Awaitable[Any]] = hypercorn.trio.serve
            await nursery.start(serve, application, config)
            task_status.started()

    async def _json_rpc(self, request: Request) -> Response:
        if refusal := _refuse_host(request):
            return refusal
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON:
            return PlainTextResponse(f"Content-Type is not {JSON}\n", status_code=415)
        payload = await _read_body(request)
        if payload is None:
            return PlainTextResponse(f"more than {MAX_REQUEST_BYTES} bytes\n", status_code=413)
        is_admin = self._has_token(request)

        async def dispatch(one: Call) -> Any:
            return await call(self._view, one, is_admin=is_admin)

        content = await answer(payload, dispatch)
        if content is None:
            return Response(status_code=204)
        return Response(content, media_type=JSON)

    async def _health(self, request: Request) -> Response:
        return _refuse_host(request) or PlainTextResponse("ok\n")

    async def _readiness(self, request: Request) -> Response:
        if refusal := _refuse_host(request):
            return refusal
        if self._view.is_established:
            return PlainTextResponse("ready\n")
        peers, chain = len(self._view.peers), self._view.chain
        reason = f"consensus is not established; {peers} peers are connected\n"
        if chain.keeps_state and not chain.has_state:
            reason = f"the state is being fetched; {peers} peers are connected\n"
        return PlainTextResponse(reason, status_code=503)

    def _has_token(self, request: Request) -> bool:
        shown = request.headers.get("authorization", "")
        return secrets.compare_digest(shown.encode(), f"Bearer {self._token}".encode())


def bind(address: str) -> socket.socket:
    """Bind the listener of `host:port`; port 0 takes a free one.

    Raises:
        ConfigError: Not a loopback address with a port.
        ListenError: The port is taken.
    """
    host, _, port = address.rpartition(":")
    if not _LOOPBACK.fullmatch(host) or not port.isdecimal() or int(port) > 65_535:
        raise ConfigError(f"rpc: {address!r} is not host:port on loopback")
    family = socket.AF_INET6 if host == "[::1]" else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host.strip("[]"), int(port)))
        # Before anybody is told of the port: a command that finds it is never refused.
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ListenError(f"rpc: cannot listen on {address}: {error.strerror}") from error
    return listener


def load_token(data_dir: Path) -> str:
    """Return the token of a data folder, made on first use and readable by its owner only."""
    path = data_dir / TOKEN_FILE
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        token = secrets.token_urlsafe(32)
        path.touch(mode=0o600)
        path.write_text(token + "\n", encoding="ascii")
        return token


def _refuse_host(request: Request) -> Response | None:
    """Refuse names that are not ours: DNS may point any name at loopback."""
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    if _LOOPBACK.fullmatch(name):
        return None
    return PlainTextResponse("wrong Host header\n", status_code=403)


async def _read_body(request: Request) -> bytes | None:
    """Read the body; None if it is too long, without reading on."""
    content = bytearray()
    try:
        async with aclosing(request.stream()) as pieces:
            async for piece in pieces:
                content += piece
                if len(content) > MAX_REQUEST_BYTES:
                    return None
    except ClientDisconnect:
        return b""
    return bytes(content)
