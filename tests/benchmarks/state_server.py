"""The server of a state benchmark: a full node on real libp2p that counts what it gives away.

It pushes and announces prepared blocks at a steady rate from the first question for accounts on.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.chain.retention import Retention
from node.crypto.bls import KeyCache
from node.keys import NodeKeys
from node.log import configure_logging
from node.net.libp2p import Libp2pNetwork
from node.net.network import Handler
from node.profiles import Profile
from node.services.block_publisher import publish_block
from node.services.clock import SystemClock
from node.storage.disk import DiskStore
from protocols.ids import RequestProtocol
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from protocols.messages.state_range import StateRangeResponse
from protocols.status import Refusal
from protocols.types import PeerId
from tests.benchmarks.followers import Follower
from tests.benchmarks.state_source import GrownGenesis, genesis_of, later_blocks

RECORD_BYTES: Final = 31
"""Of one account in an answer."""


@dataclass(frozen=True, slots=True)
class Live:
    """How the chain of the server moves."""

    blocks_per_s: float
    changed: int
    """Accounts in each block."""


@dataclass(slots=True)
class Served:
    """What a server has given away so far, and where it stands."""

    accounts: int = 0
    change_bytes: int = 0
    """Of answers about what blocks change."""
    first: int = 0
    """Height of the chain at the start."""
    height: int = 0
    """Of the chain now."""

    def write(self, path: Path) -> None:
        """Tell others, who may read at any moment."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.write(
            descriptor, _SERVED.pack(self.accounts, self.change_bytes, self.first, self.height)
        )
        os.close(descriptor)

    @classmethod
    def read(cls, path: Path) -> "Served":
        """Return what a server has told last."""
        return cls(*_SERVED.unpack(path.read_bytes()))


_SERVED: Final = Struct(">4Q")


async def serve_state(
    source: Path, data: Path, port: int, live: Live | None, told: Path, ready: Callable[[], None]
) -> None:
    """Serve the chain of a source until this process is ended.

    Args:
        source: As `state_source.make_source` has left it.
        data: Copy of its data, which is written to.
        port: To listen on.
        live: How the chain moves; None if it does not.
        told: File that `Served` is written to.
        ready: Called once the node listens.
    """
    configure_logging(level="info", format_="text")
    server = _Server(genesis_of(source), data, port, told)
    blocks = [] if live is None else later_blocks(source, live.changed)
    async with trio.open_nursery() as nursery:
        await server.start(nursery)
        ready()
        if live is not None:
            await server.grow(blocks, live.blocks_per_s)
        await trio.sleep_forever()


class _Server:
    def __init__(self, genesis: GrownGenesis, data: Path, port: int, told: Path) -> None:
        keys, clock = KeyCache(), SystemClock()
        self._told = told
        self._served = Served()
        self._was_asked = trio.Event()
        self._chain = Chain.open(
            DiskStore(data),
            genesis,
            retention=Retention.ALL,
            keeps_state=True,
            clock=clock,
            key_cache=keys,
        )
        self._network = _CountingNetwork(
            NodeKeys.derive("benchmark", "server").peer.seed,
            listen=[f"/ip4/127.0.0.1/tcp/{port}"],
            genesis=genesis.hash,
            hello=self._hello,
            clock=clock,
        )
        self._network.count = self._count
        self._follower = Follower(self._network, self._chain, keys=keys, clock=clock)

    async def start(self, nursery: trio.Nursery) -> None:
        self._served.first = self._chain.head.number
        self._note_height()
        await self._follower.start(nursery)

    async def grow(self, payloads: list[bytes], blocks_per_s: float) -> None:
        """Push and announce blocks, each when it is due or as soon as the one before it allows."""
        await self._was_asked.wait()
        begin = trio.current_time()
        for number, payload in enumerate(payloads, start=1):
            await trio.sleep_until(begin + number / blocks_per_s)
            block = Block.decode(payload)
            (result,) = await self._follower.writer.push([block])
            assert isinstance(result, Pushed), result
            self._note_height()
            await publish_block(self._network, block)

    def _note_height(self) -> None:
        self._served.height = self._chain.head.number
        self._served.write(self._told)

    def _count(self, protocol: RequestProtocol, response: bytes) -> None:
        if protocol is RequestProtocol.TRIE_DIFFS:
            self._served.change_bytes += len(response)
        elif protocol is RequestProtocol.STATE_RANGE:
            self._was_asked.set()
            decoded = StateRangeResponse.decode(response)
            if not isinstance(decoded, Refusal) and decoded.answer is not None:
                self._served.accounts += len(decoded.answer.leaves) // RECORD_BYTES
        else:
            return
        self._served.write(self._told)

    def _hello(self) -> Hello:
        head = self._chain.head
        return Hello(
            network=self._chain.network,
            genesis=self._chain.genesis,
            version=PROTOCOL_VERSION,
            services=Profile.HISTORY.traits.services,
            head_number=head.number,
            head_hash=head.hash,
            agent="benchmark",
        )


class _CountingNetwork(Libp2pNetwork):
    """Tells of each answer."""

    count: Callable[[RequestProtocol, bytes], None]

    def serve(self, protocol: RequestProtocol, handler: Handler) -> None:
        super().serve(protocol, self._counted(protocol, handler))

    def _counted(self, protocol: RequestProtocol, handler: Handler) -> Handler:
        async def handle(peer: PeerId, payload: bytes) -> bytes:
            response = await handler(peer, payload)
            self.count(protocol, response)
            return response

        return handle
