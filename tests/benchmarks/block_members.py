"""Members of a gossip plan whose messages are real blocks.

block_members      all of a full node but its validator and API
executing_members  the same blocks, decoded, verified, executed and stored without any network
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import ChainEvent, Extended, Pushed
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.keys import NodeKeys
from node.log import configure_logging
from node.net.libp2p import Libp2pNetwork
from node.profiles import Profile
from node.services.block_publisher import publish_block
from node.services.chain_writer import ChainWriter
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from tests.benchmarks.followers import Follower
from tests.benchmarks.gossip_members import address_of
from tests.benchmarks.gossip_plan import Member, OpenMember, Plan, Record, sleep_until

LOOK_S = 0.001


def block_members(genesis: Genesis, blocks: Sequence[Block]) -> OpenMember:
    """Return members that send one block after the other to their peers."""

    @asynccontextmanager
    async def open_member(plan: Plan, place: int, record: Record) -> AsyncIterator[Member]:
        configure_logging(level="info", format_="text")
        async with _opened(plan, place, genesis) as (chain, keys), trio.open_nursery() as nursery:
            member = _BlockMember(plan, place, record, chain, keys, blocks)
            await member.start(nursery)
            yield member
            nursery.cancel_scope.cancel()

    return open_member


def executing_members(genesis: Genesis, blocks: Sequence[Block]) -> OpenMember:
    """Return members without network: each has every block's bytes the moment they are sent."""
    payloads = [block.encode() for block in blocks]

    @asynccontextmanager
    async def open_member(plan: Plan, place: int, record: Record) -> AsyncIterator[Member]:
        async with _opened(plan, place, genesis) as (chain, _), trio.open_nursery() as nursery:
            yield _ExecutingMember(
                plan, record, ChainWriter(chain, in_thread=True), payloads, nursery
            )
            nursery.cancel_scope.cancel()

    return open_member


@asynccontextmanager
async def _opened(
    plan: Plan, place: int, genesis: Genesis
) -> AsyncIterator[tuple[Chain, KeyCache]]:
    """Open a full chain on disk, and the cache of keys that it verifies with."""
    store = DiskStore(plan.folder / f"store-{place}")
    keys = KeyCache()
    yield (
        Chain.open(
            store,
            genesis,
            retention=Retention.ALL,
            keeps_state=True,
            clock=SystemClock(),
            key_cache=keys,
        ),
        keys,
    )
    store.close()


class _ExecutingMember:
    """Pushes every block when it is due; it has arrived once the chain has it as its head."""

    def __init__(
        self,
        plan: Plan,
        record: Record,
        writer: ChainWriter,
        payloads: Sequence[bytes],
        nursery: trio.Nursery,
    ) -> None:
        self._plan, self._record, self._writer = plan, record, writer
        self._payloads = payloads
        self._nursery = nursery

    async def dial(self) -> None:
        await trio.lowlevel.checkpoint()
        self._nursery.start_soon(self._push_all)

    async def send(self, number: int) -> None:
        await trio.lowlevel.checkpoint()
        self._record.note_sending(number, self._due(number))

    async def _push_all(self) -> None:
        for number, payload in enumerate(self._payloads):
            await sleep_until(self._due(number))
            (result,) = await self._writer.push([Block.decode(payload)])
            assert isinstance(result, Pushed), result
            self._record.note_arrival(number)

    def _due(self, number: int) -> float:
        return self._record.begin + self._plan.sendings[number].at_s


class _BlockMember:
    """A full node. A message is a block; it has arrived once the chain has it as its head."""

    def __init__(
        self,
        plan: Plan,
        place: int,
        record: Record,
        chain: Chain,
        keys: KeyCache,
        blocks: Sequence[Block],
    ) -> None:
        self._plan, self._place, self._record, self._blocks = plan, place, record, blocks
        self._numbers = {block.hash: number for number, block in enumerate(blocks)}
        self._chain, clock = chain, SystemClock()
        self._network = Libp2pNetwork(
            _keys(place).peer.seed,
            listen=[f"/ip4/127.0.0.1/tcp/{plan.ports[place]}"],
            genesis=chain.genesis,
            hello=self._hello,
            clock=clock,
        )
        self._follower = Follower(self._network, self._chain, keys=keys, clock=clock)
        self._events = self._follower.writer.subscribe()

    async def start(self, nursery: trio.Nursery) -> None:
        await self._follower.start(nursery)
        nursery.start_soon(self._listen)

    async def dial(self) -> None:
        for target in self._plan.dials[self._place]:
            address = address_of(self._plan, target, str(_keys(target).peer_id))
            await self._network.connect(address)

    async def send(self, number: int) -> None:
        block = self._blocks[number]
        while self._chain.head.hash != block.parent_hash:  # noqa: ASYNC110 - a late block before.
            await trio.sleep(LOOK_S)
        (result,) = await self._follower.writer.push([block])
        assert isinstance(result, Pushed), result
        # As for a validator: its own chain has the block before anybody hears of it.
        self._record.note_sending(number)
        await publish_block(self._network, block)

    async def _listen(self) -> None:
        async for event in self._events:
            self._take(event)

    def _take(self, event: ChainEvent) -> None:
        if isinstance(event, Extended):
            self._record.note_arrival(self._numbers[event.hash])

    def _hello(self) -> Hello:
        head = self._chain.head
        return Hello(
            network=self._chain.network,
            genesis=self._chain.genesis,
            version=PROTOCOL_VERSION,
            services=Profile.FULL.traits.services,
            head_number=head.number,
            head_hash=head.hash,
            agent="benchmark",
        )


def _keys(place: int) -> NodeKeys:
    return NodeKeys.derive("benchmark", f"member-{place}")
