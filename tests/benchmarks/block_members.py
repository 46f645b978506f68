"""Members of a gossip plan that send real blocks: all of a full node but its validator and API."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.chain.results import ChainEvent, Extended, Pushed
from node.config import SyncConfig
from node.crypto.bls import KeyCache
from node.keys import NodeKeys
from node.log import configure_logging
from node.net.libp2p import Libp2pNetwork
from node.profiles import Profile
from node.services.block_publisher import publish_block
from node.services.chain_writer import ChainWriter
from node.services.clock import SystemClock
from node.services.serve import ServeService
from node.services.sync import SyncService
from node.storage.disk import DiskStore
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from tests.benchmarks.chains import build_blocks
from tests.benchmarks.gossip_members import address_of
from tests.benchmarks.gossip_plan import Member, OpenMember, Plan, Record

LOOK_S = 0.001


def block_members(transactions: Sequence[int]) -> OpenMember:
    """Return members that send one block after the other.

    Args:
        transactions: How many the first, second, ... block has.
    """
    genesis, blocks = build_blocks(transactions)

    @asynccontextmanager
    async def open_member(plan: Plan, place: int, record: Record) -> AsyncIterator[Member]:
        configure_logging(level="info", format_="text")
        store = DiskStore(plan.folder / f"store-{place}")
        member = _BlockMember(plan, place, record, genesis, store, blocks)
        async with trio.open_nursery() as nursery:
            await member.start(nursery)
            yield member
            nursery.cancel_scope.cancel()
        store.close()

    return open_member


class _BlockMember:
    """A full node. A message is a block; it has arrived once the chain has it as its head."""

    def __init__(
        self,
        plan: Plan,
        place: int,
        record: Record,
        genesis: Genesis,
        store: DiskStore,
        blocks: Sequence[Block],
    ) -> None:
        self._plan, self._place, self._record, self._blocks = plan, place, record, blocks
        self._numbers = {block.hash: number for number, block in enumerate(blocks)}
        keys, clock = KeyCache(), SystemClock()
        self._chain = Chain.open(
            store, genesis, keeps_bodies=True, keeps_state=True, clock=clock, key_cache=keys
        )
        self._network = Libp2pNetwork(
            _keys(place).peer.seed,
            listen=[f"/ip4/127.0.0.1/tcp/{plan.ports[place]}"],
            genesis=genesis.hash,
            hello=self._hello,
            clock=clock,
        )
        self._writer = ChainWriter(self._chain, in_thread=True)
        self._events = self._writer.subscribe()
        ServeService(self._network, self._chain, in_thread=True).register()
        self._sync = SyncService(
            self._network,
            self._chain,
            self._writer,
            SyncConfig().queue_config(genesis.policy, include_body=True),
            min_peers=1,
            clock=clock,
            keys=keys,
            in_thread=True,
        )

    async def start(self, nursery: trio.Nursery) -> None:
        await nursery.start(self._sync.run)
        await nursery.start(self._network.run)
        nursery.start_soon(self._listen)

    async def dial(self) -> None:
        for target in self._plan.dials[self._place]:
            address = address_of(self._plan, target, str(_keys(target).peer_id))
            await self._network.connect(address)

    async def send(self, number: int) -> None:
        block = self._blocks[number]
        while self._chain.head.hash != block.parent_hash:  # noqa: ASYNC110 - a late block before.
            await trio.sleep(LOOK_S)
        (result,) = await self._writer.push([block])
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
