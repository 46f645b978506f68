"""The contract of `Network`, on each implementation."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock

from node.net.network import Handler
from node.net.simulated import Hub, SimulatedNetwork
from protocols.ids import RequestProtocol, Topic
from protocols.types import PeerId
from tests.contract.network_contract import CHECKS, Node, World, hello


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
