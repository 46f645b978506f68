"""History macro sync: every block and every transaction, epoch by epoch.

    claims --> clusters --> one download for each of the next epochs
                              batch set --> headers, leaves --> whole batches --> adopted --> ...
                                ^              |                                    |
                                +---late, refused, unsound: another peer of the cluster
                                               +--- invalid: who has sent it is blamed

All of it follows from our chain and the claims, so nothing has to be stored to go on after a
restart. What is missing is computed anew at each step; a question that is no longer needed is
cancelled. Fetching goes on while a worker adopts, within a window of batches and of bytes.

Who is to blame:

    claim      another block is final at its height, or the claimed block breaks a rule: claimed it
    batch set  a macro block or history length is wrong                       sent the set
    headers    a justification is wrong; hashes bind all else                 sent the headers
    leaves     the proof does not lead to the verifier's root                 sent the leaves

A peer that does not have what a set speaks of may be right: the set may be forged. It is not asked
for more of it. When nobody is left to ask, the set is thrown away; when a macro block as high as
that is adopted, it was good, and whoever refused is given back.
"""

from dataclasses import dataclass
from typing import Final

from node.blocks.body import MicroBody
from node.chain.results import BlockError, InvalidBlock, Pushed
from node.chain.view import ChainView
from node.errors import Fault
from node.sync.effects import AdoptBatches, CancelRequest, ReportPeer, SendRequest
from node.sync.inputs import (
    Answer,
    BatchSetArrived,
    BlocksArrived,
    HistoryChunkArrived,
    PushFinished,
    RequestFailed,
    RequestRefused,
)
from node.sync.macro.adoption_blame import Blame, judge
from node.sync.macro.epoch_clusters import EpochClusters
from node.sync.macro.epoch_download import BatchSet, Wanted
from node.sync.macro.fetcher import Claim, EndReason, FetcherOutput, Progressed, SourceEnded
from node.sync.macro.history_answers import (
    are_headers_sound,
    is_batch_set_sound,
    sound_body,
)
from node.sync.macro.history_items import BodyItem, HeadersItem, Item, LeavesItem, SetItem
from node.sync.macro.history_limits import DEFAULT_LIMITS, HistoryLimits
from node.sync.macro.history_plan import HistoryPlan, WholeBatch
from node.sync.macro.leases import Lease, Leases
from node.sync.macro.target import Target
from node.sync.tickets import TicketId
from protocols.status import ResponseStatus
from protocols.types import Height, PeerId

_BUSY: Final = frozenset({ResponseStatus.BUSY, ResponseStatus.RATE_LIMITED})


@dataclass(frozen=True, slots=True)
class _Adoption:
    id: TicketId
    batches: tuple[WholeBatch, ...]


class HistorySync:
    """Fetches from all sources at once and adopts in order. A `Fetcher`.

    Args:
        chain: Ours. It keeps bodies and state.
        limits: Bounds.
    """

    def __init__(self, chain: ChainView, limits: HistoryLimits = DEFAULT_LIMITS) -> None:
        self._chain = chain
        self._limits = limits
        self._clusters = EpochClusters(chain.policy)
        self._leases = Leases(limits)
        self._plan = HistoryPlan(chain, self._clusters, limits)
        self._in_flight: dict[type[Item], int] = {
            SetItem: limits.open_epochs,
            HeadersItem: limits.headers_in_flight,
            LeavesItem: limits.leaves_in_flight,
            BodyItem: limits.bodies_in_flight,
        }
        self._adoption: _Adoption | None = None
        self._adopt_after: float | None = None
        self._stage: tuple[Height, Target | None] = (self._plan.base, None)
        """Our macro head and what is fetched above it."""
        self._stalls_at: float | None = None
        """When those who claim that have had enough time; None if nobody claims anything else."""
        self._proven: set[PeerId] = set()
        """Sources that have sent what was adopted."""
        self._is_short = False
        """Whether something is missing that nobody could be asked for."""

    @property
    def is_active(self) -> bool:
        """Whether a source claims more than we have, or an adoption is under way."""
        return len(self._clusters) > 0 or self._adoption is not None

    @property
    def is_proven(self) -> bool:
        """Whether a source has sent something above our head that verified since it became one."""
        return bool(self._proven)

    @property
    def target(self) -> Height | None:
        """Height that the best claim leads to, proven or not; None without sources."""
        return self._clusters.highest

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet adopted."""
        return self._plan.held_bytes

    def next_deadline(self) -> float | None:
        """Return when a question is late or a pause is over, or None."""
        times = [self._leases.next_deadline(), self._adopt_after, self._stalls_at]
        if self._is_short:
            times.append(self._leases.next_release())
        return min((time for time in times if time is not None), default=None)

    def add_source(self, peer: PeerId, claim: Claim) -> list[FetcherOutput]:
        """Use a peer that claims more than we have. `step` asks it."""
        outputs = self.remove_source(peer)
        if not self._clusters.add(peer, claim):
            return [
                *outputs,
                ReportPeer(peer, Fault.FALSE_CLAIM),
                SourceEnded(peer, EndReason.BAD),
            ]
        self._leases.add(peer)
        return outputs

    def remove_source(self, peer: PeerId) -> list[FetcherOutput]:
        """Stop using a peer. What it has sent is still used."""
        self._clusters.remove(peer)
        self._proven.discard(peer)
        return [CancelRequest(ticket) for ticket in self._leases.remove(peer)]

    def answered(self, answer: Answer, now: float) -> list[FetcherOutput]:
        """Take what came of a request.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        lease = self._leases.close(answer.id)
        if lease is None:
            return []
        match answer:
            case RequestRefused(_, status):
                return self._on_refused(lease, status, now)
            case RequestFailed():
                return self._on_failed(lease)
            case _:
                return self._on_content(lease, answer)

    def _on_content(self, lease: Lease, answer: Answer) -> list[FetcherOutput]:
        match answer:
            case BatchSetArrived() if isinstance(lease.wanted.item, SetItem):
                return self._on_set(lease, lease.wanted.item, answer)
            case BlocksArrived() if isinstance(lease.wanted.item, HeadersItem):
                return self._on_headers(lease, answer)
            case BlocksArrived() if isinstance(lease.wanted.item, BodyItem):
                return self._on_body(lease, lease.wanted.item, answer)
            case HistoryChunkArrived() if isinstance(lease.wanted.item, LeavesItem):
                return self._on_leaves(lease, lease.wanted.item, answer)
            case _:
                raise AssertionError("an answer to another kind of question")

    def adopted(self, finished: PushFinished, now: float) -> list[FetcherOutput]:
        """Credit those who have sent what is adopted, and blame who has sent what is not.

        Args:
            finished: What the chain said to an adoption.
            now: Monotonic clock, seconds.
        """
        adoption = self._adoption
        if adoption is None or finished.id != adoption.id:
            return []
        self._adoption = None
        outputs: list[FetcherOutput] = []
        senders: dict[PeerId, None] = {}
        is_changed = self._chain.macro_head.number > self._plan.base
        for each, result in zip(adoption.batches, finished.results, strict=False):
            if isinstance(result, Pushed):
                senders |= dict.fromkeys(each.senders)
                outputs += self._end_refusers(each.part, each.batch.number)
            elif isinstance(result, InvalidBlock) and result.error is not BlockError.FROM_FUTURE:
                outputs += self._on_invalid(each, result, now)
                is_changed = True
        if not is_changed:
            # The same would be tried again at once, and for ever.
            self._adopt_after = now + self._limits.adoption_pause_s
            return outputs
        credit = [Progressed(peer) for peer in senders if peer in self._clusters]
        self._proven |= {each.peer for each in credit}
        return [*credit, *outputs]

    def step(self, now: float) -> list[FetcherOutput]:
        """Give up what is late, and send what may be sent.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[FetcherOutput] = []
        slow: dict[PeerId, None] = {}
        for ticket in self._leases.late(now):
            if lease := self._leases.close(ticket):
                slow[lease.peer] = None
                outputs += [CancelRequest(ticket), *self._on_failed(lease)]
        # One moment of silence counts once, however many questions it was.
        outputs += [ReportPeer(peer, Fault.TOO_SLOW) for peer in slow]
        self._leases.end_pauses(now)
        if self._adopt_after is not None and self._adopt_after <= now:
            self._adopt_after = None
        outputs += self._align()
        outputs += self._end_stalled(now)
        outputs += self._adopt()
        return outputs + self._ask(now)

    def _align(self) -> list[FetcherOutput]:
        """Let what is worked on follow from our chain and the claims."""
        outputs: list[FetcherOutput] = []
        if self._adoption is None:
            self._plan.rebase()
        for peer, is_reached in self._plan.settled().items():
            outputs += self._end(peer, EndReason.REACHED) if is_reached else self._blame(peer)
        while (liar := self._plan.update(self._leases.given_back)) is not None:
            outputs += self._blame(liar)
        return outputs

    def _end_stalled(self, now: float) -> list[FetcherOutput]:
        """Give back those who lead nowhere while others claim something else."""
        stage = self._plan.base, self._plan.next_target
        if not self._plan.next_peers:
            self._stalls_at = None
        elif self._stalls_at is None or stage != self._stage or self._adoption is not None:
            self._stalls_at = now + self._limits.stall_s
        elif self._stalls_at <= now:
            stalled = self._plan.next_peers
            self._stalls_at = None
            ended = [output for peer in stalled for output in self._end(peer, EndReason.FAILED)]
            return [*ended, *self._align(), *self._end_stalled(now)]
        self._stage = stage
        return []

    # Asking.

    def _ask(self, now: float) -> list[FetcherOutput]:
        missing = list(self._plan.wanted())
        unwanted = self._leases.keep_only({wanted.item for wanted in missing})
        outputs: list[FetcherOutput] = [CancelRequest(ticket) for ticket in unwanted]
        room = self._limits.content_bytes - self._plan.content_bytes - self._leases.reserved_bytes
        self._is_short = False
        for wanted in missing:
            needed = 0 if self._leases.is_open(wanted.item) else wanted.reserve_bytes
            if not self._may_ask(wanted, room - needed):
                continue
            peer = self._leases.pick(wanted.item, _candidates(wanted), now)
            if peer is None:
                self._is_short = True
                continue
            room -= needed
            ticket = self._leases.open(wanted, peer, now)
            outputs.append(SendRequest(ticket, peer, wanted.item.request))
        return outputs

    def _may_ask(self, wanted: Wanted, room: int) -> bool:
        """Tell whether something may be asked for that leaves so much room."""
        kind = type(wanted.item)
        if self._leases.is_quick(wanted.item):
            return False
        if self._leases.count(kind) >= self._in_flight[kind]:
            return False
        return room >= 0 or self._plan.is_next(wanted)

    # Answers.

    def _on_set(self, lease: Lease, item: SetItem, answer: BatchSetArrived) -> list[FetcherOutput]:
        download = lease.wanted.download
        if download.end.number != item.after:
            return []
        if not is_batch_set_sound(
            answer.batches, download.end, item.target, self._chain.policy, self._chain.network
        ):
            return self._blame(lease.peer)
        self._leases.succeeded(lease.peer)
        download.take_set(answer, lease.peer)
        return []

    def _on_headers(self, lease: Lease, answer: BlocksArrived) -> list[FetcherOutput]:
        batch = lease.wanted.batch
        assert batch is not None
        if not are_headers_sound(answer.blocks, batch.macro, batch.previous, self._chain.policy):
            return self._blame(lease.peer)
        self._leases.succeeded(lease.peer)
        batch.take_blocks(answer, lease.peer)
        return []

    def _on_leaves(
        self, lease: Lease, item: LeavesItem, answer: HistoryChunkArrived
    ) -> list[FetcherOutput]:
        part = lease.wanted.part
        assert part is not None
        if answer.root != part.end.history_root:
            return self._blame(lease.peer)
        if answer.leaf_count != part.end.history_length:
            # The root commits to the count, so the length that the set gives is a lie.
            return self._blame(part.owner)
        if len(answer.transactions) != item.limit:
            return self._blame(lease.peer)
        self._leases.succeeded(lease.peer)
        part.take_leaves(item, answer, lease.peer)
        return []

    def _on_body(self, lease: Lease, item: BodyItem, answer: BlocksArrived) -> list[FetcherOutput]:
        batch = lease.wanted.batch
        assert batch is not None
        body: MicroBody | None = sound_body(answer, item.block, self._chain.policy)
        if body is None:
            return self._blame(lease.peer)
        self._leases.succeeded(lease.peer)
        batch.take_body(item.block, body)
        return []

    def _on_refused(self, lease: Lease, status: ResponseStatus, now: float) -> list[FetcherOutput]:
        if status in _BUSY:
            is_too_often = self._leases.was_busy(lease.peer, now)
            return self._end(lease.peer, EndReason.FAILED) if is_too_often else []
        part = lease.wanted.part
        if part is None or part.owner == lease.peer:
            # It does not have what it claims itself.
            return self._end(lease.peer, EndReason.FAILED)
        part.refusals[lease.peer] = lease.wanted.item.number
        return []

    def _on_failed(self, lease: Lease) -> list[FetcherOutput]:
        is_too_often = self._leases.failed(lease)
        return self._end(lease.peer, EndReason.FAILED) if is_too_often else []

    # Adopting.

    def _adopt(self) -> list[FetcherOutput]:
        """Have the whole batches adopted that continue our macro head."""
        if self._adoption is not None or self._adopt_after is not None:
            return []
        chosen: list[WholeBatch] = []
        size_bytes = 0
        for each in self._plan.whole():
            size_bytes += each.part.weight_of(each.batch)
            if chosen and size_bytes > self._limits.adopted_bytes:
                break
            chosen.append(each)
            if len(chosen) == self._limits.adopted_batches:
                break
        if not chosen:
            return []
        self._adoption = _Adoption(self._leases.take_ticket(), tuple(chosen))
        fetched = tuple(each.part.fetched(each.batch) for each in chosen)
        return [AdoptBatches(self._adoption.id, fetched)]

    def _on_invalid(
        self, whole: WholeBatch, result: InvalidBlock, now: float
    ) -> list[FetcherOutput]:
        """Find out whose fault it is that a batch cannot be adopted; return what follows."""
        batch, download, owner = whole.batch, whole.download, whole.part.owner
        blame = judge(result, batch.macro.hash, is_target=batch.number == download.target.height)
        if blame is Blame.MISSING_BODY and result.hash not in batch.bodies:
            batch.missing_body = result.hash
            return []
        if blame is Blame.HEADERS:
            batch.forget_blocks()
            return self._blame(whole.senders[1])
        download.drop(whole.part)
        if blame is Blame.BATCH_SET:
            return self._blame(owner)
        if blame is Blame.CLAIM:
            return [output for peer in download.peers for output in self._blame(peer)]
        self._adopt_after = now + self._limits.adoption_pause_s
        return self._end(owner, EndReason.FAILED)

    # Peers.

    def _end_refusers(self, part: BatchSet, adopted: Height) -> list[FetcherOutput]:
        """Give back those who said that they lack what is final now."""
        wrong = [peer for peer, number in part.refusals.items() if number <= adopted]
        outputs: list[FetcherOutput] = []
        for peer in wrong:
            del part.refusals[peer]
            outputs += self._end(peer, EndReason.FAILED)
        return outputs

    def _blame(self, peer: PeerId) -> list[FetcherOutput]:
        """A source has claimed or sent what no honest node does: all of it is final.

        What else hangs on its word is not used.
        """
        self._plan.forget_peer(peer)
        return [ReportPeer(peer, Fault.FALSE_CLAIM), *self._end(peer, EndReason.BAD)]

    def _end(self, peer: PeerId, reason: EndReason) -> list[FetcherOutput]:
        if peer not in self._clusters:
            return []
        return [*self.remove_source(peer), SourceEnded(peer, reason)]


def _candidates(wanted: Wanted) -> tuple[PeerId, ...]:
    refused = {} if wanted.part is None else wanted.part.refusals
    return tuple(peer for peer in wanted.download.peers if peer not in refused)
