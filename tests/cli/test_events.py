"""What `headway events` shows of a running node."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import trio
from click.testing import Result

from cli import events as command
from cli.events import event_line
from node.event_record import EventRecord
from node.rpc.server import RpcServer, bind
from tests.build.chain import ChainBuilder
from tests.cli.running import invoke, outside
from tests.node.rpc.fake_view import FakeView

SIZE = 6


@dataclass
class Ticking(EventRecord):
    """A record in which something happens whenever it is asked for its newest event."""

    on_look: list[Callable[[], None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(SIZE)

    @property
    def newest(self) -> int:
        if self.on_look:
            self.on_look.pop(0)()
        return super().newest


@pytest.fixture
def record() -> Ticking:
    return Ticking()


@pytest.fixture
async def server(record: Ticking, nursery: trio.Nursery) -> RpcServer:
    view = FakeView(ChainBuilder().chain, events=record)
    server = RpcServer(view, bind("127.0.0.1:0"), "token")
    await nursery.start(server.run)
    return server


def add(record: EventRecord, *types: str) -> None:
    for type_ in types:
        record.add(type_, {"block": bytes(range(32)), "leaves": 5}, time="2026-11-21", now=1.5)


async def ask(server: RpcServer, *arguments: str | Path) -> Result:
    return await outside(lambda: invoke("events", *arguments, "--rpc", server.address))


def numbers(shown: Result) -> list[int]:
    return [json.loads(line)["seq"] for line in shown.stdout.splitlines()]


@pytest.mark.network
async def test_each_event_is_an_object(record: Ticking, server: RpcServer) -> None:
    empty = await ask(server)
    assert (empty.exit_code, empty.stdout, empty.stderr) == (0, "", "")
    add(record, "range_received", "batch_executed")
    shown = await ask(server, "-o", "ndjson")
    assert (shown.exit_code, shown.stderr) == (0, "")
    first, second = (json.loads(line) for line in shown.stdout.splitlines())
    assert first == {
        "seq": 1,
        "time": "2026-11-21",
        "monotonic": 1.5,
        "node": "12D3KooWself",
        "type": "range_received",
        "block": bytes(range(32)).hex(),
        "leaves": 5,
    }
    assert second["type"] == "batch_executed"
    assert json.loads((await ask(server, "-o", "json")).stdout) == [first, second]
    assert "range_received        block=00010203 leaves=5\n" in (await ask(server)).stdout


@pytest.mark.network
async def test_only_some_of_them(record: Ticking, server: RpcServer) -> None:
    add(record, "state_sync", "range_received", "state_synced", "status")
    assert numbers(await ask(server, "-o", "ndjson", "--since", "3")) == [4]
    assert numbers(await ask(server, "-o", "ndjson", "--since", "4")) == []
    chosen = await ask(server, "-o", "ndjson", "--type", "state_*", "--type", "status")
    assert numbers(chosen) == [1, 3, 4]


@pytest.mark.network
async def test_more_than_one_answer_holds(
    record: Ticking, server: RpcServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PAGE", 2)
    add(record, *"abcde")
    assert numbers(await ask(server, "-o", "ndjson")) == [1, 2, 3, 4, 5]


@pytest.mark.network
async def test_what_is_not_kept_any_more_is_told(record: Ticking, server: RpcServer) -> None:
    add(record, *"abcdefgh")
    shown = await ask(server, "-o", "ndjson", "--since", "1")
    assert numbers(shown) == [3, 4, 5, 6, 7, 8]
    assert shown.stderr == "headway: events 2 to 2 are not kept any more\n"
    assert shown.exit_code == 0
    assert (await ask(server, "--since", "2")).stderr == ""


@pytest.mark.network
async def test_a_node_that_was_started_again_begins_anew(
    record: Ticking, server: RpcServer
) -> None:
    add(record, "a", "b")
    shown = await ask(server, "-o", "ndjson", "--since", "500")
    assert numbers(shown) == [1, 2]
    assert shown.stderr == "headway: the newest event is 2: the node has been started again\n"


@pytest.mark.network
async def test_following_goes_on_until_the_node_is_gone(
    record: Ticking, server: RpcServer, nursery: trio.Nursery
) -> None:
    """Also over a gap, when more happens between two answers than is kept."""
    add(record, "a", "b")

    def burst() -> None:
        add(record, *"cdefghijkl")

    def end() -> None:
        raise AssertionError("the node breaks")

    # One look of the first answer, then those of the questions for news.
    record.on_look += [lambda: None, lambda: None, burst, lambda: None, lambda: None, end]
    shown = await ask(server, "-f", "-o", "ndjson", "--timeout", "20s")
    assert numbers(shown) == [1, 2, 7, 8, 9, 10, 11, 12]
    gap, broken = shown.stderr.splitlines()
    assert gap == "headway: events 3 to 6 are not kept any more"
    assert "headway: " in broken
    assert shown.exit_code == 6


@pytest.mark.network
async def test_what_makes_no_sense(server: RpcServer) -> None:
    assert (await ask(server, "-f", "-o", "json")).exit_code == 2
    assert (await ask(server, "--since", "-1")).exit_code == 2
    assert invoke("events", "--rpc", "127.0.0.1:1").exit_code == 6


def test_a_line_for_people() -> None:
    peer = "12D3KooWBdEdzm3x1HSpREPvPcw4ANRXZwswxVFwgajj7pgbdWxM"
    event: dict[str, Any] = {
        "seq": 12,
        "time": "2026-11-21T21:57:31.546929Z",
        "monotonic": 1.5494,
        "node": peer,
        "type": "state_synced",
    }
    facts = {"peer": peer, "seconds": 0.3182345678, "live": True, "none": None, "why": "a b"}
    assert event_line({**event, **facts}) == (
        "    12  2026-11-21T21:57:31.546929Z       1.549  state_synced          "
        'peer=7pgbdWxM seconds=0.318235 live=true none=null why="a b"'
    )
    assert event_line(event).endswith("state_synced")
