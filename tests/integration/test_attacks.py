"""Every attack, then an honest newcomer that must be served as if nothing had happened."""

import pytest
import trio

from node.net.libp2p import NetworkLimits
from node.net.network import Verdict
from protocols.ids import RequestProtocol, Topic
from tests.integration.attacker import Target
from tests.integration.attacks import ATTACKS, Attack
from tests.integration.nodes import (
    BOUND_S,
    GENESIS,
    RealNode,
    echo,
    make_network,
    meshed,
    start,
)

pytestmark = pytest.mark.network

QUICK = NetworkLimits(
    upgrade_timeout_s=1.0,
    hello_timeout_s=1.0,
    negotiation_timeout_s=1.0,
    write_stall_s=1.0,
    window_stall_s=0.5,
)
"""Shorter waits, so that attackers that let us wait are cut off sooner."""


async def _large(_peer: object, _payload: bytes) -> bytes:
    return bytes(4_000_000)


HANDLERS = {RequestProtocol.HEAD: echo, RequestProtocol.BLOCK: _large}


async def accept_all(node: RealNode) -> None:
    """Give every message of a node's topic a good verdict."""
    async for message in node.inboxes[Topic.VOTES]:
        node.network.resolve(message.id, Verdict.ACCEPT)


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack(name: str, nursery: trio.Nursery) -> None:
    attack: Attack = ATTACKS[name]
    victim = await start(
        nursery, make_network("victim", limits=QUICK), handlers=HANDLERS, topics=[Topic.VOTES]
    )
    reading = trio.CancelScope()

    async def read() -> None:
        with reading:
            await accept_all(victim)

    nursery.start_soon(read)
    target = Target.of(victim)
    with trio.fail_after(2 * BOUND_S):
        await attack(target)
    reading.cancel()
    await assert_serves(victim, nursery)
    target.hang_up()
    nursery.cancel_scope.cancel()


async def assert_serves(victim: RealNode, nursery: trio.Nursery) -> None:
    """Join as an honest peer, ask, and gossip in both directions."""
    honest = await start(nursery, make_network("honest"), topics=[Topic.VOTES])
    with trio.fail_after(BOUND_S):
        peer = await honest.network.connect(victim.network.listen_addresses[0])
        assert await honest.network.request(peer, RequestProtocol.HEAD, b"hi") == b"hi"
        await meshed(honest, victim, Topic.VOTES, GENESIS)
        await honest.network.publish(Topic.VOTES, b"from the newcomer")
        await victim.network.publish(Topic.VOTES, b"from the victim")
        assert await _payload_from(victim, honest) == b"from the newcomer"
        assert await _payload_from(honest, victim) == b"from the victim"


async def _payload_from(node: RealNode, source: RealNode) -> bytes:
    """Return the next message of one source; what an attacker left behind is skipped."""
    while True:
        message = await node.inboxes[Topic.VOTES].receive()
        if message.source == source.network.peer_id:
            return message.payload
