"""The HTTP port, with real connections on loopback."""

import http.client
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import trio
import trio.testing

from node.errors import ConfigError, ListenError, UnreachableError
from node.rpc.client import Call, RpcClient, RpcError
from node.rpc.server import MAX_REQUEST_BYTES, RpcServer, bind, load_token
from tests.build.chain import ChainBuilder
from tests.build.state_sync import GENESIS, syncing_chain
from tests.node.rpc.fake_view import FakeView

pytestmark = pytest.mark.network
T = TypeVar("T")
JSON_TYPE = {"Content-Type": "application/json"}


class BrokenView(FakeView):
    def status(self) -> dict[str, Any]:
        raise AssertionError("of ours")


@pytest.fixture
def view() -> FakeView:
    return FakeView(ChainBuilder().chain)


@pytest.fixture
async def server(view: FakeView, nursery: trio.Nursery) -> RpcServer:
    server = RpcServer(view, bind("127.0.0.1:0"), "the-token")
    await nursery.start(server.run)
    return server


async def _outside(action: Callable[[], T]) -> T:
    """Run a client in a thread, as another process would."""
    with trio.fail_after(30):
        return await trio.to_thread.run_sync(action)


def _get(server: RpcServer, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.address, timeout=10)
    headers = {} if host is None else {"Host": host}
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def _post(server: RpcServer, method: str, headers: dict[str, str]) -> tuple[int, str]:
    connection = http.client.HTTPConnection(server.address, timeout=10)
    content = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
    connection.request("POST", "/", content, headers)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


async def test_calls_and_batches(server: RpcServer) -> None:
    def ask() -> None:
        with RpcClient(server.address, timeout_s=10) as client:
            assert client.call("getBlockNumber")["data"] == 0
            number, error = client.batch([Call("getBlockNumber"), Call("nope")])
            assert number["data"] == 0
            assert isinstance(error, RpcError)

    await _outside(ask)


async def test_the_token_opens_admin_methods(server: RpcServer, view: FakeView) -> None:
    def ask(token: str | None) -> None:
        with RpcClient(server.address, timeout_s=10, token=token) as client:
            client.call("shutdown")

    for wrong in (None, "another-token", ""):
        with pytest.raises(RpcError, match="needs the token"):
            await _outside(lambda token=wrong: ask(token))  # type: ignore[misc]
    assert view.stopped == 0
    await _outside(lambda: ask("the-token"))
    assert view.stopped == 1


async def test_foreign_names_are_refused(server: RpcServer) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example"):
        assert (await _outside(lambda name=host: _get(server, "/healthz", name)))[0] == 403  # type: ignore[misc]
    for host in ("localhost", "127.0.0.1:5", "[::1]:5"):
        assert (await _outside(lambda name=host: _get(server, "/healthz", name)))[0] == 200  # type: ignore[misc]


async def test_readiness_says_why_not(server: RpcServer, view: FakeView) -> None:
    assert await _outside(lambda: _get(server, "/readyz")) == (200, "ready\n")
    view.is_established = False
    status, reason = await _outside(lambda: _get(server, "/readyz"))
    assert status == 503
    assert "consensus is not established" in reason

    view.chain = syncing_chain(GENESIS)
    status, reason = await _outside(lambda: _get(server, "/readyz"))
    assert (status, reason.partition(";")[0]) == (503, "the state is being fetched")


async def test_a_request_that_is_too_long_is_refused(server: RpcServer) -> None:
    def send() -> int:
        connection = http.client.HTTPConnection(server.address, timeout=10)
        try:
            connection.request("POST", "/", b" " * (MAX_REQUEST_BYTES + 1), JSON_TYPE)
            return connection.getresponse().status
        except BrokenPipeError:
            return 413
        finally:
            connection.close()

    assert await _outside(send) == 413


@pytest.mark.parametrize(
    "headers", [{}, {"Content-Type": "text/plain"}, {"Content-Type": "application/jsonp"}], ids=str
)
async def test_what_a_page_may_send_unasked_is_refused(
    headers: dict[str, str], server: RpcServer, view: FakeView
) -> None:
    status, _ = await _outside(lambda: _post(server, "getPeerId", headers))
    assert status == 415
    with_charset = {"Content-Type": "application/json; charset=utf-8"}
    assert (await _outside(lambda: _post(server, "getPeerId", with_charset)))[0] == 200


async def test_an_error_of_ours_is_logged_and_the_node_goes_on(
    view: FakeView, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    server = RpcServer(BrokenView(view.chain), bind("127.0.0.1:0"), "the-token")
    await nursery.start(server.run)
    status, text = await _outside(lambda: _post(server, "getStatus", JSON_TYPE))
    assert (status, text) == (500, "Internal Server Error")
    # The answer leaves before the log is written.
    await trio.testing.wait_all_tasks_blocked()
    assert "AssertionError: of ours" in caplog.text
    assert (await _outside(lambda: _post(server, "getBlockNumber", JSON_TYPE)))[0] == 200


async def test_nobody_there() -> None:
    free = bind("127.0.0.1:0")
    address = f"127.0.0.1:{free.getsockname()[1]}"
    free.close()

    def ask() -> None:
        with RpcClient(address, timeout_s=5) as client:
            client.call("getBlockNumber")

    with pytest.raises(UnreachableError, match=f"no node answers at {address}"):
        await _outside(ask)


def test_a_taken_port_and_addresses_that_are_not_loopback() -> None:
    taken = bind("127.0.0.1:0")
    with pytest.raises(ListenError, match="cannot listen on"):
        bind(f"127.0.0.1:{taken.getsockname()[1]}")
    taken.close()
    for address in ("0.0.0.0:0", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:70000", "example.org:1"):
        with pytest.raises(ConfigError, match="is not host:port on loopback"):
            bind(address)


def test_the_token_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    token = load_token(tmp_path)
    assert load_token(tmp_path) == token
    assert len(token) >= 32
    assert (tmp_path / "rpc-token").stat().st_mode & 0o777 == 0o600
