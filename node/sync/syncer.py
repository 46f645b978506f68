"""The root of the sync machines: every peer through the lists, every event to its machine.

    peers joined --> lists --macro--> macro sync --good--> lists --live--> live sync, consensus
                       ^                                      |
                       +---------- behind, ahead, gone -------+

One driver feeds it and carries out its effects in order. It is total: an event that makes no
sense now, such as a late answer, changes nothing. What no peer can cause is asserted: an answer is
of the kind of its question, since the driver decodes whatever comes as that.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from node.chain.view import ChainView
from node.net.network import PeerJoined, PeerLeft, Verdict
from node.profiles import MacroSyncKind
from node.sync.consensus import Consensus
from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    CancelRequest,
    DisconnectPeer,
    DisconnectReason,
    Effect,
    Emit,
    ReportPeer,
    ResetChain,
    Resolve,
    SendRequest,
)
from node.sync.inputs import (
    Answer,
    BatchSetArrived,
    BlockLearnt,
    BlocksArrived,
    BodyAnnounced,
    ChainChanged,
    DeadlinePassed,
    HeadArrived,
    HeaderAnnounced,
    HistoryChunkArrived,
    MacroChainArrived,
    PushFinished,
    QuorumChecked,
    RequestFailed,
    RequestRefused,
    SyncInput,
)
from node.sync.live.config import QueueConfig
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    Ahead,
    Behind,
)
from node.sync.live.live_syncer import LiveStatus, LiveSyncer
from node.sync.live.voting_keys import VotingKeys
from node.sync.macro.fetcher import Progressed
from node.sync.macro.kinds import make_macro_sync, services_for
from node.sync.macro.macro_sync import MacroOutput, PeerPlaced, Place, StartOver, gap_of
from node.sync.macro.target import Target
from node.sync.peers import DRIFT_TIMEOUT_S, PeerList, PeerLists
from node.sync.tickets import Asker
from protocols.messages.head import HeadResponse
from protocols.types import Height, PeerId, Service


class Phase(Enum):
    """What the node is doing about the chain, in one word."""

    SEARCHING = "searching"
    """No peer to follow."""
    MACRO_SYNC = "macro_sync"
    """Fetching the macro blocks that somebody has above ours."""
    STATE_SYNC = "state_sync"
    """Fetching the account state of a final block."""
    LIVE = "live"
    """Following the head."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStatus:
    """Where the sync stands, for status lines and metrics."""

    phase: Phase
    is_established: bool
    peers: dict[PeerList, tuple[PeerId, ...]]
    live: LiveStatus
    target: Height | None
    """Best height that a peer claims, proven or not; None unless in macro sync."""
    held_bytes: int
    """Received by the macro sync and not yet on the chain."""
    counts: dict[str, int]
    """How often each kind of event has been emitted, by its name."""


class Syncer:
    """Owns the peer lists, the macro sync, the live sync and the consensus."""

    def __init__(
        self,
        chain: ChainView,
        config: QueueConfig,
        *,
        min_peers: int,
        kind: MacroSyncKind,
        pinned: Target | None = None,
        follows_without_state: bool = True,
        drift_timeout_s: float = DRIFT_TIMEOUT_S,
    ) -> None:
        """Start without peers.

        Args:
            chain: Read only; pushes are effects.
            config: Bounds.
            min_peers: Live peers without which there is no consensus.
            kind: How the newest macro block is reached.
            pinned: The election block that the operator vouches for.
            follows_without_state: Whether blocks are taken in while the state is being fetched.
            drift_timeout_s: How long a peer may be out of both windows before it is disconnected.
        """
        self._chain = chain
        self._config = config
        self._follows_without_state = follows_without_state
        voting_keys = VotingKeys(chain)
        needed = Service.BODIES if config.include_body else Service.HEADERS
        self._lists = PeerLists(needed, drift_timeout_s=drift_timeout_s)
        self._services = services_for(kind)
        self._macro = make_macro_sync(kind, chain, config, pinned)
        self._live = LiveSyncer(chain, config, voting_keys)
        self._consensus = Consensus(chain, min_peers=min_peers, include_body=config.include_body)
        self._counts: Counter[str] = Counter()
        self._macro_from: Height | None = None
        """Our macro head when the macro sync under way began; None while there is none."""

    @property
    def is_ready_for_news(self) -> bool:
        """Whether no push is pending, so that the next announced or learnt block may be brought."""
        return self._live.is_idle

    @property
    def is_established(self) -> bool:
        """Whether there is consensus, with all that is known at the head."""
        return self._consensus.is_established and not self._lacks_state

    @property
    def is_at_macro_head(self) -> bool:
        """Whether there are peers to follow, and no macro sync leads further."""
        return bool(self._live.peers) and self._is_reached

    @property
    def needs_state(self) -> bool:
        """Whether the state is missing and may be fetched: before, any target would be old."""
        return self._lacks_state and self.is_at_macro_head

    @property
    def status(self) -> SyncStatus:
        """Where the sync stands."""
        return SyncStatus(
            phase=self._phase(),
            is_established=self.is_established,
            peers={which: self._lists.members(which) for which in PeerList},
            live=self._live.status,
            target=self._macro.target if self._macro.is_active else None,
            held_bytes=self._macro.held_bytes,
            counts=dict(self._counts),
        )

    def next_deadline(self) -> float | None:
        """Return the monotonic time at which to pass `DeadlinePassed`, or None."""
        parts = (self._lists, self._macro, self._live, self._consensus)
        times = [time for part in parts if (time := part.next_deadline()) is not None]
        return min(times, default=None)

    def handle(self, event: SyncInput, now: float) -> list[Effect]:
        """Apply one event and return what to do about it, in order.

        Args:
            event: What happened.
            now: Monotonic clock, seconds. Never goes backwards between calls.
        """
        effects = self._apply(event, now)
        effects += self._look_at_peers(now)
        effects += self._from_macro(self._macro.step(now), now)
        effects += self._from_live(self._live.step(now), now)
        effects += self._consensus.step(now, is_complete=self._is_complete)
        self._counts.update(type(each.event).__name__ for each in effects if isinstance(each, Emit))
        return effects

    @property
    def _lacks_state(self) -> bool:
        return self._chain.keeps_state and not self._chain.has_state

    @property
    def _is_complete(self) -> bool:
        return self._is_reached and not self._lacks_state

    @property
    def _is_reached(self) -> bool:
        """Whether no macro sync is under way.

        A peer that only says to be far ahead and sends nothing does not count beside live peers
        enough for consensus: it could keep a whole network from starting again.
        """
        if not self._macro.is_active:
            return True
        return self._consensus.has_enough_peers and not self._macro.is_proven

    def _apply(self, event: SyncInput, now: float) -> list[Effect]:
        match event:
            case PeerJoined() | PeerLeft():
                return self._on_peer(event, now)
            case HeaderAnnounced() | BodyAnnounced() | BlockLearnt():
                return self._on_news(event, now)
            case HeadArrived() | BlocksArrived() | RequestRefused() | RequestFailed():
                return self._on_answer(event, now)
            case MacroChainArrived() | BatchSetArrived() | HistoryChunkArrived():
                return self._on_answer(event, now)
            case QuorumChecked() | PushFinished() | ChainChanged():
                return self._on_work_done(event, now)
            case DeadlinePassed():
                return []

    def _phase(self) -> Phase:
        if self._macro.is_active:
            return Phase.MACRO_SYNC
        if not self._live.peers:
            return Phase.SEARCHING
        return Phase.STATE_SYNC if self._lacks_state else Phase.LIVE

    def _on_peer(self, event: PeerJoined | PeerLeft, now: float) -> list[Effect]:
        match event:
            case PeerJoined(peer, hello):
                if peer not in self._lists:
                    self._join(peer, hello.services, now)
                return []
            case PeerLeft(peer):
                self._lists.leave(peer)
                effects = self._from_macro(self._macro.remove_peer(peer, now), now)
                return effects + self._end_live(peer)

    def _join(self, peer: PeerId, services: Service, now: float) -> None:
        if self._lists.join(peer, services, now) is PeerList.MACRO:
            self._look_at(peer, now)

    def _look_at(self, peer: PeerId, now: float, *, beyond: Height | None = None) -> None:
        """Give a peer of the list `macro` to the macro sync."""
        can_lead = self._lists.serves(peer, self._services)
        self._macro.add_peer(peer, now, can_lead=can_lead, beyond=beyond)

    def _end_live(self, peer: PeerId) -> list[Effect]:
        self._live.remove_peer(peer)
        return [*self._consensus.remove_peer(peer)]

    def _on_work_done(
        self, event: QuorumChecked | PushFinished | ChainChanged, now: float
    ) -> list[Effect]:
        match event:
            case QuorumChecked():
                return self._from_live(self._live.quorum_checked(event, now), now)
            case ChainChanged(changes):
                return self._from_live(self._live.chain_changed(changes, now), now)
            case PushFinished(ticket) if ticket.asker in {
                Asker.ADOPTION,
                Asker.HISTORY,
                Asker.PICO,
            }:
                return self._from_macro(self._macro.adopted(event, now), now)
            case PushFinished():
                return self._from_live(self._live.push_finished(event, now), now)

    def _on_news(
        self, news: HeaderAnnounced | BodyAnnounced | BlockLearnt, now: float
    ) -> list[Effect]:
        if self._lacks_state and not self._follows_without_state:
            return self._pass_over(news)
        match news:
            case HeaderAnnounced():
                return self._from_live(self._live.header_announced(news, now), now)
            case BodyAnnounced():
                return self._from_live(self._live.body_announced(news, now), now)
            case BlockLearnt(ticket):
                self._consensus.fetched(ticket)
                return self._from_live(self._live.block_learnt(news, now), now)

    def _pass_over(self, news: HeaderAnnounced | BodyAnnounced | BlockLearnt) -> list[Effect]:
        match news:
            case BlockLearnt(ticket):
                self._consensus.fetched(ticket)
                return []
            case HeaderAnnounced() | BodyAnnounced():
                return [Resolve(news.message, Verdict.IGNORE)]

    def _on_answer(self, answer: Answer, now: float) -> list[Effect]:
        match answer.id.asker:
            case Asker.MACRO_CHAIN | Asker.MACRO_HEAD | Asker.MACRO_BLOCK:
                return self._from_macro(self._macro.answered(answer, now), now)
            case Asker.HISTORY | Asker.PICO:
                return self._from_macro(self._macro.answered(answer, now), now)
            case Asker.POLL_HEAD | Asker.POLL_BLOCK:
                return self._on_poll_answer(answer, now)
            case Asker.MISSING | Asker.BODY | Asker.LIVE | Asker.ADOPTION:
                return self._from_live(self._live.answered(answer, now), now)

    def _on_poll_answer(self, answer: Answer, now: float) -> list[Effect]:
        peer = self._consensus.polled(answer.id)
        effects: list[Effect] = [*self._consensus.answered(answer, now)]
        if isinstance(answer, HeadArrived) and peer in self._live.peers:
            effects += self._look_at_head(peer, answer.head, now)
        return effects

    def _look_at_head(self, peer: PeerId, head: HeadResponse, now: float) -> list[Effect]:
        """A polled head says where a silent peer stands, as an announced block would."""
        known = self._chain.header(head.hash)
        number = head.number if known is None else known.number
        gap = gap_of(self._chain, self._config, number)
        if gap == 0:
            return []
        return self._from_live([Emit(Behind(peer) if gap < 0 else Ahead(peer))], now)

    def _look_at_peers(self, now: float) -> list[Effect]:
        if self._has_caught_up():
            for peer in self._lists.members(PeerList.OUTDATED):
                self._lists.move(peer, PeerList.MACRO, now)
                self._look_at(peer, now)
        for peer in self._lists.recheck(now):
            self._look_at(peer, now)
        return [
            DisconnectPeer(peer, DisconnectReason.DRIFTED) for peer in self._lists.take_drifted(now)
        ]

    def _has_caught_up(self) -> bool:
        """Tell, once, that a macro sync has brought us nearer to all.

        Whoever was of no use on the way, since it has pruned what we lacked, may be near our head
        now. More than a batch, so that no peer can bring this about at each of its claims.
        """
        head = self._chain.macro_head.number
        if self._macro.is_active:
            self._macro_from = head if self._macro_from is None else self._macro_from
            return False
        start, self._macro_from = self._macro_from, None
        return start is not None and head > start + self._chain.policy.batch_length

    def _from_macro(self, outputs: Sequence[MacroOutput], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for output in outputs:
            match output:
                case PeerPlaced():
                    effects += self._place(output, now)
                case StartOver():
                    effects += self._start_over(now)
                case Progressed():
                    # All that wait for us to catch up are being of use, not only this one.
                    for peer in self._lists.members(PeerList.MACRO):
                        self._lists.helped(peer, now)
                case SendRequest() | CancelRequest() | ReportPeer():
                    effects.append(output)
                case AdoptMacroBlocks() | AdoptBatches() | ResetChain():
                    effects.append(output)
        return effects

    def _start_over(self, now: float) -> list[Effect]:
        """Look again at all peers that were placed by a chain that is doubted."""
        effects: list[Effect] = []
        for which in (PeerList.LIVE, PeerList.OUTDATED):
            for peer in self._lists.members(which):
                self._lists.move(peer, PeerList.MACRO, now)
                effects += self._end_live(peer)
                self._look_at(peer, now)
        return effects

    def _place(self, placed: PeerPlaced, now: float) -> list[Effect]:
        peer, head = placed.peer, placed.head
        if placed.place is Place.OUTDATED:
            self._lists.move(peer, PeerList.OUTDATED, now)
            if head is not None:
                self._note_gap(peer, head.number, now)
            return []
        self._lists.move(peer, PeerList.LIVE, now)
        self._live.add_peer(peer)
        self._consensus.add_peer(peer, now)
        return [] if head is None else [*self._consensus.learnt_head(head, peer, now)]

    def _note_gap(self, peer: PeerId, number: Height, now: float) -> None:
        gap = gap_of(self._chain, self._config, number)
        self._lists.saw_gap(peer, abs(gap), now)

    def _from_live(self, outputs: Iterable[Effect], now: float) -> list[Effect]:
        effects: list[Effect] = []
        for output in outputs:
            effects.append(output)
            match output:
                case Emit(Behind(peer)):
                    self._lists.move(peer, PeerList.OUTDATED, now)
                    effects += self._end_live(peer)
                case Emit(Ahead(peer)):
                    self._lists.move(peer, PeerList.MACRO, now)
                    # The window is no smaller than a batch.
                    self._look_at(peer, now, beyond=self._chain.macro_head.number)
                    effects += self._end_live(peer)
                case Emit(AcceptedAnnouncedBlock()):
                    self._consensus.accepted_announcement(now)
                case Emit(AcceptedBufferedBlock(_, 0)):
                    self._consensus.buffer_emptied(now)
                case _:
                    # Everything else is for the driver alone.
                    pass
        return effects
