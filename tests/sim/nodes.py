"""Whole nodes, as `node.app` composes them, on a simulated network in virtual time."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from random import Random

import trio

from node.app import Node, NodeParts
from node.chain.genesis import Genesis
from node.chain.results import ChainEvent, Extended, Finalized, Rebranched
from node.errors import Fault
from node.keys import NodeKeys
from node.net.hub import Hub, LinkConditions, Transmission
from node.net.simulated import SimulatedNetwork, simulated_address
from node.policy import Policy
from node.profiles import Profile
from node.services.clock import VirtualClock
from node.storage.memory import MemoryStore
from node.sync.live.config import QueueConfig
from node.sync.state.state_limits import DEFAULT_LIMITS
from node.sync.state.strategy import DEFAULT_STRATEGY
from node.testnet.spec import NodeSpec, Topology, groups_of, nodes_of
from node.testnet.topology import dials_of
from protocols.messages.handshake import Hello
from protocols.types import Address, Hash32, PeerId
from tests.build.keys import SMALL_POLICY, genesis, keys

POLICY = replace(SMALL_POLICY, slots=28)
"""Macro blocks at 4, 8, ..., elections at 12, 24, ...; a quorum is 19 of 28 slots."""

MIX = {"history": 2, "full": 3, "light": 2, "pico": 1}

HARMLESS = {Fault.TOO_SLOW}
"""What honest nodes may be blamed for while others are killed and cut off."""

LOOK_S = 0.05
"""Between two looks at the nodes. Virtual time: looking often costs nothing."""


class WatchedNetwork(SimulatedNetwork):
    """Remembers the faults that it reported."""

    faults: list[tuple[PeerId, Fault]]

    def report(self, peer: PeerId, fault: Fault) -> None:
        self.faults.append((peer, fault))
        super().report(peer, fault)


@dataclass
class SimNode:
    """One node. It may be killed and started again; its store stays."""

    cluster: "Nodes"
    spec: NodeSpec
    keys: NodeKeys
    seeds: tuple[str, ...]
    min_peers: int
    store: MemoryStore = field(default_factory=MemoryStore)
    faults: list[tuple[PeerId, Fault]] = field(default_factory=list)
    lives: int = 0
    last_height: int = 0
    last_final_height: int = 0
    node: Node = field(init=False)
    """Of the present life, or of the last one."""
    network: WatchedNetwork = field(init=False)
    network_type: type[WatchedNetwork] = WatchedNetwork

    @property
    def peer_id(self) -> PeerId:
        return PeerId(self.spec.name)

    @property
    def is_running(self) -> bool:
        return self.cluster.hub.station(self.peer_id) is not None

    @property
    def height(self) -> int:
        return self.node.chain.head.number

    @property
    def final_height(self) -> int:
        return self.node.chain.macro_head.number

    def hash_at(self, height: int) -> Hash32:
        """Return the hash of its block at a height that it has."""
        found = self.node.chain.hash_at(height)
        assert found is not None
        return found

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Live until killed."""
        self.lives += 1
        self.node = Node(self._parts())
        # What was accepted before a kill is there after it.
        assert self.height >= self.last_height
        assert self.final_height >= self.last_final_height
        events = self.node._writer.subscribe()
        async with trio.open_nursery() as self._life:
            self._life.start_soon(self._record, events)
            await self._life.start(self.node.run)
            task_status.started()

    def kill(self) -> None:
        """End as kill -9 does."""
        self.last_height, self.last_final_height = self.height, self.final_height
        self.cluster.hub.kill(self.peer_id)
        self._life.cancel_scope.cancel()

    async def _record(self, events: trio.MemoryReceiveChannel[ChainEvent]) -> None:
        async for event in events:
            match event:
                case Extended(block):
                    self.cluster.heads_seen.append((trio.current_time(), self.spec.name, block))
                case Rebranched(_, adopted):
                    seen = (trio.current_time(), self.spec.name, adopted[-1])
                    self.cluster.heads_seen.append(seen)
                case Finalized(block, number):
                    self.cluster.finals.setdefault(number, set()).add(block)
                case _:
                    pass

    def _parts(self) -> NodeParts:
        policy = self.cluster.genesis.policy
        profile = Profile(self.spec.profile)
        defaults = QueueConfig.for_policy(policy, include_body=profile.traits.include_body)
        return NodeParts(
            profile=profile,
            genesis=self.cluster.genesis,
            keys=self.keys,
            is_validator=self.spec.is_validator,
            store=self.store,
            make_network=self._make_network,
            clock=VirtualClock(),
            rng=Random(f"{self.cluster.seed}/{self.spec.name}/{self.lives}"),
            in_thread=False,
            # As small beside the batches of these tests as the defaults are beside real ones.
            queue=replace(
                defaults,
                window_ahead_max=2 * policy.batch_length,
                tolerate_past_max=policy.batch_length,
            ),
            min_peers=self.min_peers,
            strategy=self.cluster.strategy,
            pivot_interval=self.cluster.pivot_interval,
            state_limits=self.cluster.state_limits,
            seeds=self.seeds,
        )

    def _make_network(self, hello: Callable[[], Hello]) -> WatchedNetwork:
        self.network = self.network_type(self.cluster.hub, self.peer_id, hello)
        self.network.faults = self.faults
        return self.network


class Nodes:
    """A cluster. Validators have equal stakes."""

    def __init__(
        self,
        nursery: trio.Nursery,
        *,
        seed: int = 1,
        mix: dict[str, int] | None = None,
        validators: int | None = None,
        policy: Policy = POLICY,
        topology: Topology = Topology.RANDOM,
        conditions: LinkConditions | None = None,
        accounts: int = 0,
    ) -> None:
        self.nursery = nursery
        self.seed = seed
        self.transcript: list[Transmission] = []
        self.hub = Hub(seed=seed, conditions=conditions, observer=self.transcript.append)
        self.finals: dict[int, set[Hash32]] = {}
        """Every macro block that became final at a height, on any node at any time."""
        self.heads_seen: list[tuple[float, str, Hash32]] = []
        """When each node had which head."""
        specs = nodes_of(groups_of(mix or MIX), validators)
        self.genesis: Genesis = genesis(sum(s.is_validator for s in specs), policy=policy)
        if accounts:
            draw = Random(seed)
            more = {Address(draw.randbytes(20)): 1000 for _ in range(accounts)}
            everybody = {**self.genesis.accounts, **more}
            self.genesis = replace(self.genesis, accounts=everybody)
        self.strategy = DEFAULT_STRATEGY
        self.pivot_interval: int | None = None
        self.state_limits = DEFAULT_LIMITS
        dials = dials_of(topology, len(specs), seed)
        self.nodes = [
            SimNode(
                cluster=self,
                spec=spec,
                keys=keys(number),
                seeds=tuple(simulated_address(PeerId(specs[to].name)) for to in targets),
                min_peers=1,
            )
            for number, (spec, targets) in enumerate(zip(specs, dials, strict=True))
        ]

    async def start(self, names: Iterable[str] | None = None) -> None:
        """Start these nodes, or all."""
        for node in self.chosen(names):
            await self.nursery.start(node.run)

    def kill(self, names: Iterable[str] | None = None) -> None:
        """End these nodes as kill -9 does, or all."""
        for node in self.chosen(names):
            node.kill()

    def chosen(self, names: Iterable[str] | None) -> list[SimNode]:
        """Return the nodes of these names, or all."""
        if names is None:
            return self.nodes
        by_name = {node.spec.name: node for node in self.nodes}
        return [by_name[name] for name in names]

    @property
    def running(self) -> list[SimNode]:
        return [node for node in self.nodes if node.is_running]

    @property
    def validators(self) -> list[SimNode]:
        return [node for node in self.nodes if node.spec.is_validator]

    def heights(self) -> list[int]:
        return [node.height for node in self.running]

    def final_heights(self) -> list[int]:
        return [node.final_height for node in self.running]

    async def until(self, condition: Callable[[], bool], *, within_s: float) -> None:
        """Wait until something holds."""
        with trio.fail_after(within_s):
            while not condition():  # noqa: ASYNC110 - no node has an event for everything
                await trio.sleep(LOOK_S)

    async def until_final(self, height: int, *, within_s: float) -> None:
        """Wait until this macro height is final on all running nodes."""
        await self.until(lambda: min(self.final_heights()) >= height, within_s=within_s)

    async def until_agreed(self, *, within_s: float) -> None:
        """Wait for a moment in which all running nodes have one head."""
        await self.until(
            lambda: len({node.node.chain.head.hash for node in self.running}) == 1,
            within_s=within_s,
        )

    def check(self) -> None:
        """Say what holds at every moment of every run."""
        assert all(len(blocks) == 1 for blocks in self.finals.values()), self.finals
        for node in self.nodes:
            if not node.lives:
                continue
            chain = node.node.chain
            for height, blocks in self.finals.items():
                found = chain.hash_at(height)
                if found is not None and height <= chain.macro_head.number:
                    assert {found} == blocks, (node.spec.name, height)
                # Without a state a node need not have what lies between macro blocks, or not yet.
                if found is None and chain.has_state and height <= chain.macro_head.number:
                    assert chain.is_pruned(height), (node.spec.name, height)
            assert {fault for _, fault in node.faults} <= HARMLESS, (node.spec.name, node.faults)
