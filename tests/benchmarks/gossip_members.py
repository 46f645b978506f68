"""Members of a gossip plan without blocks: our network alone, and bare py-libp2p."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_noise_key_pair
from libp2p.custom_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.stream_muxer.yamux.yamux import PROTOCOL_ID as YAMUX
from libp2p.stream_muxer.yamux.yamux import Yamux
from libp2p.tools.anyio_service import background_trio_service
from multiaddr import Multiaddr

from node.net.libp2p import Libp2pNetwork
from node.net.libp2p.router import DEGREE, DEGREE_HIGH, DEGREE_LOW, HEARTBEAT_S, MESHSUB
from node.net.network import Verdict
from node.services.clock import SystemClock
from protocols.ids import Topic, topic_id
from tests.benchmarks.gossip_plan import Member, Plan, Record
from tests.integration.nodes import GENESIS, make_hello, seed_of

NUMBER_BYTES: Final = 4
TOPIC: Final = topic_id(GENESIS, Topic.BODIES)


def address_of(plan: Plan, place: int, peer: str) -> str:
    """Return where a member listens."""
    return f"/ip4/127.0.0.1/tcp/{plan.ports[place]}/p2p/{peer}"


def payload_of(plan: Plan, number: int) -> bytes:
    """Return what a message carries: its number, and bytes that no compression shortens."""
    size = plan.sendings[number].size
    return number.to_bytes(NUMBER_BYTES, "big") + Random(number).randbytes(size - NUMBER_BYTES)


def number_of(payload: bytes) -> int:
    """Return the number at the start of a payload."""
    return int.from_bytes(payload[:NUMBER_BYTES], "big")


class _OurMember:
    def __init__(self, plan: Plan, place: int, record: Record, network: Libp2pNetwork) -> None:
        self._plan, self._place, self._record = plan, place, record
        self._network = network

    async def dial(self) -> None:
        for target in self._plan.dials[self._place]:
            peer = _network(self._plan, target).peer_id
            await self._network.connect(address_of(self._plan, target, peer))

    async def send(self, number: int) -> None:
        payload = payload_of(self._plan, number)
        self._record.note_sending(number)
        await self._network.publish(Topic.BODIES, payload)

    async def listen(self, messages: trio.MemoryReceiveChannel[Any]) -> None:
        async for message in messages:
            self._record.note_arrival(number_of(message.payload))
            self._network.resolve(message.id, Verdict.ACCEPT)


@asynccontextmanager
async def our_network(plan: Plan, place: int, record: Record) -> AsyncIterator[Member]:
    """Run `Libp2pNetwork` alone: what arrives is accepted at once."""
    network = _network(plan, place)
    member = _OurMember(plan, place, record, network)
    messages = network.subscribe(Topic.BODIES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(member.listen, messages)
        await nursery.start(network.run)
        yield member
        nursery.cancel_scope.cancel()


def _network(plan: Plan, place: int) -> Libp2pNetwork:
    return Libp2pNetwork(
        seed_of(f"gossip {place}"),
        listen=[f"/ip4/127.0.0.1/tcp/{plan.ports[place]}"],
        genesis=GENESIS,
        hello=make_hello,
        clock=SystemClock(),
    )


class _BareMember:
    def __init__(self, plan: Plan, place: int, record: Record, host: Any, pubsub: Any) -> None:
        self._plan, self._place, self._record = plan, place, record
        self._host, self._pubsub = host, pubsub

    async def dial(self) -> None:
        for target in self._plan.dials[self._place]:
            peer = _network(self._plan, target).peer_id
            info = info_from_p2p_addr(Multiaddr(address_of(self._plan, target, peer)))
            await self._host.connect(info)

    async def send(self, number: int) -> None:
        payload = payload_of(self._plan, number)
        self._record.note_sending(number)
        await self._pubsub.publish(TOPIC, payload)

    async def listen(self, subscription: Any) -> None:
        while True:
            self._record.note_arrival(number_of((await subscription.get()).data))


@asynccontextmanager
async def bare_gossipsub(plan: Plan, place: int, record: Record) -> AsyncIterator[Member]:
    """Run a stock host: Noise and Yamux, our degrees and heartbeat, a validator that says yes."""
    logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    host = _bare_host(place)
    router = GossipSub(
        [MESHSUB],
        DEGREE,
        DEGREE_LOW,
        DEGREE_HIGH,
        heartbeat_interval=HEARTBEAT_S,
        spam_protection_enabled=False,
    )
    pubsub = Pubsub(host, router, strict_signing=True)
    async with (
        host.run([Multiaddr(f"/ip4/127.0.0.1/tcp/{plan.ports[place]}")]),
        background_trio_service(pubsub),
        background_trio_service(router),
        trio.open_nursery() as nursery,
    ):
        await pubsub.wait_until_ready()
        pubsub.set_topic_validator(TOPIC, _accept, is_async_validator=True)
        member = _BareMember(plan, place, record, host, pubsub)
        nursery.start_soon(member.listen, await pubsub.subscribe(TOPIC))
        yield member
        nursery.cancel_scope.cancel()
        pubsub.seen_messages.stop()


def _bare_host(place: int) -> Any:
    key_pair = create_new_key_pair(seed_of(f"gossip {place}"))
    noise = NoiseTransport(key_pair, create_noise_key_pair().private_key)
    return new_host(
        key_pair=key_pair,
        sec_opt={TProtocol("/noise"): noise},
        muxer_opt={TProtocol(YAMUX): Yamux},
    )


async def _accept(_forwarder: object, _message: object) -> bool:
    await trio.lowlevel.checkpoint()
    return True
