"""Nodes that follow a scripted producer over a simulated network, in virtual time.

Blocks are made beforehand by a builder; the producer pushes and announces one after another. Every
node runs the real services: serve, sync, and the chain writer over a memory store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.chain.retention import Retention
from node.errors import Fault, UnavailableError
from node.net.hub import Hub, LinkConditions, Transmission
from node.net.network import MessageId, Verdict
from node.net.simulated import SimulatedNetwork, simulated_address
from node.profiles import MacroSyncKind
from node.services.chain_writer import ChainWriter
from node.services.clock import VirtualClock
from node.services.serve import ServeService
from node.services.sync import SyncService
from node.storage.memory import MemoryStore
from node.sync.effects import SyncEvent
from node.sync.live.config import QueueConfig
from protocols.ids import Topic
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.handshake import Hello
from protocols.types import PeerId, Service
from tests.build.chain import KEY_CACHE, ChainBuilder
from tests.build.sync import ALL_SERVICES, make_hello

REDIAL_S = 5.0
"""How often the nodes of a cluster dial whom they have lost."""

SERVICES = {
    MacroSyncKind.HISTORY: ALL_SERVICES,
    MacroSyncKind.LIGHT: Service.HEADERS | Service.MACRO_CHAIN,
    MacroSyncKind.PICO: Service.HEADERS,
}


class WatchedNetwork(SimulatedNetwork):
    """Remembers the faults that it reported."""

    def watch(self, reports: list[tuple[PeerId, Fault]], verdicts: list[Verdict]) -> None:
        self._reports_seen = reports
        self._verdicts_seen = verdicts

    def report(self, peer: PeerId, fault: Fault) -> None:
        self._reports_seen.append((peer, fault))
        super().report(peer, fault)

    def resolve(self, message: MessageId, verdict: Verdict) -> None:
        self._verdicts_seen.append(verdict)
        super().resolve(message, verdict)


@dataclass
class Follower:
    """One node. It may be killed and started again; its store stays."""

    cluster: "Followers"
    name: str
    config: QueueConfig
    min_peers: int
    kind: MacroSyncKind
    store: MemoryStore = field(default_factory=MemoryStore)
    reports: list[tuple[PeerId, Fault]] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    events: list[tuple[float, SyncEvent]] = field(default_factory=list)

    @property
    def peer_id(self) -> PeerId:
        return PeerId(self.name)

    @property
    def height(self) -> int:
        return self.chain.head.number

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until killed."""
        keeps = self.config.include_body
        self.chain = Chain.open(
            self.store,
            self.cluster.builder.genesis,
            retention=Retention.ALL if keeps else Retention.BATCH,
            keeps_state=keeps,
            clock=VirtualClock(),
            key_cache=KEY_CACHE,
        )
        self.writer = ChainWriter(self.chain, in_thread=False)
        self.network = WatchedNetwork(self.cluster.hub, self.peer_id, self._hello)
        self.network.watch(self.reports, self.verdicts)
        ServeService(self.network, self.chain, in_thread=False).register()
        self.sync = SyncService(
            self.network,
            self.chain,
            self.writer,
            self.config,
            min_peers=self.min_peers,
            clock=VirtualClock(),
            keys=KEY_CACHE,
            in_thread=False,
            kind=self.kind,
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(self._run_network, nursery.cancel_scope)
            nursery.start_soon(self._record, self.sync.events())
            await nursery.start(self.sync.run)
            task_status.started()

    async def publish(self, block: Block) -> None:
        """Push a block and announce it, header first, as a producer does."""
        pushed = block if self.config.include_body else block.without_body()
        (result,) = await self.writer.push([pushed])
        assert isinstance(result, Pushed), result
        await self.announce(block)

    async def announce(self, block: Block) -> None:
        """Announce a block without having it."""
        header = HeaderAnnouncement(
            header=block.header.encoded, justification=block.justification.encode()
        )
        await self.network.publish(Topic.HEADERS, header.encode())
        if block.body is not None:
            body = BodyAnnouncement(block=block.hash, body=block.body.encoded)
            await self.network.publish(Topic.BODIES, body.encode())

    async def _record(self, events: trio.MemoryReceiveChannel[SyncEvent]) -> None:
        async for event in events:
            self.events.append((trio.current_time(), event))

    async def _run_network(
        self,
        node: trio.CancelScope,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Take part until the hub kills us, and take the rest of the node along."""
        await self.network.run(task_status=task_status)
        node.cancel()

    def _hello(self) -> Hello:
        return make_hello(self.chain, SERVICES[self.kind])


class Followers:
    """A cluster and its scripted producer, the first node."""

    def __init__(
        self,
        nursery: trio.Nursery,
        builder: ChainBuilder,
        *,
        seed: int = 0,
        conditions: LinkConditions | None = None,
    ) -> None:
        self.nursery = nursery
        self.builder = builder
        self.random = Random(seed)
        self.transcript: list[Transmission] = []
        self.hub = Hub(seed=seed, conditions=conditions, observer=self.transcript.append)
        self.nodes: list[Follower] = []

    @property
    def producer(self) -> Follower:
        return self.nodes[0]

    async def add(
        self,
        count: int = 1,
        *,
        config: QueueConfig | None = None,
        min_peers: int = 1,
        known: int = 0,
        dials: bool = True,
        kind: MacroSyncKind | None = None,
    ) -> list[Follower]:
        """Start nodes that know the first blocks of the branch, each linked to all others."""
        added = []
        config = config or HISTORY
        by_bodies = MacroSyncKind.HISTORY if config.include_body else MacroSyncKind.LIGHT
        for _ in range(count):
            node = Follower(
                self,
                f"node{len(self.nodes):02}",
                config,
                min_peers if self.nodes else 0,
                kind or by_bodies,
            )
            self.nodes.append(node)
            await self.nursery.start(node.run)
            await self.feed(node, self.builder.blocks[:known])
            if dials:
                await self.link(node)
            added.append(node)
        return added

    async def feed(self, node: Follower, blocks: Sequence[Block]) -> None:
        """Give a node blocks as if it had had them all along."""
        if not node.config.include_body:
            blocks = [block.without_body() for block in blocks]
        for result in await node.writer.push(blocks):
            assert isinstance(result, Pushed), result

    async def link(self, node: Follower) -> None:
        """Connect a node with every other that runs."""
        for other in self.nodes:
            if other is not node and other.network.is_running:
                try:
                    await node.network.connect(simulated_address(other.peer_id))
                except UnavailableError:
                    continue

    async def restart(self, node: Follower) -> None:
        """Start a node again that was killed. It has what it had stored."""
        await self.nursery.start(node.run)
        await self.link(node)

    async def keep_linked(self) -> None:
        """Dial lost peers for ever, as the dialler of a node does."""
        while True:
            await trio.sleep(REDIAL_S)
            for node in self.nodes:
                if node.network.is_running:
                    with trio.move_on_after(1):
                        await self.link(node)

    async def produce(self, first: int, last: int, *, interval_s: float = 1.0) -> None:
        """Let the producer publish the blocks of these heights, one per interval."""
        for height in range(first, last + 1):
            await self.producer.publish(self.builder.block_at(height))
            await trio.sleep(interval_s)

    async def until_all_at(
        self, height: int, *, within_s: float, nodes: Sequence[Follower] | None = None
    ) -> float:
        """Wait until these nodes, or all that run, have this head; return how long that took."""
        start = trio.current_time()
        chosen = self.running if nodes is None else nodes
        with trio.fail_after(within_s):
            # Virtual time: looking often costs nothing, and a node has no event for its height.
            while any(node.height < height for node in chosen):  # noqa: ASYNC110
                await trio.sleep(0.05)
        return trio.current_time() - start

    @property
    def running(self) -> list[Follower]:
        return [node for node in self.nodes if node.network.is_running]

    def heads(self) -> set[bytes]:
        return {node.chain.head.hash for node in self.running}


HISTORY = QueueConfig(include_body=True)
LIGHT = QueueConfig(include_body=False)
SMALL_WINDOW = QueueConfig(include_body=True, window_ahead_max=8, tolerate_past_max=4)
"""So small that twenty blocks are far ahead."""
