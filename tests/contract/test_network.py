"""The contract of `Network`, on each implementation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from node.net.network import Handler
from node.net.simulated import Hub, SimulatedNetwork
from protocols.ids import RequestProtocol, Topic
from protocols.types import PeerId
from tests.contract.network_contract import CHECKS, Node, World, hello
from tests.integration.nodes import BOUND_S, RealNode, make_network, meshed, start


@dataclass(frozen=True, slots=True)
class SimulatedWorld:
    """Nodes on one hub, in virtual time."""

    hub: Hub
    nursery: trio.Nursery

    async def node(
        self,
        name: str,
        *,
        network: int = 7,
        handlers: Mapping[RequestProtocol, Handler] | None = None,
        topics: Sequence[Topic] = (),
    ) -> Node:
        simulated = SimulatedNetwork(self.hub, PeerId(name), lambda: hello(network=network))
        for protocol, handler in (handlers or {}).items():
            simulated.serve(protocol, handler)
        inboxes = {topic: simulated.subscribe(topic) for topic in topics}
        scope: trio.CancelScope = await self.nursery.start(_run, simulated)
        return Node(network=simulated, inboxes=inboxes, scope=scope)

    async def settle(self) -> None:
        await trio.sleep(1)


async def _run(
    simulated: SimulatedNetwork, *, task_status: trio.TaskStatus[trio.CancelScope]
) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(simulated.run)
        task_status.started(nursery.cancel_scope)


@pytest.mark.parametrize("check", CHECKS)
async def test_simulated_network(
    check: Callable[[World], Awaitable[None]], autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    assert autojump_clock.autojump_threshold == 0
    await check(SimulatedWorld(Hub(seed=1), nursery))
    nursery.cancel_scope.cancel()


@dataclass(frozen=True, slots=True)
class RealWorld:
    """Nodes with real sockets on loopback."""

    nursery: trio.Nursery
    nodes: list[RealNode] = field(default_factory=list)

    async def node(
        self,
        name: str,
        *,
        network: int = 7,
        handlers: Mapping[RequestProtocol, Handler] | None = None,
        topics: Sequence[Topic] = (),
    ) -> Node:
        real = await start(
            self.nursery,
            make_network(name, genesis=hello().genesis, hello=lambda: hello(network=network)),
            handlers=handlers,
            topics=topics,
        )
        self.nodes.append(real)
        return Node(network=real.network, inboxes=real.inboxes, scope=real.scope)

    async def settle(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        for first, second in combinations(self.nodes, 2):
            if second.network.peer_id in first.network.peers:
                for topic in first.inboxes.keys() & second.inboxes.keys():
                    await meshed(first, second, topic, hello().genesis)


@pytest.mark.network
@pytest.mark.parametrize("check", CHECKS)
async def test_libp2p_network(
    check: Callable[[World], Awaitable[None]], nursery: trio.Nursery
) -> None:
    with trio.fail_after(3 * BOUND_S):
        await check(RealWorld(nursery))
    nursery.cancel_scope.cancel()
