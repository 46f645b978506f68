"""A peer in the test's own process that serves a chain on disk and counts what it is asked for.

The node under test is a process of its own, so that it can be killed at any moment.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from subprocess import PIPE

import trio

from node.chain.chain import Chain
from node.net.network import Handler
from node.process import ProcessRecord
from node.profiles import Profile
from node.rpc.client import RpcClient
from node.services.clock import SystemClock
from node.services.serve import ServeService
from protocols.ids import RequestProtocol
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.macro_chain import MacroChainRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import Height, PeerId
from tests.build.sync import make_hello
from tests.cli.running import invoke
from tests.integration.live_nodes import Bell, PeerNetwork
from tests.integration.nodes import LOOPBACK, seed_of, start
from tests.testnet.running import BOUND_S, HEADWAY, environment


@dataclass
class Server:
    """Serves one chain. What a node asks for is noted by session, one for each of its lives."""

    chain: Chain
    network: PeerNetwork
    bell: Bell
    scripts: dict[RequestProtocol, Handler]

    @classmethod
    async def start(cls, nursery: trio.Nursery, chain: Chain) -> "Server":
        """Serve until the nursery ends."""
        network = PeerNetwork(
            seed_of("server"),
            listen=[LOOPBACK],
            genesis=chain.genesis,
            hello=lambda: make_hello(chain),
            clock=SystemClock(),
        )
        bell, scripts = Bell(), dict[RequestProtocol, Handler]()
        network.watch(bell, scripts)
        ServeService(network, chain, in_thread=True).register()
        await start(nursery, network)
        return cls(chain, network, bell, scripts)

    @property
    def session(self) -> "Session":
        """What has been asked for since the last session was taken."""
        return Session(self.chain, tuple(self.network.requests))

    def take_session(self) -> "Session":
        """Return what was asked for since the last call."""
        session = self.session
        self.network.requests.clear()
        return session

    def hold_above(self, protocol: RequestProtocol, height: Height) -> None:
        """Leave requests of this kind for blocks above a height without an answer."""
        self._hold(protocol, lambda asked: asked > height)

    def hold_below(self, protocol: RequestProtocol, height: Height) -> None:
        """Leave requests of this kind for blocks below a height without an answer."""
        self._hold(protocol, lambda asked: asked < height)

    def _hold(self, protocol: RequestProtocol, is_held: Callable[[Height], bool]) -> None:
        honest = self.network.honest[protocol]
        height_of = HEIGHTS[protocol]

        async def answer(peer: PeerId, payload: bytes) -> bytes:
            if is_held(height_of(self.chain, payload)):
                await trio.sleep_forever()
            return await honest(peer, payload)

        self.scripts[protocol] = answer


@dataclass(frozen=True)
class Session:
    """What one process has asked for."""

    chain: Chain
    requests: tuple[tuple[RequestProtocol, bytes], ...]

    def payloads(self, protocol: RequestProtocol) -> list[bytes]:
        """Return the requests of one kind, in the order in which they came."""
        return [payload for asked, payload in self.requests if asked is protocol]

    def heights(self, protocol: RequestProtocol) -> list[Height]:
        """Return the heights of what these requests are for."""
        height_of = HEIGHTS[protocol]
        return [height_of(self.chain, payload) for payload in self.payloads(protocol)]

    @property
    def locator_heights(self) -> list[Height]:
        """Where the process stood when it asked what this chain leads to."""
        requests = map(MacroChainRequest.decode, self.payloads(RequestProtocol.MACRO_CHAIN))
        return [_height(self.chain, request.locators[0]) for request in requests]

    @property
    def leaves(self) -> list[tuple[Height, int]]:
        """The transactions that were asked for: the end of their epoch, and the leaf."""
        policy = self.chain.policy
        found = []
        for payload in self.payloads(RequestProtocol.HISTORY_CHUNK):
            request = HistoryChunkRequest.decode(payload)
            end = policy.election_after(_height(self.chain, request.verifier) - 1)
            found += [(end, request.first + index) for index in range(request.limit)]
        return found


def _height(chain: Chain, block: bytes) -> Height:
    header = chain.header(block)  # type: ignore[arg-type]
    assert header is not None
    return header.number


HEIGHTS: dict[RequestProtocol, Callable[[Chain, bytes], Height]] = {
    RequestProtocol.BLOCK: lambda chain, payload: _height(chain, BlockRequest.decode(payload).hash),
    RequestProtocol.MISSING_BLOCKS: lambda chain, payload: _height(
        chain, MissingBlocksRequest.decode(payload).target
    ),
    RequestProtocol.BATCH_SET: lambda _, payload: BatchSetRequest.decode(payload).after + 1,
    RequestProtocol.HISTORY_CHUNK: lambda chain, payload: _height(
        chain, HistoryChunkRequest.decode(payload).verifier
    ),
}
"""Of what a request is for: the block, the last of a few blocks, or the first that may be new."""


@dataclass
class Daemon:
    """A node as a process that may be killed and started again."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, profile: Profile, genesis: Path, *seeds: str) -> "Daemon":
        """Make the folder of a node that knows one seed."""
        options = [part for seed in seeds for part in ("--seed", seed)]
        made = invoke("init", folder, "--genesis", genesis, "--profile", profile.value, *options)
        assert made.exit_code == 0, made.output
        return cls(folder)

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[trio.Process]:
        """Run it; entered once it has started, and killed at the end if it still runs."""
        command = [str(HEADWAY), "run", "--config", str(self.folder / "config.toml"), *arguments]
        opened = partial(trio.lowlevel.open_process, env=environment(self.folder), stderr=PIPE)
        process = await opened([*command, "--min-peers", "1", "--log-format", "json"])
        has_started = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_read_log, process, has_started)
            try:
                with trio.fail_after(BOUND_S):
                    await has_started.wait()
                yield process
            finally:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()

    async def until_height(self, height: Height) -> Height:
        """Wait until the running process is so high, and return how high it is."""
        record = ProcessRecord.load(self.folder / "data")
        assert record is not None
        sequence = 0
        with trio.fail_after(BOUND_S), RpcClient(record.rpc, timeout_s=BOUND_S) as client:
            while True:
                question = {"after": sequence, "timeout_s": 1.0}
                answer = await trio.to_thread.run_sync(client.call, "awaitStatus", question)
                status = answer["data"]
                if status["height"] >= height:
                    return int(status["height"])
                sequence = status["sequence"]


async def _read_log(process: trio.Process, has_started: trio.Event) -> None:
    """Read all that a process says, or it would wait for that."""
    assert process.stderr is not None
    text = b""
    async for chunk in process.stderr:
        text += chunk
        if b'"node_started"' in text:
            has_started.set()
    has_started.set()
    assert b"Traceback" not in text, text.decode()
