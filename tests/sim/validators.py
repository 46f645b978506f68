"""Validators on a simulated network in virtual time.

Blocks travel by gossip. In place of block live sync there is a relay: it pushes what was announced,
and copies what it missed from whoever can be reached, looking every second.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio
from trio.testing import MockClock

from node.blocks.block import Block
from node.blocks.body import decode_body
from node.blocks.header import decode_header
from node.blocks.justification import decode_justification
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import Orphan, Pushed
from node.chain.retention import Retention
from node.clock import WallClock
from node.crypto.bls import KeyCache
from node.keys import NodeKeys
from node.net.hub import Hub, LinkConditions
from node.net.network import GossipMessage, Verdict
from node.net.simulated import SimulatedNetwork, simulated_address
from node.policy import Policy
from node.services.chain_writer import ChainWriter
from node.services.clock import SystemClock, VirtualClock
from node.services.mempool import MempoolService
from node.services.validator import ValidatorService
from node.services.votes import VotesService
from node.storage.memory import MemoryStore
from protocols.ids import Topic
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.handshake import Hello
from protocols.messages.votes import VoteMessage, decode_vote_message
from protocols.types import Hash32, PeerId, Service
from tests.build.chain import KEY_CACHE
from tests.build.keys import genesis, keys

POLICY = Policy(
    batch_length=4,
    batches_per_epoch=3,
    slots=12,
    block_separation_ms=1000,
    producer_timeout_ms=4000,
    validity_window_batches=2,
)
"""Macro blocks at 4, 8, 12, ...; a quorum is 8 of 12 slots, and 3 of 4 equal validators."""

CATCH_UP_S = 1.0


@dataclass
class Relay:
    """Joins headers and bodies, pushes blocks, and copies missing ones from other nodes."""

    node: "SimValidator"
    headers: dict[Hash32, HeaderAnnouncement] = field(default_factory=dict)
    bodies: dict[Hash32, BodyAnnouncement] = field(default_factory=dict)

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, Topic.HEADERS, self._on_header)
            nursery.start_soon(self._read, Topic.BODIES, self._on_body)
            nursery.start_soon(self._keep_up)

    def subscribe(self) -> None:
        self._channels = {
            topic: self.node.network.subscribe(topic) for topic in (Topic.HEADERS, Topic.BODIES)
        }

    async def _read(self, topic: Topic, handle: Callable[[GossipMessage], Awaitable[None]]) -> None:
        async for message in self._channels[topic]:
            self.node.network.resolve(message.id, Verdict.ACCEPT)
            await handle(message)

    async def _on_header(self, message: GossipMessage) -> None:
        announced = HeaderAnnouncement.decode(message.payload)
        block = decode_header(announced.header).hash
        self.headers.setdefault(block, announced)
        await self._join(block)

    async def _on_body(self, message: GossipMessage) -> None:
        announced = BodyAnnouncement.decode(message.payload)
        self.bodies[announced.block] = announced
        await self._join(announced.block)

    async def _join(self, block: Hash32) -> None:
        header, body = self.headers.get(block), self.bodies.get(block)
        if header is None or body is None or self.node.chain.contains(block):
            return
        whole = Block(
            decode_header(header.header),
            decode_justification(header.justification),
            decode_body(body.body),
        )
        (result,) = await self.node.writer.push([whole])
        assert isinstance(result, Pushed | Orphan), result

    async def _keep_up(self) -> None:
        while True:
            await trio.sleep(CATCH_UP_S)
            await self.node.copy_missing()


class RecordingNetwork(SimulatedNetwork):
    """Remembers what it publishes."""

    published: list[VoteMessage]
    announced: list[tuple[Topic, bytes]]

    async def publish(self, topic: Topic, payload: bytes) -> None:
        if topic is Topic.VOTES:
            self.published.append(decode_vote_message(payload))
        elif topic in (Topic.HEADERS, Topic.BODIES):
            self.announced.append((topic, payload))
        await super().publish(topic, payload)


class SimValidator:
    """One validator node. It may be killed and started again; its store stays."""

    def __init__(self, cluster: "Cluster", index: int) -> None:
        self.cluster = cluster
        self.index = index
        self.keys: NodeKeys = keys(index)
        self.peer_id = PeerId(f"validator-{index}")
        self.store = MemoryStore()
        self.is_established = True
        self.wall_clock: WallClock = cluster.wall_clock
        self.chain = self._open_chain()

    def _open_chain(self) -> Chain:
        return Chain.open(
            self.store,
            self.cluster.genesis,
            retention=Retention.ALL,
            keeps_state=True,
            clock=self.wall_clock,
            key_cache=KEY_CACHE,
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until killed."""
        self.chain = self._open_chain()
        self.writer = ChainWriter(self.chain, in_thread=self.cluster.in_thread)
        self.network = RecordingNetwork(self.cluster.hub, self.peer_id, self._hello)
        self.network.published = self.cluster.published
        self.network.announced = []
        self.mempool = MempoolService(network=self.network, chain=self.chain, writer=self.writer)
        self.validator = ValidatorService(
            chain=self.chain,
            writer=self.writer,
            network=self.network,
            keys=self.keys,
            store=self.store,
            clock=self.wall_clock,
            is_established=lambda: self.is_established,
            mempool=self.mempool.mempool,
            in_thread=self.cluster.in_thread,
        )
        votes = VotesService(
            network=self.network,
            chain=self.chain,
            keys=KeyCache(),
            deliver=self.validator.deliver,
            in_thread=self.cluster.in_thread,
        )
        relay = Relay(self)
        relay.subscribe()
        with trio.CancelScope() as self.scope:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._run_network)
                for service in (votes, self.mempool, self.validator):
                    await nursery.start(service.run)
                nursery.start_soon(relay.run)
                await self._connect()
                task_status.started()

    async def _run_network(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        await self.network.run(task_status=task_status)
        # Killed by the hub: the whole process ends with its network.
        self.scope.cancel()

    def kill(self) -> None:
        """End as kill -9 does."""
        self.cluster.hub.kill(self.peer_id)

    async def copy_missing(self) -> None:
        """Push what a reachable node has above our last macro block."""
        for other in self.cluster.reachable_from(self):
            start = self.chain.macro_head.number + 1
            hashes = [other.chain.hash_at(n) for n in range(start, other.chain.head.number + 1)]
            blocks = [other.chain.block(h, with_body=True) for h in hashes if h is not None]
            missing = [b for b in blocks if b is not None and not self.chain.contains(b.hash)]
            if missing:
                await self.writer.push(missing)

    async def _connect(self) -> None:
        for other in self.cluster.nodes:
            if other is not self and self.cluster.hub.station(other.peer_id) is not None:
                await self.network.connect(simulated_address(other.peer_id))

    def _hello(self) -> Hello:
        return Hello(
            network=self.chain.network,
            genesis=self.chain.genesis,
            version=PROTOCOL_VERSION,
            services=Service.HEADERS | Service.BODIES,
            head_number=self.chain.head.number,
            head_hash=self.chain.head.hash,
            agent="sim",
        )


class Cluster:
    """Validators 0..count-1 with equal stakes, all linked.

    Args:
        clock: The test's virtual clock, so that no test runs in real time by mistake; None for
            those that shall.
    """

    def __init__(
        self,
        clock: MockClock | None,
        nursery: trio.Nursery,
        count: int,
        *,
        seed: int = 1,
        policy: Policy = POLICY,
        conditions: LinkConditions | None = None,
        in_thread: bool = False,
    ) -> None:
        assert in_thread == (clock is None)
        self.in_thread = in_thread
        self.wall_clock: WallClock = SystemClock() if in_thread else VirtualClock()
        self.nursery = nursery
        self.genesis: Genesis = genesis(count, policy=policy)
        self.published: list[VoteMessage] = []
        self.hub = Hub(seed=seed, conditions=conditions)
        self.nodes: list[SimValidator] = []
        self.nodes = [SimValidator(self, index) for index in range(count)]

    async def start(self, *indices: int) -> None:
        """Start these validators, or all."""
        for index in indices or range(len(self.nodes)):
            await self.nursery.start(self.nodes[index].run)

    def kill(self, *indices: int) -> None:
        """End these validators as kill -9 does."""
        for index in indices:
            self.nodes[index].kill()

    @property
    def running(self) -> list[SimValidator]:
        return [n for n in self.nodes if self.hub.station(n.peer_id) is not None]

    def reachable_from(self, node: SimValidator) -> list[SimValidator]:
        return [
            other
            for other in self.running
            if other is not node and not self.hub.is_cut(node.peer_id, other.peer_id)
        ]

    def by_owner(self, index: int) -> SimValidator:
        """Return the node of the validator at a position of the epoch."""
        key = self.running[0].chain.validators.members[index].signing_key
        return next(node for node in self.nodes if node.keys.signing.public_key == key)

    def stop(self) -> None:
        """End the test's nursery."""
        self.nursery.cancel_scope.cancel()

    def heads(self) -> list[int]:
        return [node.chain.head.number for node in self.running]

    def macro_heads(self) -> list[int]:
        return [node.chain.macro_head.number for node in self.running]

    def block(self, height: int) -> Block:
        """Return the first running node's block at a height."""
        chain = self.running[0].chain
        block_hash = chain.hash_at(height)
        block = None if block_hash is None else chain.block(block_hash, with_body=True)
        assert block is not None
        return block

    def blocks(self) -> list[Block]:
        """Return the first running node's main chain without genesis."""
        return [self.block(n) for n in range(1, self.running[0].chain.head.number + 1)]

    def agree(self, height: int) -> bool:
        """Tell whether all running nodes have the same block at a height."""
        return len({node.chain.hash_at(height) for node in self.running}) == 1

    async def until(self, height: int, *, within_s: float) -> None:
        """Wait until all running nodes have final blocks up to a macro height."""
        with trio.fail_after(within_s):
            while min(self.macro_heads()) < height:  # noqa: ASYNC110 - virtual time
                await trio.sleep(0.1)
