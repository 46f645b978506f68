"""Lanes: priority, bounds, and waiting."""

from enum import Enum

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from node.services.lanes import Lanes, take_waiting


class Lane(Enum):
    FAST = "fast"
    SLOW = "slow"


BOTH = (Lane.SLOW, Lane.FAST)


def lanes(capacity: int = 2) -> Lanes[Lane, int]:
    return Lanes({Lane.FAST: capacity, Lane.SLOW: capacity})


async def test_earlier_lane_comes_first_whatever_came_first() -> None:
    inbox = lanes()
    await inbox.send(Lane.SLOW, 1)
    await inbox.send(Lane.SLOW, 2)
    await inbox.send(Lane.FAST, 3)

    assert [await inbox.receive(BOTH) for _ in range(3)] == [3, 1, 2]


async def test_shut_lane_keeps_its_items(autojump_clock: MockClock) -> None:
    inbox = lanes()
    await inbox.send(Lane.SLOW, 1)

    with trio.move_on_after(1) as scope:
        await inbox.receive((Lane.FAST,))
    assert scope.cancelled_caught

    assert await inbox.receive(BOTH) == 1


async def test_sender_waits_while_its_lane_is_full(nursery: trio.Nursery) -> None:
    inbox = lanes()
    done = []

    async def send_all() -> None:
        for item in range(5):
            await inbox.send(Lane.SLOW, item)
            done.append(item)

    nursery.start_soon(send_all)
    await wait_all_tasks_blocked()
    assert done == [0, 1]
    # A full lane does not hold up the other.
    await inbox.send(Lane.FAST, 9)
    assert inbox.waiting(Lane.FAST) == 1

    assert [await inbox.receive(BOTH) for _ in range(6)] == [9, 0, 1, 2, 3, 4]
    assert done == [0, 1, 2, 3, 4]


async def test_receiver_waits_for_an_item(nursery: trio.Nursery) -> None:
    inbox = lanes()
    got = []

    async def receive() -> None:
        got.append(await inbox.receive(BOTH))

    nursery.start_soon(receive)
    await wait_all_tasks_blocked()
    assert got == []
    await inbox.send(Lane.SLOW, 5)
    await wait_all_tasks_blocked()

    assert got == [5]


@pytest.mark.parametrize("senders", [1, 3])
async def test_cancelled_sender_has_put_nothing_in(
    autojump_clock: MockClock, nursery: trio.Nursery, senders: int
) -> None:
    inbox = lanes(1)
    await inbox.send(Lane.SLOW, 0)

    async def try_to_send() -> None:
        with trio.move_on_after(1):
            await inbox.send(Lane.SLOW, 1)

    for _ in range(senders):
        nursery.start_soon(try_to_send)
    await trio.sleep(2)

    assert await inbox.receive(BOTH) == 0
    assert inbox.waiting(Lane.SLOW) == 0


async def test_all_that_waits_is_taken_at_once_and_in_order() -> None:
    sender, receiver = trio.open_memory_channel[int](3)
    assert take_waiting(receiver) == []
    for item in (1, 2, 3):
        sender.send_nowait(item)

    assert take_waiting(receiver) == [1, 2, 3]
    assert take_waiting(receiver) == []


async def test_what_waits_in_a_channel_that_has_ended_is_taken() -> None:
    """The next wait finds out about the end, not this look."""
    sender, receiver = trio.open_memory_channel[int](3)
    sender.send_nowait(1)
    sender.close()

    assert take_waiting(receiver) == [1]
