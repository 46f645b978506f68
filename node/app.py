"""The composition root: which parts a node has, and how they are joined.

The same `Node` runs in a process over libp2p, LMDB and the system's clock, and by the dozen in
virtual time over a simulated network, memory and a mock clock.

    network <--> serve                 answers peers
       ^ ^-----> sync  ----> writer ----> chain ----> store
       |                       ^
       +-------> votes ----> validator
       +-------> mempool ------^
       +-------> proofs                answers users with what peers prove
       +-------> dialer                keeps the configured peers
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import trio

from node.accounts.transaction import Transaction
from node.chain.chain import Chain
from node.chain.genesis import Genesis
from node.clock import WallClock
from node.crypto.bls import KeyCache
from node.errors import DataFolderError
from node.event_record import EventRecord
from node.keys import NodeKeys
from node.net.dialer import Dialer
from node.net.network import Network, PeerRecord
from node.profiles import MacroSyncKind, Profile
from node.services.chain_writer import ChainWriter
from node.services.dialer import DialerService
from node.services.mempool import MempoolService
from node.services.proofs import Outcome, ProofService
from node.services.serve import ServeService
from node.services.state_sync import StateSyncService
from node.services.state_tasks import SessionTools
from node.services.status import StatusBoard
from node.services.sync import SyncService
from node.services.validator import ValidatorService
from node.services.votes import VotesService
from node.storage.store import Store
from node.sync.live.config import QueueConfig
from node.sync.macro.heads import has_jumped
from node.sync.macro.target import Target
from node.sync.proofs.questions import Question
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.strategy import DEFAULT_STRATEGY, SyncStrategy
from node.version import AGENT, VERSION
from protocols.limits import PROTOCOL_VERSION
from protocols.messages.handshake import Hello
from protocols.types import PeerId

AnswerT = TypeVar("AnswerT")

PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

SYNCED_LOOK_S: Final = 10.0
"""Between two looks at a node that has no news."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeParts:
    """What one node is made from."""

    profile: Profile
    genesis: Genesis
    keys: NodeKeys
    is_validator: bool
    """Only with a profile that may validate."""
    store: Store
    make_network: Callable[[Callable[[], Hello]], Network]
    """Given what says who we are at the moment."""
    clock: WallClock
    rng: Random
    in_thread: bool
    """Work that takes long runs in worker threads. Not in virtual time."""
    queue: QueueConfig
    min_peers: int
    strategy: SyncStrategy = DEFAULT_STRATEGY
    """How the state is fetched, where it is kept."""
    pivot_interval: int | None = None
    """Blocks between two targets of that; None is the default."""
    state_limits: StateLimits = DEFAULT_LIMITS
    """Bounds of that."""
    pinned: Target | None = None
    """Election block that the operator vouches for."""
    seeds: tuple[str, ...] = ()
    """Multiaddrs with peer id to keep connections to."""
    status_interval_s: float = 10.0
    events: EventRecord = field(default_factory=EventRecord)
    """Where the log of the process puts what happens, if it is the process of this node alone."""


class Node:
    """One node, from its chain up to its connections.

    Raises:
        DataFolderError: The store is of another network or profile, or lacks what it must have.
    """

    def __init__(self, parts: NodeParts) -> None:
        traits = parts.profile.traits
        self._parts = parts
        self._keys = KeyCache()
        self.chain: Final = Chain.open(
            parts.store,
            parts.genesis,
            retention=traits.retention,
            keeps_state=traits.keeps_state,
            clock=parts.clock,
            key_cache=self._keys,
            starts_without_state=_fetches_state(parts),
        )
        if traits.macro_sync is MacroSyncKind.LIGHT and has_jumped(self.chain):
            raise DataFolderError(
                "the store was made by a pico and lacks election blocks that a light node serves"
            )
        self._network = parts.make_network(self._hello)
        self._writer = ChainWriter(self.chain, in_thread=parts.in_thread)
        self._serve(in_thread=parts.in_thread)
        self._sync = SyncService(
            self._network,
            self.chain,
            self._writer,
            _queue_of(parts),
            min_peers=parts.min_peers,
            clock=parts.clock,
            keys=self._keys,
            in_thread=parts.in_thread,
            kind=traits.macro_sync,
            pinned=parts.pinned,
            follows_without_state=parts.strategy.follows_chain,
        )
        self._state_sync = self._make_state_sync() if traits.keeps_state else None
        self._proofs = ProofService(
            self._network, self.chain, self._keys, in_thread=parts.in_thread
        )
        self._mempool = (
            MempoolService(network=self._network, chain=self.chain, writer=self._writer)
            if traits.runs_mempool
            else None
        )
        self._validator = self._make_validator() if parts.is_validator else None
        # Every profile checks and relays votes, or validators that have no common peer among
        # themselves would never hear each other.
        self._votes = VotesService(
            network=self._network,
            chain=self.chain,
            keys=self._keys,
            deliver=None if self._validator is None else self._validator.deliver,
            in_thread=parts.in_thread,
        )
        dialer = Dialer({_peer_of(seed): seed for seed in parts.seeds}, parts.rng)
        self._dialer = DialerService(dialer, self._network)
        self._board = StatusBoard(
            self._facts, self._writer.subscribe(), interval_s=parts.status_interval_s
        )
        self._shutdown = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run all services until cancelled; started once every listener is bound.

        Raises:
            ListenError: A port is taken.
        """
        async with trio.open_nursery() as nursery:
            await nursery.start(self._sync.run)
            await nursery.start(self._votes.run)
            if self._mempool is not None:
                await nursery.start(self._mempool.run)
            if self._validator is not None:
                await nursery.start(self._validator.run)
            if self._state_sync is not None:
                await nursery.start(self._state_sync.run)
            await nursery.start(self._network.run)
            await nursery.start(self._board.run)
            nursery.start_soon(self._dialer.run)
            task_status.started()

    async def wait_until_synced(self) -> None:
        """Wait until the node follows the head and agrees with its peers on it."""
        while not self.is_established:
            await self._board.wait_after(self._board.sequence, SYNCED_LOOK_S)

    async def wait_for_shutdown(self) -> None:
        """Wait until somebody has asked for a stop."""
        await self._shutdown.wait()

    def shut_down(self) -> None:
        """Ask for a graceful stop."""
        self._shutdown.set()

    @property
    def peer_id(self) -> PeerId:
        """Our own id."""
        return self._network.peer_id

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Multiaddrs with peer id that we listen on."""
        return self._network.listen_addresses

    @property
    def network_name(self) -> str:
        """Name of the network in its genesis."""
        return self._parts.genesis.name

    @property
    def peers(self) -> Mapping[PeerId, PeerRecord]:
        """Connected peers."""
        return self._network.peers

    @property
    def is_established(self) -> bool:
        """Whether the node agrees with enough peers on the head."""
        return self._sync.is_established

    @property
    def events(self) -> EventRecord:
        """What has happened of late."""
        return self._parts.events

    def peer_lists(self) -> Mapping[PeerId, str]:
        """Return the list that each connected peer is in."""
        lists = self._sync.status().peers
        return {peer: name.value for name, peers in lists.items() for peer in peers}

    def status(self) -> dict[str, Any]:
        """Return the node's state as plain JSON values."""
        # Made anew each time.
        peers = self.peers.values()
        return {
            **self._facts(),
            **self._board.progress,
            "sequence": self._board.sequence,
            "memory_bytes": resident_bytes(),
            "bytes_in": sum(peer.bytes_in for peer in peers),
            "bytes_out": sum(peer.bytes_out for peer in peers),
        }

    async def status_after(self, sequence: int, timeout_s: float) -> dict[str, Any]:
        """Return the status once its `sequence` is another than this, or when the time is up."""
        await self._board.wait_after(sequence, timeout_s)
        return self.status()

    async def submit(self, transaction: Transaction) -> str | None:
        """Take a transaction and announce it. Returns why not, or None if it was taken."""
        if self._mempool is None:
            return f"profile {self._parts.profile} takes no transactions: it keeps no state"
        refusal = await self._mempool.submit(transaction)
        return None if refusal is None else refusal.value

    async def prove(self, question: Question[AnswerT]) -> Outcome[AnswerT]:
        """Have peers prove what this node does not have. Ends within a bounded time."""
        return await self._proofs.prove(question)

    def _make_validator(self) -> ValidatorService:
        parts = self._parts
        return ValidatorService(
            chain=self.chain,
            writer=self._writer,
            network=self._network,
            keys=parts.keys,
            store=parts.store,
            clock=parts.clock,
            is_established=lambda: self.is_established,
            mempool=None if self._mempool is None else self._mempool.mempool,
            in_thread=parts.in_thread,
        )

    def _serve(self, *, in_thread: bool) -> None:
        settled = self._writer.settled
        ServeService(self._network, self.chain, in_thread=in_thread, settled=settled).register()

    def _make_state_sync(self) -> StateSyncService:
        parts = self._parts
        tools = SessionTools(
            network=self._network,
            chain=self.chain,
            writer=self._writer,
            store=parts.store,
            strategy=parts.strategy,
            limits=parts.state_limits,
            in_thread=parts.in_thread,
        )
        return StateSyncService(
            tools,
            pivot_interval=parts.pivot_interval,
            until_needed=self._sync.until_state_is_needed,
            clock=parts.clock,
        )

    def _state_facts(self) -> dict[str, Any] | None:
        """Return how far the state sync is; None while nothing is under way."""
        status = None if self._state_sync is None else self._state_sync.status()
        if status is None:
            return None
        return {**asdict(status), "state": status.state.value}

    def _synced_facts(self) -> dict[str, Any] | None:
        """Return how the last state sync of this process ended; None if there was none."""
        synced = None if self._state_sync is None else self._state_sync.synced
        return None if synced is None else asdict(synced)

    def _facts(self) -> dict[str, Any]:
        """Return what counts as news when it changes."""
        head, macro_head, sync = self.chain.head, self.chain.macro_head, self._sync.status()
        # Made anew each time.
        peers = self.peers
        return {
            "version": VERSION,
            "profile": self._parts.profile.value,
            "validator": self._validator is not None,
            "peer_id": self.peer_id,
            "network": self.network_name,
            "genesis": self.chain.genesis.hex(),
            "height": head.number,
            "head": head.hash.hex(),
            "timestamp": head.timestamp,
            "finalized": macro_head.number,
            "finalized_hash": macro_head.hash.hex(),
            "consensus": self.is_established,
            "peers": len(peers),
            "min_peers": self._parts.min_peers,
            "mempool": 0 if self._mempool is None else len(self._mempool.mempool),
            "phase": sync.phase.value,
            "target": sync.target,
            "state_sync": self._state_facts(),
            "state_synced": self._synced_facts(),
            "state_failure": None if self._state_sync is None else self._state_sync.failure,
            "behind": max(_best_height(peers) - head.number, 0),
            "peer_lists": {name.value: len(peers) for name, peers in sync.peers.items()},
            "buffered": sync.live.buffered,
            "requests": sync.live.requests,
            "sync_events": sync.counts,
        }

    def _hello(self) -> Hello:
        head = self.chain.head
        return Hello(
            network=self.chain.network,
            genesis=self.chain.genesis,
            version=PROTOCOL_VERSION,
            services=self._parts.profile.traits.services,
            head_number=head.number,
            head_hash=head.hash,
            agent=AGENT,
        )


def _queue_of(parts: NodeParts) -> QueueConfig:
    """Return the bounds of the live sync.

    Who fetches states needs peers that keep as many blocks as live sync has to fetch.
    """
    if parts.profile.traits.macro_sync is not MacroSyncKind.STATE:
        return parts.queue
    kept = parts.genesis.policy.validity_window_blocks
    return replace(parts.queue, window_ahead_max=min(parts.queue.window_ahead_max, kept))


def _fetches_state(parts: NodeParts) -> bool:
    """Tell whether a node that has nothing yet should not even make the state of block 0.

    Large ones take seconds, and of a network that is older than its validity window the peers keep
    no blocks that lead from there to the head: such a node fetches a newer state anyway. So does
    one that was not given the accounts.
    """
    genesis, policy = parts.genesis, parts.genesis.policy
    if genesis.accounts_file is None or parts.is_validator:
        return False
    if parts.profile.traits.macro_sync is not MacroSyncKind.STATE:
        return False
    if not genesis.accounts_file.path.exists():
        return True
    window = policy.validity_window_batches * policy.batch_length
    age_ms = parts.clock.now_ms() - genesis.timestamp
    return age_ms > window * policy.block_separation_ms


def _peer_of(seed: str) -> PeerId:
    return PeerId(seed.rpartition("/p2p/")[2])


def resident_bytes() -> int:
    """Return the memory of this process that is in RAM, shared pages included."""
    resident = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(resident) * PAGE_BYTES


def _best_height(peers: Mapping[PeerId, PeerRecord]) -> int:
    """Return the greatest height that a connected peer had when it joined."""
    return max((peer.hello.head_number for peer in peers.values()), default=0)
