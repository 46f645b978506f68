"""Sorting blocks as they come: what can be pushed, what must wait, what is missing, what is junk.

Life of a block in here:

    add --parent stored-------------------------------> PUSHING --result--> gone, children go on
     |                                                     ^
     +--in the window--> BUFFERED --parent stored----------+
     |                      |
     +--otherwise: gone     +--evicted, pruned, abandoned, ancestor bad--> gone

Every message of every block leaves exactly once: as a verdict here, or with the push that carries
it. No I/O, no clock.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from node.blocks.block import Block
from node.chain.results import (
    ChainEvent,
    EpochFinalized,
    EquivocationFound,
    Extended,
    Finalized,
    HistoryAdopted,
    InvalidBlock,
    Pushed,
    PushOutcome,
    PushResult,
    Rebranched,
    Stored,
)
from node.chain.view import ChainView
from node.errors import Fault
from node.gossip.blocks import (
    NO_BLAME,
    Verdicts,
    check_body,
    check_header,
    is_fault,
    is_forgeable,
    verdicts_of,
    verdicts_on_stored,
)
from node.net.network import MessageId, Verdict
from node.sync.effects import Emit, ReportPeer, Resolve
from node.sync.live.block_buffer import BlockBuffer, SourcedBlock
from node.sync.live.config import QueueConfig
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    Ahead,
    Behind,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from protocols.types import Hash32, PeerId


class PushKind(Enum):
    """Why blocks are pushed."""

    HEAD = "head"
    """The parent was known when the block came."""
    BUFFERED = "buffered"
    """The block has waited for its parent."""
    MISSING = "missing"
    """The blocks were asked for."""


class _Class(Enum):
    """What a block is to the queue, in the order in which the rules are tried."""

    JUNK = "junk"
    """Breaks a cheap rule, or comes with a body or without one against our wish."""
    STORED = "stored"
    BEHIND = "behind"
    """Too far below the head."""
    PUSHING = "pushing"
    HEAD = "head"
    """Its parent is stored, on a fork perhaps."""
    AHEAD = "ahead"
    """Too far above the head."""
    CLOSED = "closed"
    """On a branch that the last macro block has closed."""
    BUFFERED = "buffered"


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Blocks to push in order, stopping at the first that fails."""

    kind: PushKind
    blocks: tuple[Block, ...]
    peer: PeerId
    """Who sent them."""
    headers: tuple[MessageId, ...] = ()
    """Announcements of the header of its one block that take the verdict of this push."""
    bodies: tuple[MessageId, ...] = ()
    """Announcements of its body."""


@dataclass(frozen=True, slots=True)
class FindMissing:
    """An ancestor of buffered blocks is to be asked for, unless that is under way.

    Answer with `turn_away` if it is not.
    """

    target: Hash32
    first_peer: PeerId
    """The peer to ask first: it has sent what waits."""
    waiting: Hash32
    """A buffered block that waits for it."""


QueueOutput: TypeAlias = Push | FindMissing | Resolve | ReportPeer | Emit


@dataclass(slots=True)
class _Pushing:
    """A block that is being pushed, and what came of it since."""

    block: Block
    peer: PeerId
    late: list[SourcedBlock] = field(default_factory=list)

    def has_room(self, copy: SourcedBlock, config: QueueConfig) -> bool:
        if self._is_other(copy) and copy.peer in self._peers_of_copies():
            return False
        waiting = sum(len(each.messages) for each in self.late) + len(copy.messages)
        return len(self.late) < config.messages_per_block and waiting <= config.messages_per_block

    def _is_other(self, copy: SourcedBlock) -> bool:
        return copy.block.justification != self.block.justification

    def _peers_of_copies(self) -> set[PeerId]:
        return {self.peer, *(each.peer for each in self.late if self._is_other(each))}


class BlockQueue:
    """Classifies blocks against the chain and keeps those that wait."""

    def __init__(
        self,
        chain: ChainView,
        config: QueueConfig,
        *,
        live_peers: Container[PeerId],
    ) -> None:
        """Start empty.

        Args:
            chain: What is stored.
            config: Bounds.
            live_peers: Read at every block; whoever owns it reacts to Behind and Ahead.
        """
        self._chain = chain
        self._config = config
        self._live_peers = live_peers
        self._buffer = BlockBuffer(config)
        self._pushing: dict[Hash32, _Pushing] = {}
        self._pruned_to = chain.macro_head.number

    @property
    def buffered(self) -> int:
        """Blocks that wait for their parents."""
        return len(self._buffer)

    @property
    def buffered_bytes(self) -> int:
        """Bytes of them."""
        return self._buffer.size_bytes

    @property
    def pushing(self) -> int:
        """Blocks handed out to be pushed."""
        return len(self._pushing)

    def is_needed(self, target: Hash32) -> bool:
        """Tell whether a missing block still has somebody waiting for it."""
        return self._buffer.has_child_of(target)

    def add(self, copy: SourcedBlock) -> list[QueueOutput]:
        """Classify a block and act on it."""
        outputs = self._prune()
        match class_ := self._class_of(copy.block):
            case _Class.JUNK:
                outputs += self._refuse(copy)
            case _Class.STORED:
                outputs += _judge(copy, verdicts_on_stored(copy.block, self._chain))
            case _Class.PUSHING:
                outputs += self._join_push(copy)
            case _Class.HEAD:
                outputs.append(self._start(PushKind.HEAD, [copy]))
            case _Class.BEHIND | _Class.AHEAD | _Class.CLOSED:
                outputs += self._ignore(copy, class_)
            case _Class.BUFFERED:
                outputs += self._keep(copy)
        return outputs

    def _class_of(self, block: Block) -> _Class:
        """Return the first class whose rule applies. A known parent outranks "too far ahead"."""
        chain, config = self._chain, self._config
        rules: tuple[tuple[_Class, Callable[[], bool]], ...] = (
            (_Class.JUNK, lambda: self._is_junk(block)),
            (_Class.STORED, lambda: chain.contains(block.hash)),
            (_Class.BEHIND, lambda: block.number < chain.head.number - config.tolerate_past_max),
            (_Class.PUSHING, lambda: block.hash in self._pushing),
            (_Class.HEAD, lambda: chain.contains(block.parent_hash)),
            (_Class.AHEAD, lambda: block.number > chain.head.number + config.window_ahead_max),
            (_Class.CLOSED, lambda: self._is_closed(block)),
        )
        return next((class_ for class_, applies in rules if applies()), _Class.BUFFERED)

    def start_missing(self, blocks: tuple[Block, ...], peer: PeerId) -> Push:
        """Hand out blocks that were asked for as one push."""
        for block in blocks:
            # A block may already be pushed from elsewhere: pushing it twice is harmless.
            self._pushing.setdefault(block.hash, _Pushing(block, peer))
        return Push(kind=PushKind.MISSING, blocks=blocks, peer=peer)

    def finish(self, push: Push, results: tuple[PushResult, ...]) -> list[QueueOutput]:
        """Take the results of a push: fewer than blocks if the last of them is a failure."""
        received: list[Hash32] = []
        settled: list[QueueOutput] = []
        buffered = self.buffered
        for block, result in zip(push.blocks, results, strict=False):
            if isinstance(result, Pushed):
                if _is_news(push.kind, result):
                    received.append(block.hash)
                settled += self._settle(block.hash)
            else:
                settled += self._fail(push, block, result)
        return _events(push.kind, received, buffered) + settled

    def chain_changed(self, event: ChainEvent) -> list[QueueOutput]:
        """Follow what somebody else has pushed. Our own pushes go through `finish`."""
        match event:
            case Extended(block) | Stored(block):
                outputs = self.adopt([block])
            case Rebranched(_, adopted):
                outputs = self.adopt(adopted)
            case HistoryAdopted(_, _, macro):
                outputs = self.adopt([macro])
            case Finalized(macro):
                # Adopted without its batch, it comes with no other event.
                outputs = self.adopt([macro])
            case EpochFinalized() | EquivocationFound():
                outputs = []
        return outputs + self._prune()

    def adopt(self, blocks: Iterable[Hash32]) -> list[QueueOutput]:
        """Go on from blocks that have been stored by somebody else."""
        outputs: list[QueueOutput] = []
        for block in blocks:
            if block not in self._pushing:
                outputs += self._settle(block)
        return outputs

    def abandon(self, target: Hash32) -> list[QueueOutput]:
        """Give up on a missing block: everything that waits for it goes, and nobody is blamed."""
        return self._drop(self._buffer.descendants(target))

    def turn_away(self, block: Hash32) -> list[QueueOutput]:
        """Drop a buffered block whose ancestor is not looked for: its peer waits for too many.

        What others have buffered above it goes on waiting, for this block.
        """
        return self._drop([block]) + self._find_for_children(block)

    def skip_stored(self, push: Push) -> list[QueueOutput] | None:
        """Settle a waiting push whose block has been stored meanwhile; None if it has not been."""
        (block, *others) = push.blocks
        if others or not self._chain.contains(block.hash):
            return None
        copy = SourcedBlock(block=block, peer=push.peer, headers=push.headers, bodies=push.bodies)
        return _judge(copy, verdicts_on_stored(block, self._chain)) + self._settle(block.hash)

    def holds(self, block: Hash32) -> Block | None:
        """Return a block that is buffered or being pushed, whichever copy came first."""
        pushing = self._pushing.get(block)
        if pushing is not None:
            return pushing.block
        return self._buffer.first_copy(block)

    def _is_junk(self, block: Block) -> bool:
        if (block.body is not None) != self._config.include_body:
            return True
        header, policy = block.header, self._chain.policy
        if check_header(header, block.justification, policy, self._chain.network) is not None:
            return True
        return block.body is not None and check_body(header, block.body, policy) is not None

    def _is_closed(self, block: Block) -> bool:
        """Tell whether the parent, which is not stored, would have to be final."""
        return block.number <= self._chain.macro_head.number + 1

    def _refuse(self, copy: SourcedBlock) -> list[QueueOutput]:
        outputs: list[QueueOutput] = _resolve(copy.messages, Verdict.REJECT)
        if not copy.is_announced:
            outputs.append(ReportPeer(copy.peer, Fault.INVALID_BLOCK))
        return [*outputs, Emit(RejectedBlock(copy.block.hash))]

    def _ignore(self, copy: SourcedBlock, class_: _Class) -> list[QueueOutput]:
        outputs: list[QueueOutput] = _resolve(copy.messages, Verdict.IGNORE)
        if copy.peer in self._live_peers and class_ is not _Class.CLOSED:
            is_behind = class_ is _Class.BEHIND
            outputs.append(Emit(Behind(copy.peer) if is_behind else Ahead(copy.peer)))
        return outputs

    def _join_push(self, copy: SourcedBlock) -> list[QueueOutput]:
        pushing = self._pushing[copy.block.hash]
        if not pushing.has_room(copy, self._config):
            return _resolve(copy.messages, Verdict.IGNORE)
        pushing.late.append(copy)
        return []

    def _keep(self, copy: SourcedBlock) -> list[QueueOutput]:
        overflow = self._buffer.add(copy, head=self._chain.head.number)
        outputs: list[QueueOutput] = _resolve(overflow.messages, Verdict.IGNORE)
        if copy.block.hash in self._buffer:
            target = self._buffer.earliest_missing(copy.block)
            outputs += self._find(target, copy.peer, copy.block.hash)
        # What stood on a block that had to go still waits for it.
        for block in overflow.blocks:
            outputs += self._find_for_children(block)
        return outputs

    def _find_for_children(self, target: Hash32) -> list[QueueOutput]:
        outputs: list[QueueOutput] = []
        for child in self._buffer.children(target):
            outputs += self._find(target, self._buffer.sender(child), child)
        return outputs

    def _find(self, target: Hash32, first_peer: PeerId, waiting: Hash32) -> list[QueueOutput]:
        if target in self._pushing:
            return []
        return [FindMissing(target, first_peer, waiting)]

    def _start(self, kind: PushKind, copies: list[SourcedBlock]) -> Push:
        """BUFFERED or new -> PUSHING. The first copy is pushed, the others see what comes of it."""
        first, *others = copies
        self._pushing[first.block.hash] = _Pushing(first.block, first.peer, others)
        return Push(
            kind=kind,
            blocks=(first.block,),
            peer=first.peer,
            headers=first.headers,
            bodies=first.bodies,
        )

    def _settle(self, block: Hash32) -> list[QueueOutput]:
        """A block is done and good: late copies get their verdicts, children are next."""
        outputs: list[QueueOutput] = []
        for copy in self._take_copies(block):
            outputs += _judge(copy, verdicts_on_stored(copy.block, self._chain))
        if not self._chain.contains(block):
            # Ignored: final blocks have closed its branch, so nothing above it can be pushed.
            return outputs + self._drop(self._buffer.descendants(block))
        for child in self._buffer.children(block):
            # One that is also being pushed as a missing block will be settled with that push.
            if child not in self._pushing and (entry := self._buffer.pop(child)) is not None:
                outputs.append(self._start(PushKind.BUFFERED, entry.copies))
        return outputs

    def _fail(self, push: Push, block: Block, result: PushResult) -> list[QueueOutput]:
        """A block is done and bad. Equal copies share its verdict, others get their own try."""
        outputs: list[QueueOutput] = []
        if is_fault(result):
            error = result.error if isinstance(result, InvalidBlock) else None
            outputs.append(Emit(RejectedBlock(block.hash, error)))
            if not push.headers and not push.bodies:
                outputs.append(ReportPeer(push.peer, Fault.INVALID_BLOCK))
        others: list[SourcedBlock] = []
        for copy in self._take_copies(block.hash):
            if is_forgeable(result) and copy.block.justification != block.justification:
                others.append(copy)
            else:
                outputs += _judge(copy, verdicts_of(result))
        unreached = push.blocks[push.blocks.index(block) + 1 :]
        if others:
            return outputs + self._retry(others + self._take_all(unreached))
        is_to_blame = is_fault(result) and not is_forgeable(result)
        verdicts = verdicts_of(result) if is_to_blame else NO_BLAME
        return outputs + self._fail_above([block, *unreached], verdicts)

    def _fail_above(self, blocks: list[Block], verdicts: Verdicts) -> list[QueueOutput]:
        """Drop what stands on a bad block: what its push did not reach, and what is buffered."""
        outputs: list[QueueOutput] = []
        for block in blocks[1:]:
            pushing = self._pushing.pop(block.hash, None)
            for copy in [] if pushing is None else pushing.late:
                outputs += _judge(copy, verdicts)
        for block in blocks:
            doomed = [block.hash, *self._buffer.descendants(block.hash)]
            outputs += self._remove(doomed, verdicts)
        return outputs

    def _take_all(self, blocks: Iterable[Block]) -> list[SourcedBlock]:
        return [copy for block in blocks for copy in self._take_copies(block.hash)]

    def _retry(self, copies: list[SourcedBlock]) -> list[QueueOutput]:
        return [output for copy in copies for output in self.add(copy)]

    def _take_copies(self, block: Hash32) -> list[SourcedBlock]:
        """Take out every copy of a block but the one that was pushed."""
        pushing, entry = self._pushing.pop(block, None), self._buffer.pop(block)
        late = [] if pushing is None else pushing.late
        return late + ([] if entry is None else entry.copies)

    def _prune(self) -> list[QueueOutput]:
        """Drop what a new macro block has closed."""
        macro = self._chain.macro_head
        if macro.number == self._pruned_to:
            return []
        self._pruned_to = macro.number
        outputs: list[QueueOutput] = []
        for block in self._buffer.up_to(macro.number + 1):
            if self._is_on_closed_branch(block):
                outputs += self._drop([block.hash, *self._buffer.descendants(block.hash)])
        return outputs

    def _is_on_closed_branch(self, block: Block) -> bool:
        """Tell whether a buffered block at the last macro block's height or beside it is dead.

        What is stored or being pushed is about to be settled with its descendants.
        """
        is_child = block.parent_hash == self._chain.macro_head.hash
        is_coming = block.hash in self._pushing or self._chain.contains(block.hash)
        return not is_child and not is_coming

    def _drop(self, blocks: Iterable[Hash32]) -> list[QueueOutput]:
        return self._remove(blocks, NO_BLAME)

    def _remove(self, blocks: Iterable[Hash32], verdicts: Verdicts) -> list[QueueOutput]:
        """Take buffered blocks out. Those that somebody is to blame for are rejected."""
        outputs: list[QueueOutput] = []
        for block in blocks:
            entry = self._buffer.pop(block)
            if entry is None:
                continue
            for copy in entry.copies:
                outputs += _judge(copy, verdicts)
            if verdicts is not NO_BLAME:
                outputs.append(Emit(RejectedBlock(block)))
        return outputs


def _judge(copy: SourcedBlock, verdicts: Verdicts) -> list[QueueOutput]:
    return [*_resolve(copy.headers, verdicts.header), *_resolve(copy.bodies, verdicts.body)]


def _resolve(messages: Iterable[MessageId], verdict: Verdict) -> list[QueueOutput]:
    return [Resolve(message, verdict) for message in messages]


def _is_news(kind: PushKind, result: Pushed) -> bool:
    """Tell whether a push belongs into an event: what we asked for may also be a fork."""
    if result.outcome in {PushOutcome.EXTENDED, PushOutcome.REBRANCHED}:
        return True
    return kind is PushKind.MISSING and result.outcome is PushOutcome.FORKED


def _events(kind: PushKind, received: list[Hash32], buffered: int) -> list[QueueOutput]:
    if not received:
        return []
    match kind:
        case PushKind.HEAD:
            return [Emit(AcceptedAnnouncedBlock(received[0]))]
        case PushKind.BUFFERED:
            return [Emit(AcceptedBufferedBlock(received[0], buffered))]
        case PushKind.MISSING:
            return [Emit(ReceivedMissingBlocks(tuple(received)))]
