"""A peer that says it is far ahead, answers with junk, and announces forgeries."""

from random import Random

import trio

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.errors import UnavailableError
from node.net.simulated import SimulatedNetwork, simulated_address
from protocols.ids import RequestProtocol, Topic
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.messages.block import BlockResponse
from protocols.messages.handshake import Hello
from protocols.messages.head import HeadResponse
from protocols.messages.macro_chain import Checkpoint, MacroChainResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.types import Hash32, PeerId
from tests.build.sync import make_hello
from tests.sim.followers import Followers

INTERVAL_S = 0.7


class Liar:
    """Takes part in the network and tells the truth about nothing.

    One that refuses to say what its macro chain is stays in the game for longer.
    """

    def __init__(
        self, cluster: Followers, name: str, luck: float, *, refuses: bool = False
    ) -> None:
        self._cluster = cluster
        self._random = Random(luck)
        self.peer_id = PeerId(name)
        self._network = SimulatedNetwork(cluster.hub, self.peer_id, self._hello)
        if not refuses:
            self._network.serve(RequestProtocol.MACRO_CHAIN, self._serve_macro_chain)
        self._network.serve(RequestProtocol.HEAD, self._serve_head)
        self._network.serve(RequestProtocol.BLOCK, self._serve_block)
        self._network.serve(RequestProtocol.MISSING_BLOCKS, self._serve_missing)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Lie until cancelled or banned by all."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._network.run)
            task_status.started()
            while True:
                await self._announce(self._forge())
                await trio.sleep(INTERVAL_S)

    async def meet_everybody(self) -> None:
        """Connect to every node."""
        for node in self._cluster.running:
            try:
                await self._network.connect(simulated_address(node.peer_id))
            except UnavailableError:
                continue

    def _hello(self) -> Hello:
        return make_hello(self._cluster.producer.chain)

    def _block(self) -> Block:
        return self._random.choice(self._cluster.builder.blocks)

    def _forge(self) -> Block:
        """Return a good header with a signature of nobody's, or with the body of another block."""
        good, other = self._block(), self._block()
        if good.is_macro or self._random.random() < 0.5:
            return Block(good.header, good.justification, other.body)
        return Block(good.header, ProducerSignature(bytes(64)), good.body)

    async def _announce(self, block: Block) -> None:
        header = HeaderAnnouncement(
            header=block.header.encoded, justification=block.justification.encode()
        )
        await self._network.publish(Topic.HEADERS, header.encode())
        assert block.body is not None
        body = BodyAnnouncement(block=block.hash, body=block.body.encoded)
        await self._network.publish(Topic.BODIES, body.encode())

    async def _serve_macro_chain(self, _peer: PeerId, _payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._random.random() < 0.7:
            return MacroChainResponse(epochs=(), checkpoint=None).encode()
        block = self._random.choice((Hash32(self._random.randbytes(32)), self._block().hash))
        number = self._random.choice((self._block().number, 4 * self._random.randrange(12)))
        return MacroChainResponse(
            epochs=self._random.choice(((), (block,))),
            checkpoint=self._random.choice((None, Checkpoint(number, block))),
        ).encode()

    async def _serve_head(self, _peer: PeerId, _payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        ahead = self._random.choice((0, 3, 1000))
        number = self._block().number + ahead
        nobody = Hash32(self._random.randbytes(32))
        return HeadResponse(
            number=number,
            hash=nobody,
            macro_number=number - number % 4,
            macro_hash=self._random.choice((nobody, self._block().hash)),
            election_number=0,
            election_hash=nobody,
        ).encode()

    async def _serve_block(self, _peer: PeerId, _payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return BlockResponse(block=self._forge().encode()).encode()

    async def _serve_missing(self, _peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        request = MissingBlocksRequest.decode(payload)
        blocks = self._cluster.builder.blocks
        start = next((block.number for block in blocks if block.hash in request.locators), 0)
        lies = list(blocks[start : start + 4])
        if lies and self._random.random() < 0.5:
            lies[-1] = self._forge()
        encoded = (
            (block if request.with_body else block.without_body()).encode() for block in lies
        )
        return MissingBlocksResponse(blocks=tuple(encoded)).encode()
