"""One node that gets its state while blocks come, ends and begins again: all drawn from a seed.

The chain, its writer, the state sync and the network are the real ones, in virtual time. Peers
serve a chain that is grown already, as far as the node has heard of it. The process may end inside
any commit, or right after it. In the end the store is what executing every block would have left.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from random import Random
from typing import Final

import trio
import trio._core._run as scheduler
from trio.testing import MockClock

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.chain.state_mode import state_head, sync_target
from node.errors import Fault, UnavailableError
from node.net.hub import Hub, LinkConditions
from node.net.network import Handler
from node.net.simulated import SimulatedNetwork, simulated_address
from node.policy import Policy
from node.serve.history_peaks import serve_history_peaks
from node.serve.missing_blocks import serve_missing_blocks
from node.serve.state_range import serve_state_range
from node.serve.subtrees import serve_subtrees
from node.serve.trie_diffs import serve_trie_diffs
from node.services.chain_writer import ChainWriter
from node.services.clock import VirtualClock
from node.services.state_sync import StateSyncService
from node.services.state_tasks import SessionTools
from node.storage.memory import MemoryStore
from node.storage.store import Reader, Table, Writer
from node.sync.state import state_store
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.strategy import SyncStrategy
from protocols.ids import RequestProtocol
from protocols.messages.history_peaks import HistoryPeaksRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.messages.state_range import StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.trie_diffs import TrieDiffsRequest
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Hash32, Height, PeerId
from tests.build.chain import ChainBuilder, contents, open_chain
from tests.build.keys import genesis
from tests.build.state_sync import adopt, full_chain, grow_forked, push_rest, syncing_chain
from tests.build.sync import make_hello
from tests.sim.nodes import WatchedNetwork

POLICY: Final = Policy(batch_length=7, batches_per_epoch=2, slots=4, validity_window_batches=1)
BATCHES: Final = 5
"""States of the last four can be proven, so all from the first target on."""
FIRST: Final = POLICY.batch_length
"""The target of the first attempt."""

CHAINS: Final = 4
"""Different ones: growing one takes as long as a run."""
ACCOUNTS: Final = 150
LIMITS: Final = replace(DEFAULT_LIMITS, range_leaves=8, held_ranges=12, parts_at_once=3)

ME: Final = PeerId("joining")
BOUND_S: Final = 3600.0
"""In virtual time: several rests of all peers."""
LOOK_S: Final = 0.25
LAST_STEPS: Final = 4
"""Commits of a sync that blocks race with: the finalizer, replay, and what ends it."""

REDIAL_S: Final = 5.0

RETAINED: Final = (
    Table.HISTORY,
    Table.HISTORY_LENGTHS,
    Table.DIFFS,
    Table.OLD_ACCOUNTS,
    Table.OLD_BRANCHES,
)
"""Tables of which one that executed everything has more, for some batches."""


class KilledError(Exception):
    """The process ends."""


@dataclass(frozen=True, slots=True)
class Grown:
    """A chain, its blocks in the order of their arrival, and what it leaves who executes it."""

    builder: ChainBuilder
    order: tuple[Block, ...]
    served: Chain
    executed: MemoryStore


@cache
def grown(number: int) -> Grown:
    """Return one of the chains."""
    draw = Random(number)
    plain = genesis(policy=POLICY)
    more = {Address(draw.randbytes(20)): 1000 for _ in range(ACCOUNTS)}
    rich = replace(plain, accounts={**plain.accounts, **more})
    builder, order = grow_forked(rich, number, BATCHES)
    tip = builder.fork_from(builder.head.hash)
    order += [tip.micro(), tip.micro()]
    executed = MemoryStore()
    push_rest(full_chain(rich, executed), order)
    served = open_chain(rich)
    push_rest(served, order)
    return Grown(builder, tuple(order), served, executed)


class WatchedStore(MemoryStore):
    """Ends the process at a commit, and checks after each that nothing goes back."""

    def __init__(self, draw: Random) -> None:
        super().__init__()
        self.is_watched = False
        self.kills_in: int | None = None
        """Commits until the process ends with one; None: it does not."""
        self.has_ended = False
        self.final_commits = 0
        """Commits since the state of a target was complete first, that one included."""
        self._final_commit = trio.Event()
        self.steps: list[str] = []
        """What each commit did, as far as a sync is concerned."""
        self.killed: set[tuple[str, bool]] = set()
        """What the last commits of processes did, and whether they were done."""
        self._draw = draw
        self._heights = (0, 0)
        self.height_of: Callable[[Hash32 | None], Height] = lambda _: 0

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Writer]:
        if not self.is_watched:
            with super().write(durable=durable) as writer:
                yield writer
            return
        with super().write(durable=durable) as writer:
            before = self._state_of(writer)
            yield writer
            after = self._state_of(writer)
            self._count_down()
            steps = [name for name in after if before[name] != after[name]]
            is_done = not self.has_ended or self._draw.random() < 0.5
            if self.has_ended:
                self.killed |= {(step, is_done) for step in steps}
            if not is_done:
                raise KilledError
        self.steps += steps
        if self.final_commits or "state_head" in steps:
            self.note_final_commit(LAST_STEPS if "mode" in steps else 1)
        self._check(after)
        if self.has_ended:
            raise KilledError

    def _count_down(self) -> None:
        if self.kills_in is not None:
            self.kills_in -= 1
            self.has_ended = self.kills_in == 0

    def note_final_commit(self, count: int) -> None:
        """Count commits among the last steps of a sync, or behave as if there had been some."""
        self.final_commits += count
        self._final_commit.set()
        self._final_commit = trio.Event()

    async def until_final_commit(self, count: int) -> None:
        """Wait for so many commits among the last steps of a sync."""
        while self.final_commits < count:
            await self._final_commit.wait()

    def _state_of(self, reader: Reader) -> dict[str, object]:
        return {
            "target": sync_target(reader),
            "state_head": state_head(reader),
            "accounts": state_store.load(reader),
            "operations": reader.get(Table.META, b"operations"),
            "mode": reader.get(Table.META, b"state"),
        }

    def _check(self, after: dict[str, object]) -> None:
        """Check that neither the target nor what is final below the state head goes back.

        Above the macro head a fork may win against blocks that have been executed.
        """
        target, head = (self.height_of(after[name]) for name in ("target", "state_head"))  # type: ignore[arg-type]
        assert not target or target >= max(self._heights)
        assert not head or head >= max(self._heights)
        final = POLICY.macro_at_or_before(head)
        self._heights = max(self._heights[0], target), max(self._heights[1], final)


@dataclass
class Race:
    """One run."""

    seed: int
    is_killed_always: bool = False
    """Whether each process ends after a few commits."""
    limits: StateLimits = LIMITS
    answers: int = 0
    """That peers have given."""
    lives: int = 0
    pushed: int = 0

    def __post_init__(self) -> None:
        self.draw = Random(f"state race {self.seed}")
        self.grown = grown(self.seed % CHAINS)
        self.above = [block for block in self.grown.order if block.number > FIRST]
        self.heard: Height = FIRST
        """Of the newest block that peers have."""
        self.faults: list[tuple[PeerId, Fault]] = []
        self.kills = self.draw.choice([0, 0, 1, 3])
        """Lives that may end with a commit."""
        self.store = WatchedStore(self.draw)
        self.store.height_of = self._height_of
        self.gap_s = self.draw.choice([0.0, 0.02, 0.1, 0.5, 2.0])
        """Most between two blocks."""
        self.interval = self.draw.choice([1, 2, 4, 5, 7, 12])
        """Blocks between pivots: most end within a batch."""
        self.held = self.draw.choice([0, 0, 1, 1, 2]) * POLICY.batch_length + 2
        """Blocks that come no earlier than a target is finalized, and then at once."""
        self.strategy = self.draw.choice([*[SyncStrategy.DYNAMIC] * 5, SyncStrategy.STATIC])
        at_once = self.draw.choice([1, 1, 3, self.limits.executed_transactions])
        self.limits = replace(self.limits, executed_transactions=at_once)

    async def run(self) -> None:
        """Let the node live until it has its state and all blocks, and check what it has."""
        async with trio.open_nursery() as nursery:
            await self.prepare(nursery)
            with trio.fail_after(BOUND_S):
                while not await self._live():  # noqa: ASYNC110 - it is started again later
                    await trio.sleep(self.draw.uniform(0, 2))
            nursery.cancel_scope.cancel()
        self.check()

    async def prepare(self, nursery: trio.Nursery) -> None:
        """Start the peers, and have the node know the first target."""
        low = self.draw.uniform(0.001, 0.1)
        conditions = LinkConditions(
            latency_s=(low, low + self.draw.uniform(0, 0.3)),
            loss=self.draw.choice([0, 0, 0, 0.05]),
        )
        adopt(syncing_chain(self.grown.builder.genesis, self.store), self.grown.builder, FIRST)
        self.store.is_watched = True
        self.hub = Hub(seed=self.seed, conditions=conditions)
        self.servers = [Server(self, PeerId(f"peer {n}")) for n in range(3)]
        for server in self.servers:
            await nursery.start(server.network.run)

    def check(self) -> None:
        """Check that the store is that of a node which has executed every block.

        And that nobody was blamed: all peers are honest, and lines lose something at worst.
        """
        assert {fault for _, fault in self.faults} <= {Fault.TOO_SLOW}, self.faults
        mine, theirs = contents(self.store), contents(self.grown.executed)
        for table in Table:
            if table is Table.META:
                assert _names(mine[table]) <= _names(theirs[table])
            elif table in RETAINED:
                assert set(mine[table]) <= set(theirs[table]), table
            else:
                assert mine[table] == theirs[table], table

    async def _live(self) -> bool:
        """Live until all is done, or killed; return which."""
        self.lives += 1
        ends_s = self.draw.choice([self.draw.uniform(0.05, 8), BOUND_S])
        try:
            async with trio.open_nursery() as life:
                chain = await self.begin(life)
                await trio.sleep(self.draw.choice([0.0, self.draw.uniform(0, 3)]))
                life.start_soon(self.service.run)
                with trio.move_on_after(ends_s):
                    await self._until_done(chain)
                self.hub.kill(ME)
                life.cancel_scope.cancel()
        except* KilledError:
            self.hub.kill(ME)
        return not self.store.has_ended and self._is_done(chain)

    async def begin(self, life: trio.Nursery) -> Chain:
        """Start all of a node but its state sync, which is made, and return its chain."""
        self.store.has_ended, self.store.kills_in = False, self._next_kill()
        chain = syncing_chain(self.grown.builder.genesis, self.store)
        writer = ChainWriter(chain, in_thread=False)
        network = WatchedNetwork(self.hub, ME, lambda: make_hello(chain))
        network.faults = self.faults
        await life.start(network.run)
        for server in self.servers:
            life.start_soon(_keep_linked, network, server.network.peer_id)
        self.tools = SessionTools(
            network=network,
            chain=chain,
            writer=writer,
            store=self.store,
            strategy=self.strategy,
            limits=self.limits,
            in_thread=False,
        )
        self.remake_service()
        self.network = network
        life.start_soon(self._push, writer)
        return chain

    def remake_service(self) -> None:
        """Make a state sync, which does not run yet."""
        chain = self.tools.chain

        async def until_needed() -> None:
            if chain.has_state:
                # Nothing here takes it away again.
                await trio.sleep_forever()

        self.service = StateSyncService(
            self.tools,
            pivot_interval=self.interval,
            until_needed=until_needed,
            clock=VirtualClock(),
        )

    def _next_kill(self) -> int | None:
        if self.is_killed_always:
            return self.draw.randint(1, 6)
        return self.draw.randint(1, 120) if self.lives <= self.kills else None

    async def _push(self, writer: ChainWriter) -> None:
        """Let blocks come, in their order, now and then several at once."""
        while self.pushed < len(self.above):
            if self.pushed < len(self.above) - self.held:
                await trio.sleep(self.draw.uniform(0, self.gap_s))
            else:
                await self._until_finalized()
            count = self.draw.choice([1, 1, 2, POLICY.batch_length])
            some = self.above[self.pushed : self.pushed + count]
            self.heard = max(self.heard, *(block.number for block in some))
            for result in await writer.push(some):
                assert isinstance(result, Pushed), result
            self.pushed += len(some)

    async def _until_finalized(self) -> None:
        """Wait until what comes now comes between the last steps of a sync: any two of them."""
        await self.store.until_final_commit(self.draw.randint(1, LAST_STEPS))
        for _ in range(self.draw.randrange(5)):
            await trio.lowlevel.checkpoint()

    async def _until_done(self, chain: Chain) -> None:
        while not self._is_done(chain):  # noqa: ASYNC110 - virtual time, and no event for it
            await trio.sleep(LOOK_S)

    def _is_done(self, chain: Chain) -> bool:
        return chain.has_state and self.pushed == len(self.above)

    def _height_of(self, block: Hash32 | None) -> Height:
        header = None if block is None else self.grown.served.header(block)
        return 0 if header is None else header.number


class Server:
    """A peer: it serves what the chain of the race was when its head was what it is now."""

    def __init__(self, race: Race, name: PeerId) -> None:
        self._race = race
        self._chain = race.grown.served
        self._draw = Random(f"{race.seed}/{name}")
        self._lag = self._draw.choice([0, 0, 1, 4]) if name != "peer 0" else 0
        self._delays_s = {
            protocol: self._draw.choice([0.0, 0.0, 0.2, 1.5]) for protocol in RequestProtocol
        }
        self.network = SimulatedNetwork(race.hub, name, lambda: make_hello(self._chain))
        for protocol, answer in self._answers.items():
            self.network.serve(protocol, self._handler(protocol, answer))

    @property
    def _head(self) -> Height:
        return max(self._race.heard - self._lag, FIRST)

    @property
    def _answers(self) -> dict[RequestProtocol, Callable[[bytes], bytes]]:
        return {
            RequestProtocol.STATE_RANGE: self._range,
            RequestProtocol.TRIE_DIFFS: self._changes,
            RequestProtocol.SUBTREES: self._subtrees,
            RequestProtocol.HISTORY_PEAKS: self._peaks,
            RequestProtocol.MISSING_BLOCKS: self._blocks,
        }

    def _handler(self, protocol: RequestProtocol, answer: Callable[[bytes], bytes]) -> Handler:
        async def handle(_peer: PeerId, payload: bytes) -> bytes:
            await trio.sleep(self._draw.uniform(0, self._delays_s[protocol]))
            self._race.answers += 1
            return answer(payload)

        return handle

    def _has(self, block: Hash32) -> bool:
        header = self._chain.header(block)
        return header is not None and header.number <= self._head

    def _range(self, payload: bytes) -> bytes:
        request = StateRangeRequest.decode(payload)
        if not self._has(request.target):
            return StateRangeResponse(oldest=FIRST, newest=self._head, answer=None).encode()
        return serve_state_range(request, self._chain).encode()

    def _subtrees(self, payload: bytes) -> bytes:
        request = SubtreesRequest.decode(payload)
        if not self._has(request.target):
            return SubtreesResponse(oldest=FIRST, newest=self._head, nodes=None).encode()
        return serve_subtrees(request, self._chain).encode()

    def _changes(self, payload: bytes) -> bytes:
        request = TrieDiffsRequest.decode(payload)
        found = self._has(request.target)
        return (serve_trie_diffs(request, self._chain) if found else NOT_YET).encode()

    def _peaks(self, payload: bytes) -> bytes:
        request = HistoryPeaksRequest.decode(payload)
        found = self._has(request.verifier)
        return (serve_history_peaks(request, self._chain) if found else NOT_YET).encode()

    def _blocks(self, payload: bytes) -> bytes:
        return serve_missing_blocks(MissingBlocksRequest.decode(payload), self._chain).encode()


NOT_YET: Final = Refusal(ResponseStatus.TARGET_NOT_FOUND)


async def _keep_linked(network: SimulatedNetwork, peer: PeerId) -> None:
    """Dial a peer whenever it is not linked, as the dialler of a node does."""
    while True:
        with suppress(UnavailableError):
            await network.connect(simulated_address(peer))
        await trio.sleep(REDIAL_S)


def _names(rows: tuple[tuple[bytes, bytes], ...]) -> set[tuple[bytes, bytes]]:
    """Return single values; from when on states can be presented is another matter."""
    return {row for row in rows if row[0] != b"oldest_state"}


def run_race(seed: int, *, is_killed_always: bool = False) -> Race:
    """Run one seed in virtual time."""
    race = Race(seed, is_killed_always)
    with scheduled(seed):
        trio.run(race.run, clock=MockClock(autojump_threshold=0))
    return race


@contextmanager
def scheduled(seed: int) -> Iterator[None]:
    """Let a seed decide in which order tasks go on that can do so at one moment."""
    switch = "_ALLOW_DETERMINISTIC_SCHEDULING"
    before = getattr(scheduler, switch)
    setattr(scheduler, switch, True)
    scheduler._r.seed(seed)
    try:
        yield
    finally:
        setattr(scheduler, switch, before)
