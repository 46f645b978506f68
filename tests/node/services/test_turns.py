"""Whose request is answered next."""

from dataclasses import dataclass, field

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from node.services.turns import WAITING_IN_ALL, WAITING_PER_PEER, TooManyWaitError, Turns
from protocols.types import PeerId

A, B, C = (PeerId(name) for name in "abc")


@dataclass
class Office:
    """Requests that are at work until they are told to end."""

    nursery: trio.Nursery
    turns: Turns = field(default_factory=Turns)
    served: list[str] = field(default_factory=list)
    """In the order in which their turns came."""
    ends: dict[str, trio.Event] = field(default_factory=dict)
    scopes: dict[str, trio.CancelScope] = field(default_factory=dict)

    async def ask(self, *names: str) -> None:
        """Let requests come in, named by peer and number."""
        for name in names:
            self.ends[name], self.scopes[name] = trio.Event(), trio.CancelScope()
            self.nursery.start_soon(self._work, name)
            await wait_all_tasks_blocked()

    async def end(self, *names: str) -> None:
        for name in names:
            self.ends[name].set()
            await wait_all_tasks_blocked()

    async def _work(self, name: str) -> None:
        with self.scopes[name]:
            async with self.turns.turn(PeerId(name[0])):
                self.served.append(name)
                await self.ends[name].wait()


async def test_a_peer_has_one_thread_and_leaves_the_other_free(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.ask("a1", "a2", "a3")
    assert office.served == ["a1"]

    await office.ask("b1")
    assert office.served == ["a1", "b1"]
    nursery.cancel_scope.cancel()


async def test_peers_take_turns_whoever_asks_for_more(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.ask("a1", "b1", "a2", "a3", "a4", "c1", "b2", "c2")
    await office.end("b1", "a1", "c1", "b2", "a2", "c2", "a3")

    # Of each peer one at a time, and who had a turn stands behind the others.
    assert office.served == ["a1", "b1", "c1", "a2", "b2", "c2", "a3", "a4"]
    nursery.cancel_scope.cancel()


async def test_a_peer_may_only_wait_so_often(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.ask(*(f"a{number}" for number in range(1 + WAITING_PER_PEER)))
    with pytest.raises(TooManyWaitError):
        async with office.turns.turn(A):
            pass
    assert office.turns.waiting == WAITING_PER_PEER

    await office.ask("b1")
    assert office.served == ["a0", "b1"]
    nursery.cancel_scope.cancel()


async def test_all_together_may_only_wait_so_often(nursery: trio.Nursery) -> None:
    turns = Turns(threads=1)

    async def hold(peer: PeerId) -> None:
        async with turns.turn(peer):
            await trio.sleep_forever()

    nursery.start_soon(hold, A)
    await wait_all_tasks_blocked()
    for number in range(WAITING_IN_ALL):
        nursery.start_soon(hold, PeerId(f"peer {number % 20}"))
    await wait_all_tasks_blocked()
    assert turns.waiting == WAITING_IN_ALL
    with pytest.raises(TooManyWaitError):
        async with turns.turn(B):
            pass
    nursery.cancel_scope.cancel()


async def test_who_gives_up_waiting_leaves_no_trace(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.ask("a1", "b1", "c1", "c2")
    office.scopes["c1"].cancel()
    await wait_all_tasks_blocked()
    assert office.turns.waiting == 1

    await office.end("a1")
    assert office.served == ["a1", "b1", "c2"]
    nursery.cancel_scope.cancel()


async def test_a_turn_that_comes_too_late_goes_to_the_next(nursery: trio.Nursery) -> None:
    office = Office(nursery)
    await office.ask("a1", "b1", "a2", "c1")
    office.ends["b1"].set()
    office.scopes["c1"].cancel()
    await wait_all_tasks_blocked()
    await office.end("a1")

    assert office.served == ["a1", "b1", "a2"]
    assert office.turns.waiting == 0
    nursery.cancel_scope.cancel()


async def test_a_request_that_fails_gives_its_thread_back() -> None:
    turns = Turns(threads=1)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn(A):
                raise ZeroDivisionError
    async with turns.turn(C):
        assert turns.waiting == 0
