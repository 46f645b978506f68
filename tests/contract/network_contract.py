"""What every `Network` promises, as checks that need only a world to live in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import pytest
import trio

from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.network import (
    GossipMessage,
    Handler,
    LeaveReason,
    Network,
    NetworkEvent,
    PeerJoined,
    PeerLeft,
    Verdict,
)
from protocols.ids import RequestProtocol, Topic
from protocols.limits import MAX_GOSSIP_BYTES, PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from protocols.types import Hash32, PeerId, Service

HEAD = RequestProtocol.HEAD
BLOCK = RequestProtocol.BLOCK


def hello(*, network: int = 7) -> Hello:
    """What a node of these tests says of itself."""
    return Hello(
        network=network,
        genesis=Hash32(bytes(32)),
        version=PROTOCOL_VERSION,
        services=Service.HEADERS,
        head_number=0,
        head_hash=Hash32(bytes(32)),
        agent="contract",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A running network and the channels of its topics."""

    network: Network
    inboxes: Mapping[Topic, trio.MemoryReceiveChannel[GossipMessage]]
    scope: trio.CancelScope
    """Cancel it to stop the node."""

    @property
    def id(self) -> PeerId:
        """Its peer id."""
        return self.network.peer_id

    @property
    def address(self) -> str:
        """Where it listens."""
        return self.network.listen_addresses[0]

    async def event(self) -> NetworkEvent:
        """Return the next join or leave."""
        with trio.fail_after(20):
            return await self.network.events.receive()

    async def announced(self, topic: Topic = Topic.HEADERS) -> GossipMessage:
        """Return the next announcement."""
        with trio.fail_after(20):
            return await self.inboxes[topic].receive()


class World(Protocol):
    """Starts nodes of one implementation, and ends them after the test."""

    async def node(
        self,
        name: str,
        *,
        network: int = 7,
        handlers: Mapping[RequestProtocol, Handler] | None = None,
        topics: Sequence[Topic] = (),
    ) -> Node:
        """Start a node; its id is derived from the name, and it is listening on return."""
        ...

    async def settle(self) -> None:
        """Wait until connected nodes know each other's topics and gossip can flow."""
        ...


async def link(first: Node, second: Node) -> None:
    """Connect two nodes and take the events of both."""
    assert await first.network.connect(second.address) == second.id
    assert await first.event() == PeerJoined(second.id, hello())
    assert await second.event() == PeerJoined(first.id, hello())


async def echo(peer: PeerId, payload: bytes) -> bytes:
    """Answer with who asked what."""
    return peer.encode() + b"/" + payload


async def check_both_sides_of_a_connection_join(world: World) -> None:
    a, b = await world.node("a"), await world.node("b")
    await link(a, b)

    assert set(a.network.peers) == {b.id}
    assert set(b.network.peers) == {a.id}
    assert not a.network.peers[b.id].is_inbound
    assert b.network.peers[a.id].is_inbound
    assert a.network.peers[b.id].hello == hello()
    assert a.network.peers[b.id].score == 0


async def check_second_dial_finds_the_connection(world: World) -> None:
    a, b = await world.node("a"), await world.node("b")
    await link(a, b)

    assert await a.network.connect(b.address) == b.id
    await a.network.disconnect(b.id)
    assert await a.event() == PeerLeft(b.id, LeaveReason.DISCONNECTED)


async def check_dial_to_nobody_fails(world: World) -> None:
    a, b = await world.node("a"), await world.node("b")
    address = b.address
    b.scope.cancel()
    await world.settle()

    with pytest.raises(UnavailableError):
        await a.network.connect(address)


async def check_other_network_does_not_join(world: World) -> None:
    a, b = await world.node("a"), await world.node("b", network=8)

    with pytest.raises(UnavailableError):
        await a.network.connect(b.address)
    assert not a.network.peers
    assert not b.network.peers


async def check_request_is_answered(world: World) -> None:
    a, b = await world.node("a"), await world.node("b", handlers={HEAD: echo})
    await link(a, b)

    assert await a.network.request(b.id, HEAD, b"hi") == a.id.encode() + b"/hi"
    assert b.network.peers[a.id].bytes_in > 0
    assert a.network.peers[b.id].bytes_in > 0


async def check_requests_go_both_ways(world: World) -> None:
    a = await world.node("a", handlers={HEAD: echo})
    b = await world.node("b", handlers={HEAD: echo})
    await link(a, b)

    assert await b.network.request(a.id, HEAD, b"1") == b.id.encode() + b"/1"


async def check_large_response_arrives_whole(world: World) -> None:
    answer = bytes(range(256)) * 4 * 4096

    async def serve(_peer: PeerId, _payload: bytes) -> bytes:
        return answer

    a, b = await world.node("a"), await world.node("b", handlers={BLOCK: serve})
    await link(a, b)

    assert await a.network.request(b.id, BLOCK, b"?") == answer


async def check_response_over_its_limit_is_the_peers_fault(world: World) -> None:
    async def serve(_peer: PeerId, _payload: bytes) -> bytes:
        return bytes(HEAD.limits.max_response_bytes + 1)

    a, b = await world.node("a"), await world.node("b", handlers={HEAD: serve})
    await link(a, b)

    with pytest.raises(PeerFaultError) as caught:
        await a.network.request(b.id, HEAD, b"?")
    assert (caught.value.peer, caught.value.fault) == (b.id, Fault.MALFORMED)


async def check_protocol_that_is_not_served(world: World) -> None:
    a, b = await world.node("a"), await world.node("b", handlers={HEAD: echo})
    await link(a, b)

    with pytest.raises(UnavailableError):
        await a.network.request(b.id, BLOCK, b"?")


async def check_request_to_a_stranger(world: World) -> None:
    a, b = await world.node("a"), await world.node("b", handlers={HEAD: echo})

    with pytest.raises(UnavailableError):
        await a.network.request(b.id, HEAD, b"?")


async def check_cancelled_request_leaves_the_connection_usable(world: World) -> None:
    asked = trio.Event()

    async def serve(_peer: PeerId, payload: bytes) -> bytes:
        if payload == b"slow":
            asked.set()
            await trio.sleep_forever()
        return payload

    a, b = await world.node("a"), await world.node("b", handlers={HEAD: serve})
    await link(a, b)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a.network.request, b.id, HEAD, b"slow")
        await asked.wait()
        nursery.cancel_scope.cancel()

    assert await a.network.request(b.id, HEAD, b"quick") == b"quick"


async def check_peer_that_dies_while_serving(world: World) -> None:
    async def serve(_peer: PeerId, _payload: bytes) -> bytes:
        scopes[0].cancel()
        await trio.sleep_forever()
        raise AssertionError

    a, b = await world.node("a"), await world.node("b", handlers={HEAD: serve})
    scopes = [b.scope]
    await link(a, b)

    with pytest.raises(UnavailableError):
        await a.network.request(b.id, HEAD, b"?")
    assert await a.event() == PeerLeft(b.id, LeaveReason.CLOSED)
    assert not a.network.peers


async def check_disconnect_has_a_reason_on_each_side(world: World) -> None:
    a, b = await world.node("a"), await world.node("b")
    await link(a, b)
    await a.network.disconnect(b.id)

    assert await a.event() == PeerLeft(b.id, LeaveReason.DISCONNECTED)
    assert await b.event() == PeerLeft(a.id, LeaveReason.CLOSED)
    await link(a, b)


async def check_faults_end_in_a_ban(world: World) -> None:
    a, b = await world.node("a"), await world.node("b")
    await link(a, b)
    a.network.report(b.id, Fault.MALFORMED)
    assert a.network.peers[b.id].score > 0

    a.network.report(b.id, Fault.WRONG_NETWORK)
    assert await a.event() == PeerLeft(b.id, LeaveReason.BANNED)
    assert await b.event() == PeerLeft(a.id, LeaveReason.CLOSED)
    with pytest.raises(UnavailableError):
        await a.network.connect(b.address)
    with pytest.raises(UnavailableError):
        await b.network.connect(a.address)


async def check_accepted_message_travels_on(world: World) -> None:
    a, b, c = await _line(world)
    await a.network.publish(Topic.HEADERS, b"news")
    at_b = await b.announced()
    b.network.resolve(at_b.id, Verdict.ACCEPT)
    at_c = await c.announced()
    c.network.resolve(at_c.id, Verdict.ACCEPT)

    assert (at_b.payload, at_b.sender, at_b.source) == (b"news", a.id, a.id)
    assert (at_c.payload, at_c.sender, at_c.source) == (b"news", b.id, a.id)
    assert at_c.id == at_b.id
    assert at_c.topic is Topic.HEADERS


async def check_ignored_message_ends(world: World) -> None:
    assert await _score_after(world, Verdict.IGNORE) == 0


async def check_rejected_message_ends_and_costs_score(world: World) -> None:
    assert await _score_after(world, Verdict.REJECT) > 0


async def _score_after(world: World, verdict: Verdict) -> int:
    """Give a verdict, see that the message ends there, and return what its sender has lost."""
    a, b, c = await _line(world)
    await a.network.publish(Topic.HEADERS, b"bad")
    b.network.resolve((await b.announced()).id, verdict)
    await a.network.publish(Topic.HEADERS, b"good")
    b.network.resolve((await b.announced()).id, Verdict.ACCEPT)

    assert (await c.announced()).payload == b"good"
    return b.network.peers[a.id].score


async def check_two_publications_of_the_same_bytes_are_two_messages(world: World) -> None:
    a, b, _c = await _line(world)
    await a.network.publish(Topic.HEADERS, b"same")
    await a.network.publish(Topic.HEADERS, b"same")

    assert (await b.announced()).id != (await b.announced()).id


async def check_own_message_does_not_come_back(world: World) -> None:
    a, b, _c = await _line(world)
    await a.network.publish(Topic.HEADERS, b"mine")
    b.network.resolve((await b.announced()).id, Verdict.ACCEPT)
    await b.network.publish(Topic.HEADERS, b"yours")

    assert (await a.announced()).payload == b"yours"


async def check_topics_are_apart(world: World) -> None:
    a, b, _c = await _line(world)
    await a.network.publish(Topic.BODIES, b"body")
    await a.network.publish(Topic.HEADERS, b"header")

    assert (await b.announced(Topic.HEADERS)).payload == b"header"
    assert (await b.announced(Topic.BODIES)).payload == b"body"


async def check_too_large_for_gossip(world: World) -> None:
    a = await world.node("a", topics=[Topic.HEADERS])

    with pytest.raises(ValueError, match="gossip"):
        await a.network.publish(Topic.HEADERS, bytes(MAX_GOSSIP_BYTES + 1))


async def check_largest_gossip_arrives(world: World) -> None:
    a, b, _c = await _line(world)
    await a.network.publish(Topic.HEADERS, bytes(MAX_GOSSIP_BYTES))

    assert (await b.announced()).payload == bytes(MAX_GOSSIP_BYTES)


async def _line(world: World) -> tuple[Node, Node, Node]:
    """Start three nodes on two topics, connected a - b - c."""
    a, b, c = [
        await world.node(name, topics=[Topic.HEADERS, Topic.BODIES]) for name in ("a", "b", "c")
    ]
    await link(a, b)
    await link(b, c)
    await world.settle()
    return a, b, c


CHECKS: Final = tuple(check for name, check in globals().items() if name.startswith("check_"))
"""All of them. A test of an implementation is parametrized with these."""
