"""The task that drives the sync machines: network and chain in, requests and pushes out.

    peers, chain events, answers, pushes done --> CONTROL --+
    blocks of head polls ----------------------> BLOCKS  ---+--> Syncer --> effects
    gossip ------------------------------------> NEWS    ---+

Lanes in front are emptied first, so a burst of news cannot starve the answers. BLOCKS and NEWS
are shut while a push of the live sync is pending: it is finished before the next block is taken.
"""

import math
from collections.abc import Callable
from enum import Enum
from typing import Final, TypeAlias, TypeVar

import structlog
import trio

from node.blocks.verify import has_quorum
from node.chain.results import Pushed, PushOutcome, PushResult
from node.chain.view import ChainView
from node.clock import WallClock
from node.crypto.bls import KeyCache
from node.gossip.blocks import verdicts_of, verdicts_on_stored
from node.gossip.intake import AnnouncementIntake
from node.net.network import GossipMessage, Network, NetworkEvent, Verdict
from node.profiles import MacroSyncKind
from node.services import sync_journal as journal
from node.services.asking import ask_peer
from node.services.chain_writer import ChainWriter
from node.services.lanes import Lanes, take_waiting
from node.services.sync_answers import PROTOCOLS, decode_answer
from node.services.workers import carry_out
from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    CancelRequest,
    CheckQuorum,
    DisconnectPeer,
    Effect,
    Emit,
    PushBlocks,
    ReportPeer,
    ResetChain,
    Resolve,
    SendRequest,
    SyncEvent,
)
from node.sync.inputs import (
    Answer,
    BlockLearnt,
    BlocksArrived,
    ChainChanged,
    DeadlinePassed,
    PushFinished,
    QuorumChecked,
    RequestFailed,
    RequestRefused,
    SyncInput,
)
from node.sync.live.config import QueueConfig
from node.sync.macro.target import Target
from node.sync.peers import DRIFT_TIMEOUT_S
from node.sync.syncer import Syncer, SyncStatus
from node.sync.tickets import Asker, TicketId
from protocols.ids import Topic
from protocols.status import ResponseStatus

log = structlog.get_logger("sync")

CONTROL_CAPACITY: Final = 256
"""More than requests and pushes can be open at once."""

BLOCK_CHANNEL_CAPACITY: Final = 256
"""Blocks learnt from head polls; beyond it the poll's tasks wait."""

NEWS_CAPACITY: Final = 64
"""Announcements that wait for their turn; beyond it they wait in the network's own queue."""

EVENTS_CAPACITY: Final = 256
"""Events that a consumer has not taken; one that is further behind holds the sync back."""

ResultT = TypeVar("ResultT")


class Lane(Enum):
    """Where items wait, first lane first."""

    CONTROL = "control"
    BLOCKS = "blocks"
    NEWS = "news"


_CAPACITIES: Final = {
    Lane.CONTROL: CONTROL_CAPACITY,
    Lane.BLOCKS: BLOCK_CHANNEL_CAPACITY,
    Lane.NEWS: NEWS_CAPACITY,
}

_ALWAYS: Final = (Lane.CONTROL,)
_WHEN_READY: Final = (Lane.CONTROL, Lane.BLOCKS, Lane.NEWS)

LaneItem: TypeAlias = SyncInput | GossipMessage


class SyncService:
    """Owns one `Syncer`. Only the task inside `run` touches it."""

    def __init__(
        self,
        network: Network,
        chain: ChainView,
        writer: ChainWriter,
        config: QueueConfig,
        *,
        min_peers: int,
        clock: WallClock,
        keys: KeyCache,
        in_thread: bool,
        kind: MacroSyncKind,
        pinned: Target | None = None,
        follows_without_state: bool = True,
        drift_timeout_s: float = DRIFT_TIMEOUT_S,
    ) -> None:
        """Subscribe to the topics; nothing runs before `run`.

        Args:
            network: Not running yet. Its events are read here and nowhere else.
            chain: What the writer pushes to.
            writer: The one way to push.
            config: Bounds of the live sync.
            min_peers: Live peers without which there is no consensus.
            clock: Wall time, for blocks from the future.
            keys: The cache of decoded voting keys that the chain verifies with.
            in_thread: Do slow work in worker threads. False in virtual time, whose clock does not
                wait for threads.
            kind: How the newest macro block is reached.
            pinned: The election block that the operator vouches for.
            follows_without_state: Whether blocks are taken in while the state is being fetched.
            drift_timeout_s: How long a peer may be out of both windows.
        """
        self._network = network
        self._chain = chain
        self._writer = writer
        self._clock = clock
        self._keys = keys
        self._in_thread = in_thread
        self._machine = Syncer(
            chain,
            config,
            min_peers=min_peers,
            kind=kind,
            pinned=pinned,
            follows_without_state=follows_without_state,
            drift_timeout_s=drift_timeout_s,
        )
        self._intake = AnnouncementIntake(config.announcements_per_10_s)
        self._lanes: Lanes[Lane, LaneItem] = Lanes(_CAPACITIES)
        topics = (Topic.HEADERS, Topic.BODIES) if config.include_body else (Topic.HEADERS,)
        self._subscriptions = [network.subscribe(topic) for topic in topics]
        self._chain_events = writer.subscribe()
        self._scopes: dict[TicketId, trio.CancelScope] = {}
        self._consumers: list[trio.MemorySendChannel[SyncEvent]] = []
        self._waiting_for_need = trio.lowlevel.ParkingLot()

    @property
    def is_established(self) -> bool:
        """Whether there is consensus on the head."""
        return self._machine.is_established

    def status(self) -> SyncStatus:
        """Return where the sync stands."""
        return self._machine.status

    async def until_state_is_needed(self) -> None:
        """Wait until the state is missing and the newest macro block is reached.

        Only what this service hears of can change that, so it is looked at after each event.
        """
        while not self._machine.needs_state:
            await self._waiting_for_need.park()

    def events(self) -> trio.MemoryReceiveChannel[SyncEvent]:
        """Receive push, peer and consensus events from now on, in order.

        The channel is bounded: a consumer that stalls holds the sync back, and with it the peers
        that feed it. Nothing is lost. Close the channel to stop.
        """
        sender, receiver = trio.open_memory_channel[SyncEvent](EVENTS_CAPACITY)
        self._consumers.append(sender)
        return receiver

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Sync until cancelled. Cancelling closes every open request.

        Raises:
            StorageError: A push could not be stored.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._pump_peers, self._network.events)
            nursery.start_soon(self._pump_chain)
            for subscription in self._subscriptions:
                nursery.start_soon(self._pump_news, subscription)
            task_status.started()
            event: LaneItem = DeadlinePassed()
            while True:
                for effect in self._decide(event):
                    await self._perform(effect, nursery)
                if self._machine.needs_state:
                    self._waiting_for_need.unpark_all()
                event = await self._next_item()

    def _decide(self, item: LaneItem) -> list[Effect]:
        now = trio.current_time()
        if not isinstance(item, GossipMessage):
            return self._machine.handle(item, now)
        admitted = self._intake.admit(item, now=now, received_ms=self._clock.now_ms())
        if isinstance(admitted, Verdict):
            return [Resolve(item.id, admitted)]
        return self._machine.handle(admitted, now)

    async def _next_item(self) -> LaneItem:
        deadline = self._machine.next_deadline()
        lanes = _WHEN_READY if self._machine.is_ready_for_news else _ALWAYS
        with trio.move_on_at(math.inf if deadline is None else deadline):
            return await self._lanes.receive(lanes)
        return DeadlinePassed()

    async def _perform(self, effect: Effect, nursery: trio.Nursery) -> None:
        match effect:
            case Resolve(message, verdict):
                self._network.resolve(message, verdict)
            case ReportPeer(peer, fault):
                self._network.report(peer, fault)
            case CancelRequest(ticket):
                # Gone already when the answer is in its lane behind what expired it.
                if scope := self._scopes.get(ticket):
                    scope.cancel()
            case Emit(event):
                await self._publish(event)
            case SendRequest() | CheckQuorum() | PushBlocks() | DisconnectPeer():
                self._start(effect, nursery)
            case AdoptMacroBlocks() | AdoptBatches() | ResetChain():
                nursery.start_soon(self._adopt, effect)

    def _start(
        self,
        effect: SendRequest | CheckQuorum | PushBlocks | DisconnectPeer,
        nursery: trio.Nursery,
    ) -> None:
        """Begin what takes time, in a task of its own."""
        match effect:
            case SendRequest(ticket):
                scope = self._scopes[ticket] = trio.CancelScope()
                nursery.start_soon(self._request, effect, scope)
            case CheckQuorum():
                nursery.start_soon(self._check_quorum, effect)
            case PushBlocks():
                nursery.start_soon(self._push, effect)
            case DisconnectPeer():
                nursery.start_soon(self._disconnect, effect)

    async def _publish(self, event: SyncEvent) -> None:
        journal.note_sync(event)
        for consumer in tuple(self._consumers):
            try:
                await consumer.send(event)
            except trio.BrokenResourceError:
                self._consumers.remove(consumer)

    async def _pump_peers(self, events: trio.MemoryReceiveChannel[NetworkEvent]) -> None:
        async for event in events:
            journal.note_peer(event)
            await self._lanes.send(Lane.CONTROL, event)

    async def _pump_chain(self) -> None:
        async for event in self._chain_events:
            events = (event, *take_waiting(self._chain_events))
            for each in events:
                journal.note_chain(each)
            await self._lanes.send(Lane.CONTROL, ChainChanged(events))

    async def _pump_news(self, subscription: trio.MemoryReceiveChannel[GossipMessage]) -> None:
        async for message in subscription:
            await self._lanes.send(Lane.NEWS, message)

    async def _push(self, push: PushBlocks) -> None:
        began = trio.current_time()
        if push.voting_keys:
            await self._work(lambda: [self._keys.key(key) for key in push.voting_keys])
        is_judged = not (push.headers or push.bodies)

        def judge(_: int, result: PushResult) -> None:
            nonlocal is_judged
            is_judged = True
            verdicts = verdicts_of(result)
            if isinstance(result, Pushed) and result.outcome is PushOutcome.KNOWN:
                # Somebody else's push came first, and its copy is the one that was verified.
                verdicts = verdicts_on_stored(push.blocks[0], self._chain)
            for message in push.headers:
                self._network.resolve(message, verdicts.header)
            for message in push.bodies:
                self._network.resolve(message, verdicts.body)

        # Only announced blocks are judged, and each of them is a push of its own.
        before_commit = None if is_judged else judge
        results = await self._writer.push(push.blocks, before_commit=before_commit)
        if not is_judged:
            judge(0, results[0])
        journal.note_push(push, results, trio.current_time() - began)
        await self._lanes.send(Lane.CONTROL, PushFinished(push.id, results))

    async def _adopt(self, effect: AdoptMacroBlocks | AdoptBatches | ResetChain) -> None:
        results: tuple[PushResult, ...] = ()
        began = trio.current_time()
        match effect:
            case AdoptMacroBlocks():
                results = await self._writer.adopt_macro_blocks(
                    effect.blocks, is_trusted=effect.is_trusted
                )
            case AdoptBatches():
                results = await self._writer.adopt_batches(effect.batches)
            case ResetChain():
                log.warning("chain_reset", height=self._chain.head.number)
                await self._writer.reset_to_genesis()
        if not isinstance(effect, ResetChain):
            journal.note_adoption(effect, results, trio.current_time() - began)
        await self._lanes.send(Lane.CONTROL, PushFinished(effect.id, results))

    async def _check_quorum(self, check: CheckQuorum) -> None:
        is_valid = await self._work(
            lambda: has_quorum(check.block, check.validators, self._chain.policy, self._keys)
        )
        await self._lanes.send(Lane.CONTROL, QuorumChecked(check.id, is_valid))

    async def _disconnect(self, effect: DisconnectPeer) -> None:
        log.info("peer_disconnected", peer=effect.peer, reason=effect.reason.value)
        await self._network.disconnect(effect.peer)

    async def _request(self, send: SendRequest, scope: trio.CancelScope) -> None:
        """Make one request and turn its outcome, good or bad, into one input."""
        with scope:
            answer = await self._ask(send)
            if send.id.asker is Asker.POLL_BLOCK and isinstance(answer, BlocksArrived):
                learnt = BlockLearnt(send.id, answer.blocks[0], send.peer)
                await self._lanes.send(Lane.BLOCKS, learnt)
            else:
                await self._lanes.send(Lane.CONTROL, answer)
        # A ticket that names another request by now is left to it.
        if self._scopes.get(send.id) is scope:
            del self._scopes[send.id]

    async def _ask(self, send: SendRequest) -> Answer:
        answer = await ask_peer(
            self._network,
            send.peer,
            PROTOCOLS[type(send.request)],
            send.request.encode(),
            lambda payload: decode_answer(send, payload),
            in_thread=self._in_thread,
        )
        if answer == RequestRefused(send.id, ResponseStatus.PRUNED):
            # Among full nodes a history node finds nothing, and an operator should see why.
            log.info("peer_has_pruned", peer=send.peer, request=type(send.request).__name__)
        return RequestFailed(send.id) if answer is None else answer

    async def _work(self, task: Callable[[], ResultT]) -> ResultT:
        return await carry_out(task, in_thread=self._in_thread)
