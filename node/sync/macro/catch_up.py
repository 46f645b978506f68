"""Catching up batch by batch: the next batch is fetched while the one before is verified.

    source ahead --request--> ASKED --sound batch--> backlog --push--> chain
         ^                      |                       |
         |                      +-- late, unsound: the next source, at most one timeout later
         +-- target reached, or a batch failed: the source goes back to the macro sync

The first request starts from our chain. Each further one names the last block received as its
locator, long before that block has been pushed, so the network is busy while a worker verifies.
One request is open at a time: the locator of the next is in the answer to this one.
"""

from collections import Counter, deque
from dataclasses import dataclass
from typing import Final

from node.blocks.block import Block
from node.chain.results import Pushed, PushOutcome, PushResult
from node.chain.view import ChainView
from node.errors import Fault
from node.gossip.blocks import is_fault
from node.sync.answers import Expected, is_sound, locators_of
from node.sync.effects import CancelRequest, PushBlocks, ReportPeer, SendRequest
from node.sync.inputs import Answer, BlocksArrived, PushFinished, RequestRefused
from node.sync.live.config import QueueConfig
from node.sync.live.voting_keys import VotingKeys
from node.sync.macro.claims import targets_of
from node.sync.macro.fetcher import Claim, EndReason, FetcherOutput, Progressed, SourceEnded
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, Height, PeerId

BACKLOG_BATCHES: Final = 4
"""Batches received and not yet pushed: enough to keep the worker busy through a slow answer."""

BACKLOG_BYTES: Final = 2 * MAX_RESPONSE_BYTES
"""No further batch is asked for beyond it, so at most one answer more is ever held."""

BUSY_PAUSE_S: Final = 0.5
"""Before anybody is asked again after a source was busy or limited our rate."""

REFUSALS_MAX: Final = 10
"""Refusals in a row after which a source is given back: an honest one is not busy for that long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    id: TicketId
    peer: PeerId
    deadline: float
    expected: Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    blocks: tuple[Block, ...]
    size_bytes: int
    peer: PeerId


class CatchUp:
    """Fetches from one source at a time and pushes in order."""

    def __init__(self, chain: ChainView, config: QueueConfig, voting_keys: VotingKeys) -> None:
        self._chain = chain
        self._config = config
        self._voting_keys = voting_keys
        self._sources: dict[PeerId, Target] = {}
        self._asked: _Asked | None = None
        self._backlog: deque[_Batch] = deque()
        self._pushing: tuple[TicketId, _Batch] | None = None
        self._pause_until: float | None = None
        self._refusals: Counter[PeerId] = Counter()
        """How often in a row a source has said that it is busy."""
        self._has_delivered = False
        self._next_number = 0

    @property
    def is_active(self) -> bool:
        """Whether anybody leads further than we are."""
        return bool(self._sources) or self._pushing is not None

    @property
    def is_proven(self) -> bool:
        """Whether those that say they lead further have sent blocks that show it."""
        return self.is_active and (self._has_delivered or bool(self._unpushed()))

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet pushed."""
        return sum(batch.size_bytes for batch in self._unpushed())

    @property
    def backlog_batches(self) -> int:
        """Batches received and not yet pushed."""
        return len(self._unpushed())

    def next_deadline(self) -> float | None:
        """Return when the open request is late or a pause is over, or None."""
        if self._asked is not None:
            return self._asked.deadline
        return self._pause_until

    @property
    def target(self) -> Height | None:
        """Height that the best claim leads to; None without sources."""
        return max((target.height for target in self._sources.values()), default=None)

    def add_source(self, peer: PeerId, claim: Claim) -> list[FetcherOutput]:
        """Use a peer that leads to a macro block that we do not have."""
        self._sources[peer] = targets_of(claim, self._chain.policy)[-1]
        return []

    def remove_source(self, peer: PeerId) -> list[FetcherOutput]:
        """Stop using a peer. What it has sent is still pushed."""
        self._drop(peer)
        if self._asked is None or self._asked.peer != peer:
            return []
        return self._cancel()

    def answered(self, answer: Answer, now: float) -> list[FetcherOutput]:
        """Take a batch into the backlog, or give its source back.

        Args:
            answer: To the open request; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        asked = self._asked
        if asked is None or answer.id != asked.id:
            return []
        self._asked = None
        if isinstance(answer, BlocksArrived):
            return self._on_blocks(asked, answer)
        if isinstance(answer, RequestRefused) and answer.status in _BUSY:
            return self._on_busy(asked.peer, now)
        return self._end(asked.peer, EndReason.FAILED)

    def adopted(self, finished: PushFinished, now: float) -> list[FetcherOutput]:
        """Go on with the next batch, or throw away what followed a bad one."""
        del now
        if self._pushing is None or finished.id != self._pushing[0]:
            return []
        batch, self._pushing = self._pushing[1], None
        failure = next((each for each in finished.results if not isinstance(each, Pushed)), None)
        if failure is None and any(_is_progress(result) for result in finished.results):
            self._has_delivered = True
            return [Progressed(batch.peer)]
        # What follows a bad batch hangs in the air.
        self._backlog.clear()
        outputs = self._cancel()
        if failure is not None and is_fault(failure):
            outputs.append(ReportPeer(batch.peer, Fault.INVALID_BLOCK))
        return outputs + self._end(batch.peer, EndReason.BAD)

    def step(self, now: float) -> list[FetcherOutput]:
        """Keep one push and one request going.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs: list[FetcherOutput] = []
        if self._asked is not None and self._asked.deadline <= now:
            peer = self._asked.peer
            outputs += [*self._cancel(), *self._end(peer, EndReason.FAILED)]
        if self._pushing is None and self._backlog:
            outputs.append(self._push())
        if self._pause_until is not None and self._pause_until <= now:
            self._pause_until = None
        if self._asked is None and self._has_room() and self._pause_until is None:
            outputs += self._ask(now)
        return outputs

    def _on_blocks(self, asked: _Asked, answer: BlocksArrived) -> list[FetcherOutput]:
        if not is_sound(answer.blocks, answer.size_bytes, asked.expected, self._chain.policy):
            report = ReportPeer(asked.peer, Fault.UNSOLICITED)
            return [report, *self._end(asked.peer, EndReason.BAD)]
        # The quorum at its end is not verified by itself: the push will verify all of it.
        self._refusals.pop(asked.peer, None)
        batch = _Batch(blocks=answer.blocks, size_bytes=answer.size_bytes, peer=asked.peer)
        self._backlog.append(batch)
        return []

    def _unpushed(self) -> list[_Batch]:
        pushing = [] if self._pushing is None else [self._pushing[1]]
        return pushing + list(self._backlog)

    def _has_room(self) -> bool:
        return self.backlog_batches < BACKLOG_BATCHES and self.held_bytes < BACKLOG_BYTES

    def _push(self) -> PushBlocks:
        batch = self._backlog.popleft()
        ticket = self._ticket()
        self._pushing = ticket, batch
        return PushBlocks(
            id=ticket, blocks=batch.blocks, voting_keys=self._voting_keys.take_missing()
        )

    def _ask(self, now: float) -> list[FetcherOutput]:
        """Ask the first source that leads further than what we have or hold."""
        outputs: list[FetcherOutput] = []
        unpushed = self._unpushed()
        last = unpushed[-1].blocks[-1] if unpushed else None
        for peer, target in list(self._sources.items()):
            if self._chain.contains(target.hash):
                outputs += self._end(peer, EndReason.REACHED)
            elif last is None or target.height > last.number:
                return [*outputs, self._send(peer, target, last, now)]
        return outputs

    def _send(self, peer: PeerId, target: Target, last: Block | None, now: float) -> SendRequest:
        locators = locators_of(self._chain) if last is None else (last.hash,)
        above = self._chain.macro_head.number if last is None else last.number
        include_body = self._config.include_body
        self._asked = _Asked(
            id=self._ticket(),
            peer=peer,
            deadline=now + self._config.request_timeout_s,
            expected=Expected(
                target=target.hash, locators=locators, above=above, include_body=include_body
            ),
        )
        request = MissingBlocksRequest(
            target=target.hash,
            with_body=include_body,
            locators=locators,
            direction=Direction.FORWARD,
        )
        return SendRequest(self._asked.id, peer, request)

    def _on_busy(self, peer: PeerId, now: float) -> list[FetcherOutput]:
        """Let others go first; one that is always busy is no source."""
        self._refusals[peer] += 1
        if self._refusals[peer] >= REFUSALS_MAX:
            return self._end(peer, EndReason.FAILED)
        self._pause_until = now + BUSY_PAUSE_S
        target = self._sources.pop(peer, None)
        if target is not None:
            self._sources[peer] = target
        return []

    def _end(self, peer: PeerId, reason: EndReason) -> list[FetcherOutput]:
        if self._drop(peer) is None:
            return []
        return [SourceEnded(peer, reason)]

    def _drop(self, peer: PeerId) -> Target | None:
        target = self._sources.pop(peer, None)
        self._refusals.pop(peer, None)
        if not self._sources:
            self._has_delivered = False
        return target

    def _cancel(self) -> list[FetcherOutput]:
        asked, self._asked = self._asked, None
        return [] if asked is None else [CancelRequest(asked.id)]

    def _ticket(self) -> TicketId:
        self._next_number += 1
        return TicketId(Asker.CATCH_UP, self._next_number)


def _is_progress(result: PushResult) -> bool:
    """Tell whether a push moved the head, or found that somebody else's had."""
    moved = {PushOutcome.EXTENDED, PushOutcome.REBRANCHED, PushOutcome.KNOWN}
    return isinstance(result, Pushed) and result.outcome in moved


_BUSY: Final = frozenset({ResponseStatus.BUSY, ResponseStatus.RATE_LIMITED})
