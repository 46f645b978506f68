"""The methods that tell what has happened."""

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from node.event_record import EventRecord
from node.rpc.events import MAX_EVENTS_PER_ANSWER
from node.rpc.json_rpc import INVALID_PARAMS, Call, CallError
from node.rpc.methods import call
from tests.build.chain import ChainBuilder
from tests.node.rpc.fake_view import SELF, FakeView


@pytest.fixture
def view() -> FakeView:
    return FakeView(ChainBuilder().chain, events=EventRecord(4))


def add(view: FakeView, *types: str) -> None:
    for type_ in types:
        view.events.add(type_, {"block": b"\xab"}, time="now", now=1.0)


async def ask(view: FakeView, method: str, *params: Any) -> Any:
    return (await call(view, Call(method, list(params)), is_admin=False))["data"]


def seen(answer: Any) -> tuple[int, int, list[int]]:
    return answer["oldest"], answer["newest"], [event["seq"] for event in answer["events"]]


async def test_all_that_is_there_or_what_is_newer(view: FakeView) -> None:
    assert seen(await ask(view, "getEvents")) == (1, 0, [])
    add(view, "one", "two", "three")
    answer = await ask(view, "getEvents")
    assert seen(answer) == (1, 3, [1, 2, 3])
    assert answer["events"][0] == {
        "seq": 1,
        "time": "now",
        "monotonic": 1.0,
        "node": SELF,
        "type": "one",
        "block": "ab",
    }
    assert seen(await ask(view, "getEvents", 1, 1)) == (1, 3, [2])
    assert seen(await ask(view, "getEvents", 3)) == (1, 3, [])
    assert seen(await ask(view, "getEvents", 9)) == (1, 3, [])


async def test_a_reader_notices_what_it_has_missed(view: FakeView) -> None:
    add(view, *"abcdef")
    assert seen(await ask(view, "getEvents", 1)) == (3, 6, [3, 4, 5, 6])


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getEvents", (-1,)),
        ("getEvents", (0, MAX_EVENTS_PER_ANSWER + 1)),
        ("awaitEvents", ()),
        ("awaitEvents", (0,)),
        ("awaitEvents", (0, 61)),
    ],
)
async def test_bad_parameters(view: FakeView, method: str, params: tuple[Any, ...]) -> None:
    with pytest.raises(CallError) as caught:
        await ask(view, method, *params)
    assert caught.value.code == INVALID_PARAMS


async def test_news_are_waited_for(
    view: FakeView, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    add(view, "one")

    async def add_later() -> None:
        await trio.sleep(5)
        add(view, "two", "three")

    nursery.start_soon(add_later)
    answer = await ask(view, "awaitEvents", 1, 60)
    assert seen(answer) == (1, 3, [2, 3])
    assert 5 <= trio.current_time() < 6


async def test_there_need_be_no_news(view: FakeView, autojump_clock: MockClock) -> None:
    add(view, "one")
    assert seen(await ask(view, "awaitEvents", 1, 30)) == (1, 1, [])
    assert trio.current_time() == 30
    # Nothing can come after a number of an earlier run: who asks must hear so.
    assert seen(await ask(view, "awaitEvents", 7, 30)) == (1, 1, [])
    assert seen(await ask(view, "awaitEvents", 0, 30)) == (1, 1, [1])
    assert trio.current_time() == 30
