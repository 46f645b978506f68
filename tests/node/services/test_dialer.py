"""The task that keeps peers, on a simulated network in virtual time."""

from collections.abc import Callable
from itertools import pairwise
from random import Random

import trio
from trio.testing import MockClock

from node.errors import UnavailableError
from node.net.dialer import Dialer
from node.net.hub import Hub
from node.net.simulated import SimulatedNetwork, simulated_address
from node.services.dialer import LOOK_INTERVAL_S, DialerService
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from protocols.types import Hash32, PeerId, Service

HERE, FIRST, SECOND = PeerId("here"), PeerId("first"), PeerId("second")

BACK_S = 14.0
"""A peer that is there again is back at most this late: the longest delay with its jitter, a look,
and a handshake."""


def hello_of(network: int) -> Hello:
    return Hello(
        network=network,
        genesis=Hash32(bytes(32)),
        version=PROTOCOL_VERSION,
        services=Service.HEADERS,
        head_number=0,
        head_hash=Hash32(bytes(32)),
        agent="test",
    )


class CountingNetwork(SimulatedNetwork):
    """Remembers when it dialled whom, and may lose a peer before anybody has seen it."""

    dials: list[tuple[float, str]]
    losses: int = 0
    """Connections that are lost as soon as they are there."""

    async def connect(self, address: str) -> PeerId:
        self.dials.append((trio.current_time(), address))
        peer = await super().connect(address)
        if self.losses:
            self.losses -= 1
            await self.disconnect(peer)
        return peer


class World:
    """A node that keeps two peers, which may be there."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.hub = Hub(seed=1)
        self.here = CountingNetwork(self.hub, HERE, lambda: hello_of(1))
        self.here.dials = []
        targets = {peer: simulated_address(peer) for peer in (FIRST, SECOND)}
        self.service = DialerService(Dialer(targets, Random(1)), self.here)

    async def start(self) -> None:
        await self.nursery.start(self.here.run)
        await self.nursery.start(self.service.run)

    async def appear(self, peer: PeerId, *, network: int = 1) -> SimulatedNetwork:
        other = SimulatedNetwork(self.hub, peer, lambda: hello_of(network))
        await self.nursery.start(other.run)
        return other

    async def until(self, condition: Callable[[], bool], within_s: float) -> float:
        start = trio.current_time()
        with trio.fail_after(within_s):
            while not condition():  # noqa: ASYNC110 - virtual time
                await trio.sleep(0.01)
        return trio.current_time() - start

    @property
    def peers(self) -> set[PeerId]:
        return set(self.here.peers)


async def test_all_targets_are_dialled(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World(nursery)
    await world.appear(FIRST)
    await world.appear(SECOND)
    await world.start()

    await world.until(lambda: world.peers == {FIRST, SECOND}, 1)
    await trio.sleep(100)

    # Once each: who is connected is left alone.
    assert sorted(world.here.dials) == [(0.0, simulated_address(p)) for p in (FIRST, SECOND)]
    nursery.cancel_scope.cancel()


async def test_a_lost_peer_is_dialled_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.appear(FIRST)
    await world.appear(SECOND)
    await world.start()
    await trio.sleep(30)

    world.hub.disconnect(HERE, FIRST)
    assert world.peers == {SECOND}
    taken = await world.until(lambda: world.peers == {FIRST, SECOND}, BACK_S)

    # A connection that held is worth a quick try.
    assert taken < LOOK_INTERVAL_S + 0.5
    assert len(world.here.dials) == 3
    nursery.cancel_scope.cancel()


async def test_a_peer_that_comes_late_is_found(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.start()
    await trio.sleep(300)
    assert world.peers == set()
    tries = len(world.here.dials)
    # Growing pauses up to ten seconds, for both of them.
    assert 50 < tries < 100

    await world.appear(FIRST)
    await world.until(lambda: world.peers == {FIRST}, BACK_S)
    nursery.cancel_scope.cancel()


async def test_a_peer_that_dialled_us_is_not_dialled(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await nursery.start(world.here.run)
    first = await world.appear(FIRST)
    await first.connect(simulated_address(HERE))
    await nursery.start(world.service.run)

    await trio.sleep(20)
    assert world.peers == {FIRST}
    assert simulated_address(FIRST) not in [address for _, address in world.here.dials]

    # It is one of ours all the same.
    world.hub.disconnect(HERE, FIRST)
    await world.until(lambda: world.peers == {FIRST}, BACK_S)
    nursery.cancel_scope.cancel()


async def test_a_peer_that_leaves_between_two_looks_is_dialled_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The list of peers never has it when somebody looks."""
    world = World(nursery)
    await world.appear(FIRST)
    world.here.losses = 5
    await world.start()

    await world.until(lambda: FIRST in world.peers, 60)

    assert world.here.losses == 0
    await trio.sleep(60)
    assert world.peers == {FIRST}
    nursery.cancel_scope.cancel()


async def test_a_peer_that_always_breaks_off_is_dialled_ever_more_seldom(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.appear(FIRST)
    await world.start()
    for _ in range(20):
        await world.until(lambda: FIRST in world.peers, BACK_S)
        world.hub.disconnect(HERE, FIRST)
    start = trio.current_time()
    await world.until(lambda: FIRST in world.peers, BACK_S)
    assert trio.current_time() - start > 5
    nursery.cancel_scope.cancel()


async def test_a_peer_that_joins_and_leaves_while_being_dialled(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its own connection is lost before our dial has ended."""
    world = World(nursery)
    first = await world.appear(FIRST)
    await world.start()
    for _ in range(20):
        try:
            await first.connect(simulated_address(HERE))
        except UnavailableError:
            continue
        world.hub.disconnect(FIRST, HERE)
        await trio.sleep(0.03)
    await world.until(lambda: FIRST in world.peers, BACK_S)
    nursery.cancel_scope.cancel()


async def test_a_restarted_peer_is_dialled_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.start()
    for _ in range(5):
        await world.appear(FIRST)
        await world.until(lambda: world.peers == {FIRST}, BACK_S)
        world.hub.kill(FIRST)
        assert world.peers == set()
        await trio.sleep(3)
    nursery.cancel_scope.cancel()


async def test_a_peer_of_another_network_is_no_loop(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.appear(FIRST, network=2)
    await world.start()
    await trio.sleep(300)

    assert world.peers == set()
    tries = [at for at, address in world.here.dials if address == simulated_address(FIRST)]
    assert len(tries) < 50
    assert all(later - earlier >= 5 for earlier, later in pairwise(tries[10:]))
    nursery.cancel_scope.cancel()


async def test_stopping_ends_dials_under_way(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World(nursery)
    await world.appear(FIRST)
    world.hub.partition([HERE])
    async with trio.open_nursery() as inner:
        await nursery.start(world.here.run)
        await inner.start(world.service.run)
        await trio.sleep(1)
        assert world.here.dials
        inner.cancel_scope.cancel()
    assert trio.current_time() == 1
    nursery.cancel_scope.cancel()
