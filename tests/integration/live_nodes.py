"""Whole nodes that follow scripted peers over real libp2p, and waiting for what they do.

A peer serves and announces the blocks of a builder. What it says of its head is the test's choice,
so that news alone decides what a follower hears of; so is how it answers any request.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from types import MappingProxyType
from typing import Any, Final

import trio

from node.app import Node, NodeParts
from node.blocks.block import Block
from node.config import SyncConfig
from node.errors import Fault
from node.keys import NodeKeys
from node.net.libp2p import Libp2pNetwork
from node.net.libp2p.identity import decode_peer_id
from node.net.network import GossipMessage, Handler, MessageId, Verdict
from node.profiles import Profile
from node.services.block_publisher import publish_block
from node.services.serve import ServeService
from node.storage.memory import MemoryStore
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    PushEvent,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.peers import PeerList
from node.sync.syncer import SyncStatus
from protocols.ids import RequestProtocol, Topic, topic_id
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadResponse
from protocols.messages.macro_chain import (
    Checkpoint,
    MacroChainRequest,
    MacroChainResponse,
)
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import Hash32, Height, PeerId
from tests.build.chain import ChainBuilder
from tests.build.clock import FixedClock
from tests.build.sync import make_hello
from tests.integration.nodes import BOUND_S, LOOPBACK, RealNode, seed_of, start

LONG_WAIT_S: Final = 300.0
"""For timeouts that must not be what makes a test go on."""


class Bell:
    """Rings whenever something may have changed that a test waits for."""

    def __init__(self) -> None:
        self._rung = trio.Event()

    def ring(self) -> None:
        """Let all who wait look again."""
        self._rung.set()
        self._rung = trio.Event()

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until this is true."""
        with trio.fail_after(BOUND_S):
            while not happened():
                await self._rung.wait()


class WatchedNetwork(Libp2pNetwork):
    """Remembers what its node subscribed to, the faults it reported and the verdicts it gave."""

    def watch(self, bell: Bell) -> None:
        """Begin with nothing."""
        self._bell = bell
        self.topics: set[Topic] = set()
        self.reports: list[tuple[PeerId, Fault]] = []
        self.verdicts: list[Verdict] = []

    def subscribe(self, topic: Topic) -> Any:
        self.topics.add(topic)
        return super().subscribe(topic)

    def report(self, peer: PeerId, fault: Fault) -> None:
        self.reports.append((peer, fault))
        super().report(peer, fault)
        self._bell.ring()

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        self.verdicts.append(verdict)
        super().resolve(message, verdict)
        self._bell.ring()


@dataclass
class Follower:
    """A node under test, and everything that it has done."""

    node: Node
    network: WatchedNetwork
    bell: Bell
    events: list[PushEvent] = field(default_factory=list)

    @property
    def height(self) -> Height:
        """Height of the head."""
        return self.node.chain.head.number

    @property
    def status(self) -> SyncStatus:
        """Where its sync stands at this moment."""
        return self.node._sync.status()

    @property
    def accepted(self) -> tuple[Hash32, ...]:
        """Hashes of the main chain above genesis, ascending."""
        hashes = (self.node.chain.hash_at(height) for height in range(1, self.height + 1))
        return tuple(found for found in hashes if found is not None)

    async def links(self, *peers: "Peer") -> None:
        """Connect to peers, one after another."""
        for peer in peers:
            await self.network.connect(peer.network.listen_addresses[0])

    def follows(self, peer: "Peer") -> bool:
        """Tell whether a peer is live."""
        return peer.id in self.status.peers[PeerList.LIVE]

    def score_of(self, peer: "Peer") -> int:
        """Return the points that a connected peer has lost."""
        return self.network.peers[peer.id].score

    async def until(self, happened: Callable[[], object]) -> None:
        """Wait until this is true of the follower or of its peers."""
        await self.bell.until(happened)

    async def until_height(self, height: Height) -> None:
        """Wait until the head is this high."""
        await self.until(lambda: self.height == height)

    async def until_told(self, *events: PushEvent) -> None:
        """Wait until as many events are there, and check that they are these and no others."""
        await self.until(lambda: len(self.events) >= len(events))
        assert self.events == [*events]

    async def watch(self) -> None:
        """Collect events for ever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_status)
            async for event in self.node._sync.events():
                if isinstance(event, PUSH_EVENTS):
                    self.events.append(event)
                self.bell.ring()

    async def _watch_status(self) -> None:
        sequence = 0
        while True:
            sequence = (await self.node.status_after(sequence, LONG_WAIT_S))["sequence"]
            self.bell.ring()


PUSH_EVENTS: Final = (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    ReceivedMissingBlocks,
    RejectedBlock,
)


class PeerNetwork(Libp2pNetwork):
    """Answers as a test has it, and remembers what it was asked."""

    def watch(self, bell: Bell, scripts: dict[RequestProtocol, Handler]) -> None:
        """Begin with nothing.

        Args:
            bell: Rung by every request.
            scripts: What answers instead of the honest handler. May be changed at any time.
        """
        self.bell = bell
        self._scripts = scripts
        self.requests: list[tuple[RequestProtocol, bytes]] = []
        self.honest: dict[RequestProtocol, Handler] = {}

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        self.honest[protocol] = handler
        super().serve(protocol, partial(self._handle, protocol, handler))

    async def _handle(
        self, protocol: RequestProtocol, honest: Handler, peer: PeerId, payload: bytes
    ) -> bytes:
        self.requests.append((protocol, payload))
        self.bell.ring()
        return await self._scripts.get(protocol, honest)(peer, payload)


@dataclass
class Peer:
    """A scripted peer with all blocks of a branch."""

    builder: ChainBuilder
    network: PeerNetwork
    node: RealNode
    scripts: dict[RequestProtocol, Handler]
    head: Height = 0
    """What it says of itself."""

    @property
    def id(self) -> PeerId:
        """Its peer id."""
        return self.network.peer_id

    def requests_of(self, protocol: RequestProtocol) -> list[bytes]:
        """Return the requests of one kind that it got, ascending by time."""
        return [payload for asked, payload in self.network.requests if asked is protocol]

    @property
    def missing_requests(self) -> list[MissingBlocksRequest]:
        """The requests for missing blocks that it got."""
        payloads = self.requests_of(RequestProtocol.MISSING_BLOCKS)
        return [MissingBlocksRequest.decode(payload) for payload in payloads]

    @property
    def block_requests(self) -> int:
        """How many single blocks it was asked for."""
        return len(self.requests_of(RequestProtocol.BLOCK))

    async def announce(self, *blocks: Block) -> None:
        """Announce blocks as their producer does, whatever this peer says of its head."""
        for block in blocks:
            await publish_block(self.network, block)

    async def announce_header(self, block: Block) -> None:
        """Announce a header alone."""
        header = HeaderAnnouncement(
            header=block.header.encoded, justification=block.justification.encode()
        )
        await self.network.publish(Topic.HEADERS, header.encode())

    async def announce_body(self, block: Block) -> None:
        """Announce a body alone."""
        assert block.body is not None
        body = BodyAnnouncement(block=block.hash, body=block.body.encoded)
        await self.network.publish(Topic.BODIES, body.encode())

    async def knows(self, follower: Follower) -> None:
        """Wait until what is announced here goes to the follower."""
        pubsub = self.network._gossip._pubsub
        assert pubsub is not None
        for topic in sorted(follower.network.topics & {Topic.HEADERS, Topic.BODIES}):
            name = topic_id(self.builder.genesis.hash, topic)
            await pubsub.wait_for_mesh(
                decode_peer_id(follower.network.peer_id), name, timeout=BOUND_S
            )

    async def tell_head(self, _peer: PeerId, _payload: bytes) -> bytes:
        """Serve what a node with this head would say."""
        await trio.lowlevel.checkpoint()
        policy = self.builder.genesis.policy
        macro = policy.macro_at_or_before(self.head)
        election = policy.election_at_or_before(self.head)
        return HeadResponse(
            number=self.head,
            hash=self._hash_at(self.head),
            macro_number=macro,
            macro_hash=self._hash_at(macro),
            election_number=election,
            election_hash=self._hash_at(election),
        ).encode()

    async def tell_macro_chain(self, _peer: PeerId, payload: bytes) -> bytes:
        """Serve the macro blocks up to this head, to whoever is on its branch."""
        await trio.lowlevel.checkpoint()
        policy, chain = self.builder.genesis.policy, self.builder.chain
        known = (chain.header(each) for each in MacroChainRequest.decode(payload).locators)
        start = max((header.number for header in known if header is not None), default=0)
        macro = policy.macro_at_or_before(self.head)
        heights = range(policy.election_after(start), macro + 1, policy.epoch_length)
        is_newer = macro > start and not policy.is_election(macro)
        return MacroChainResponse(
            epochs=tuple(self._hash_at(height) for height in heights),
            checkpoint=Checkpoint(macro, self._hash_at(macro)) if is_newer else None,
        ).encode()

    def _hash_at(self, height: Height) -> Hash32:
        found = self.builder.chain.hash_at(height)
        assert found is not None
        return found


@dataclass
class LiveNetwork:
    """Starts followers and peers in one test."""

    nursery: trio.Nursery
    builder: ChainBuilder
    bell: Bell = field(default_factory=Bell)
    count: int = 0

    async def follower(
        self,
        profile: Profile,
        *,
        known: Sequence[Block] = (),
        parts: Mapping[str, Any] = MappingProxyType({}),
        **bounds: float,
    ) -> Follower:
        """Start a node, linked to nobody.

        Args:
            profile: Decides whether it follows with bodies.
            known: Blocks above genesis that it has already.
            parts: What it is made from that is other than usual.
            bounds: Fields of its QueueConfig that are other than usual.
        """
        traits, genesis = profile.traits, self.builder.genesis
        clock = FixedClock()
        keys = NodeKeys.derive("live sync", self._name())
        networks: list[WatchedNetwork] = []

        def make_network(hello: Callable[[], Hello]) -> WatchedNetwork:
            network = WatchedNetwork(
                keys.peer.seed, listen=[LOOPBACK], genesis=genesis.hash, hello=hello, clock=clock
            )
            network.watch(self.bell)
            networks.append(network)
            return network

        queue = SyncConfig().queue_config(genesis.policy, include_body=traits.include_body)
        changes: dict[str, Any] = {**bounds}
        usual = NodeParts(
            profile=profile,
            genesis=genesis,
            keys=keys,
            is_validator=False,
            store=MemoryStore(),
            make_network=make_network,
            clock=clock,
            rng=Random(0),
            in_thread=True,
            queue=replace(queue, **changes),
            min_peers=1,
        )
        node = Node(replace(usual, **parts))
        node.chain.push(known)
        follower = Follower(node=node, network=networks[0], bell=self.bell)
        self.nursery.start_soon(follower.watch)
        await self.nursery.start(node.run)
        return follower

    async def server(self, builder: ChainBuilder) -> Peer:
        """Start a peer that serves a chain as it is, linked to nobody."""
        peer = await self.peer(builder=builder)
        peer.scripts.clear()
        return peer

    async def peer(
        self, *followers: Follower, head: Height = 0, builder: ChainBuilder | None = None
    ) -> Peer:
        """Start a peer that all these follow.

        Args:
            followers: Wait until each of them has sorted the peer into its lists.
            head: What the peer says of itself.
            builder: The branch that it has, if not the test's.
        """
        branch, scripts = builder or self.builder, dict[RequestProtocol, Handler]()
        network = PeerNetwork(
            seed_of(self._name()),
            listen=[LOOPBACK],
            genesis=branch.genesis.hash,
            hello=lambda: make_hello(branch.chain),
            clock=FixedClock(),
        )
        network.watch(self.bell, scripts)
        ServeService(network, branch.chain, in_thread=False).register()
        node = await start(self.nursery, network, topics=[Topic.HEADERS, Topic.BODIES])
        for inbox in node.inboxes.values():
            self.nursery.start_soon(_drain, network, inbox)
        peer = Peer(branch, network, node, scripts, head)
        scripts[RequestProtocol.HEAD] = peer.tell_head
        scripts[RequestProtocol.MACRO_CHAIN] = peer.tell_macro_chain
        for follower in followers:
            await follower.network.connect(network.listen_addresses[0])
            await peer.knows(follower)
            if head == follower.height:
                await follower.until(partial(follower.follows, peer))
        return peer

    def _name(self) -> str:
        self.count += 1
        return f"node {self.count}"


def hashes(blocks: Sequence[Block]) -> tuple[Hash32, ...]:
    """Return the hashes of blocks."""
    return tuple(block.hash for block in blocks)


async def never(_peer: PeerId, _payload: bytes) -> bytes:
    """Answer no request."""
    await trio.sleep_forever()
    raise AssertionError("sleeps for ever")


def gated(honest: Handler, gate: trio.Event) -> Handler:
    """Answer honestly, but not before the gate is open."""

    async def answer(peer: PeerId, payload: bytes) -> bytes:
        await gate.wait()
        return await honest(peer, payload)

    return answer


async def _drain(network: PeerNetwork, inbox: trio.MemoryReceiveChannel[GossipMessage]) -> None:
    """Take no notice of what others announce."""
    async for message in inbox:
        network.resolve(message.id, Verdict.IGNORE)
