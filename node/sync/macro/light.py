"""Light macro sync: election blocks one epoch after another, then the newest checkpoint.

    claims --> ordered queue --> what continues our chain --> adopted --> ...

Each block is verified by the validators of the election before it. Where peers claim different
blocks for one height only one of them can verify; the others, and whoever claimed them, go.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from node.chain.results import Pushed, PushResult
from node.chain.view import ChainView
from node.errors import Fault
from node.gossip.blocks import is_fault, is_forgeable
from node.sync.effects import AdoptMacroBlocks, ReportPeer
from node.sync.inputs import Answer, BlocksArrived, PushFinished, RequestRefused
from node.sync.macro.claims import is_refuted, targets_of
from node.sync.macro.fetcher import Claim, EndReason, FetcherOutput, Progressed, SourceEnded
from node.sync.macro.forms import has_quorum_form, may_stand_at, parent_election_of
from node.sync.macro.ordered_queue import Asked, Held, OrderedQueue
from node.sync.macro.target import Target
from node.sync.tickets import Asker, TicketId
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height, PeerId

ADOPTED_AT_ONCE: Final = 64
"""Blocks in one adoption, verified in a fraction of a second, so that a liar is soon found out."""

AHEAD_EPOCHS: Final = 2 * ADOPTED_AT_ONCE
"""Epochs above our election head that are asked for: one adoption under way, and the next."""

BUSY_PAUSE_S: Final = 0.5
"""Before a peer is asked again that was busy or limited our rate."""

REFUSALS_MAX: Final = 10
"""Refusals in a row after which a source is given back: an honest one is not busy for that long."""


@dataclass(slots=True)
class _Source:
    targets: tuple[Target, ...]
    queued: int = 0
    """How many of them the queue has got."""
    passed: int = 0
    """How many of them are not above our macro head."""
    refusals: int = 0
    paused_until: float = 0.0


class LightFetcher:
    """Fetches macro blocks of all sources at once and adopts them in order."""

    def __init__(self, chain: ChainView, *, timeout_s: float) -> None:
        """Start without sources.

        Args:
            chain: Read only; adoptions are effects.
            timeout_s: How long one peer may take for one block.
        """
        self._chain = chain
        self._queue = OrderedQueue(timeout_s=timeout_s)
        self._sources: dict[PeerId, _Source] = {}
        self._adopting: tuple[TicketId, tuple[tuple[Target, Held], ...]] | None = None
        self._proven: set[PeerId] = set()
        """Sources that have sent what was adopted."""
        self._next_number = 0

    @property
    def is_active(self) -> bool:
        """Whether a source claims more than we have, or an adoption is under way."""
        return bool(self._sources) or self._adopting is not None

    @property
    def is_proven(self) -> bool:
        """Whether a source has sent something above our head that verified since it became one."""
        return bool(self._proven)

    @property
    def target(self) -> Height | None:
        """Height that the best claim leads to, proven or not; None without sources."""
        tops = (source.targets[-1].height for source in self._sources.values())
        return max(tops, default=None)

    @property
    def held_bytes(self) -> int:
        """Bytes received and not yet adopted."""
        return self._queue.held_bytes

    def next_deadline(self) -> float | None:
        """Return when a request is late or a pause is over, or None."""
        pauses = (source.paused_until for source in self._sources.values() if source.paused_until)
        deadline = self._queue.next_deadline()
        return min(pauses if deadline is None else (*pauses, deadline), default=None)

    def add_source(self, peer: PeerId, claim: Claim) -> list[FetcherOutput]:
        """Use a peer that claims more than we have. `step` asks it."""
        outputs = self.remove_source(peer)
        self._sources[peer] = _Source(targets_of(claim, self._chain.policy))
        return outputs

    def remove_source(self, peer: PeerId) -> list[FetcherOutput]:
        """Stop using a peer."""
        self._sources.pop(peer, None)
        self._proven.discard(peer)
        return [*self._queue.drop_peer(peer)]

    def answered(self, answer: Answer, now: float) -> list[FetcherOutput]:
        """Take a block, or ask somebody else.

        Args:
            answer: To a request of ours; a late one changes nothing.
            now: Monotonic clock, seconds.
        """
        found = self._queue.close(answer.id)
        if found is None:
            return []
        target, asked = found
        if isinstance(answer, BlocksArrived):
            return self._on_block(target, asked, answer)
        if isinstance(answer, RequestRefused) and answer.status in _BUSY:
            return self._on_busy(asked.peer, now)
        # A node that took its first election block on trust has none of those before.
        return self._end(asked.peer, EndReason.FAILED)

    def adopted(self, finished: PushFinished, now: float) -> list[FetcherOutput]:
        """Go on above what was adopted, or find out who is to blame.

        Args:
            finished: An adoption of ours; any other changes nothing.
            now: Monotonic clock, seconds.
        """
        del now
        if self._adopting is None or finished.id != self._adopting[0]:
            return []
        path, self._adopting = self._adopting[1], None
        outputs: list[FetcherOutput] = []
        good = sum(isinstance(result, Pushed) for result in finished.results)
        senders = _senders(path[:good])
        self._proven |= self._sources.keys() & senders
        outputs += [Progressed(peer) for peer in senders]
        if good < len(path):
            failure = finished.results[good] if good < len(finished.results) else None
            outputs += self._on_invalid(*path[good], failure)
        return outputs + self._prune()

    def step(self, now: float) -> list[FetcherOutput]:
        """Keep one adoption and several requests going.

        Args:
            now: Monotonic clock, seconds.
        """
        outputs = self._prune()
        for peer in self._queue.late(now):
            outputs += [ReportPeer(peer, Fault.TOO_SLOW), *self._end(peer, EndReason.FAILED)]
        self._fill_queue()
        if self._adopting is None:
            outputs += self._adopt()
        for source in self._sources.values():
            if source.paused_until <= now:
                source.paused_until = 0.0
        ready = [peer for peer, source in self._sources.items() if not source.paused_until]
        return [*outputs, *self._queue.send(ready, now)]

    def _on_block(self, target: Target, asked: Asked, answer: BlocksArrived) -> list[FetcherOutput]:
        source = self._sources[asked.peer]
        source.refusals = 0
        block = answer.blocks[0] if answer.blocks else None
        is_asked_for = block is not None and block.hash == target.hash
        if block is None or not is_asked_for or not has_quorum_form(block):
            return self._blame([asked.peer])
        if not may_stand_at(block, target.height, self._chain.policy):
            # Its hash is the one that they all claim to stand there.
            return self._blame(self._queue.claimants(target))
        held = Held(block.without_body(), asked.peer, answer.size_bytes)
        return [*self._queue.hold(target, held)]

    def _on_busy(self, peer: PeerId, now: float) -> list[FetcherOutput]:
        source = self._sources[peer]
        source.refusals += 1
        if source.refusals >= REFUSALS_MAX:
            return self._end(peer, EndReason.FAILED)
        source.paused_until = now + BUSY_PAUSE_S
        return []

    def _on_invalid(
        self, target: Target, held: Held, failure: PushResult | None
    ) -> list[FetcherOutput]:
        claimants = self._queue.claimants(target)
        if failure is None or not is_fault(failure):
            outputs: list[FetcherOutput] = []
            for peer in claimants:
                outputs += self._end(peer, EndReason.FAILED)
            return outputs
        if is_forgeable(failure):
            # What was signed is not part of the hash: others may have it rightly signed.
            if claimants:
                self._queue.free(target)
            return self._blame([held.sender])
        return self._blame(claimants)

    def _prune(self) -> list[FetcherOutput]:
        """Forget what our chain has passed, and give back who claims no more, or otherwise."""
        macro = self._chain.macro_head.number
        outputs: list[FetcherOutput] = [*self._queue.drop_up_to(macro)]
        for peer, source in list(self._sources.items()):
            passed = source.passed
            while passed < len(source.targets) and source.targets[passed].height <= macro:
                passed += 1
            new = source.targets[source.passed : passed]
            source.passed = passed
            if any(is_refuted(target, self._chain) for target in new):
                outputs += self._blame([peer])
            elif passed == len(source.targets):
                outputs += self._end(peer, EndReason.REACHED)
        return outputs

    def _fill_queue(self) -> None:
        epochs = AHEAD_EPOCHS * self._chain.policy.epoch_length
        horizon = self._chain.election_head.number + epochs
        for peer, source in self._sources.items():
            source.queued = max(source.queued, source.passed)
            while source.queued < len(source.targets):
                target = source.targets[source.queued]
                if target.height > horizon:
                    break
                self._queue.add(target, peer)
                source.queued += 1

    def _adopt(self) -> list[FetcherOutput]:
        outputs: list[FetcherOutput] = []
        for target in self._misfits():
            outputs += self._blame(self._queue.claimants(target))
        path = self._path()
        if not path:
            return outputs
        self._next_number += 1
        ticket = TicketId(Asker.ADOPTION, self._next_number)
        self._adopting = ticket, path
        return [*outputs, AdoptMacroBlocks(id=ticket, blocks=tuple(h.block for _, h in path))]

    def _misfits(self) -> list[Target]:
        """Return what has come for the epoch after our election head and does not continue it."""
        head, policy = self._chain.election_head, self._chain.policy
        last = policy.election_after(head.number)
        return [
            target
            for target, held in self._queue.held_blocks()
            if target.height <= last and parent_election_of(held.block) != head.hash
        ]

    def _path(self) -> tuple[tuple[Target, Held], ...]:
        """Return what has come and continues our chain without a gap, checkpoint last."""
        children: dict[Hash32, list[tuple[Target, Held]]] = {}
        for target, held in self._queue.held_blocks():
            children.setdefault(parent_election_of(held.block), []).append((target, held))
        policy, head = self._chain.policy, self._chain.election_head
        path: list[tuple[Target, Held]] = []
        parent, following = head.hash, policy.election_after(head.number)
        while len(path) < ADOPTED_AT_ONCE:
            above = [each for each in children.get(parent, ()) if each[0].height <= following]
            if not above:
                break
            # Election blocks first: a checkpoint below one of them is of no use any more.
            path.append(max(above, key=lambda each: each[0].height))
            if path[-1][0].height < following:
                break
            parent, following = path[-1][0].hash, policy.election_after(following)
        return tuple(path)

    def _blame(self, peers: Iterable[PeerId]) -> list[FetcherOutput]:
        outputs: list[FetcherOutput] = []
        for peer in peers:
            outputs.append(ReportPeer(peer, Fault.FALSE_CLAIM))
            outputs += self._end(peer, EndReason.BAD)
        return outputs

    def _end(self, peer: PeerId, reason: EndReason) -> list[FetcherOutput]:
        if peer not in self._sources:
            return []
        return [*self.remove_source(peer), SourceEnded(peer, reason)]


def _senders(path: Sequence[tuple[Target, Held]]) -> tuple[PeerId, ...]:
    return tuple(dict.fromkeys(held.sender for _, held in path))


_BUSY: Final = frozenset({ResponseStatus.BUSY, ResponseStatus.RATE_LIMITED})
