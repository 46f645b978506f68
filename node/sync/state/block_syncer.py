"""The machine that fetches the validity window: whole blocks below the first target.

    line                                 target
    M ---- b ---- b ---- M ---- b ---- b ---- M
    <---- batch 2 -----> <---- batch 1 ---->  |   each asked for by the hash that is expected next

One question at a time, downwards. Each block must have the hash that the one above it names, so a
false block is known at once. A batch is held until its macro block has come, and stored then: who
must have signed its blocks follows from that. What lies above the first target comes by live sync,
so a later target needs less: its window ends higher.

What the store says is the truth: a machine that is made anew begins with what is stored.
"""

from collections.abc import Sequence
from typing import Final

from node.blocks.block import Block
from node.chain.results import InvalidBlock
from node.errors import Fault
from node.gossip.blocks import check_body
from node.policy import Policy
from node.sync.effects import ReportPeer
from node.sync.state.one_question import OneQuestion
from node.sync.state.part_events import (
    AskBlocks,
    BatchStored,
    BlockEffect,
    BlockInput,
    BlocksArrived,
    FindLowest,
    LowestFound,
    StoreBatch,
)
from node.sync.state.state_events import (
    TargetReached,
    TargetTooOld,
)
from node.sync.state.state_limits import DEFAULT_LIMITS, StateLimits
from node.sync.state.state_peers import Topic
from node.sync.state.target import SyncTarget
from protocols.types import Hash32, Height, PeerId

NAME: Final = "blocks"


class BlockSyncer:
    """Fetches one window. Implements `Syncer`; one task feeds it."""

    def __init__(self, policy: Policy, limits: StateLimits = DEFAULT_LIMITS) -> None:
        """Begin idle.

        Args:
            policy: Of the network.
            limits: Its bounds.
        """
        self._policy = policy
        self._question = OneQuestion(limits)
        self._first: SyncTarget | None = None
        """The target from which on it is fetched downwards."""
        self._target: SyncTarget | None = None
        self._line: Height = 0
        """Lowest height of the newest target's window."""
        self._lowest: Height | None = None
        """Height of the lowest block that is stored; None before the store was looked into."""
        self._expected: Hash32 | None = None
        """The next block; None before the store was looked into."""
        self._is_done = False
        self._held: list[tuple[Block, PeerId]] = []
        """Blocks of one batch, descending, and who sent them: at most a batch."""
        self._job: int | None = None
        self._reached: SyncTarget | None = None
        self._too_old: SyncTarget | None = None

    @property
    def name(self) -> str:
        """What the registry knows it by."""
        return NAME

    @property
    def held(self) -> int:
        """Blocks in memory."""
        return len(self._held)

    def sync(self, target: SyncTarget, now: float) -> Sequence[BlockEffect]:
        """Begin, or take up what an earlier run has stored."""
        assert self._target is None, "started once"
        self._first = self._target = target
        self._line = self._line_of(target)
        self._job = self._question.take_id()
        return [FindLowest(self._job, target.number), *self._step(now)]

    def update_target(self, target: SyncTarget, now: float) -> Sequence[BlockEffect]:
        """Go for a newer target. What lies below its window is not wanted any more."""
        self._target, self._line = target, self._line_of(target)
        dropped: Sequence[BlockEffect] = []
        if self._lowest is not None and self._lowest <= self._line:
            self._is_done = True
            dropped = self._question.drop()
            if self._job is None:
                self._held.clear()
        return [*dropped, *self._step(now)]

    def finalize(self) -> Sequence[BlockEffect]:
        """Want nothing more: it is done with the last target."""
        self._target = None
        return self._question.drop()

    def next_deadline(self) -> float | None:
        """Return when `DeadlinePassed` is due, monotonic clock, or None."""
        return self._question.next_deadline() if self._wants else None

    def handle(self, event: BlockInput, now: float) -> list[BlockEffect]:
        """Apply one event. What comes late changes nothing."""
        self._question.wake(now)
        return self._on_event(event, now) + self._step(now)

    def _on_event(self, event: BlockInput, now: float) -> list[BlockEffect]:
        match event:
            case BlocksArrived(name, blocks):
                return self._on_blocks(name, blocks, now)
            case LowestFound() | BatchStored():
                return self._on_job(event, now)
            case _:
                return [*self._question.hear(event, now)]

    def _on_blocks(self, name: int, blocks: tuple[Block, ...], now: float) -> list[BlockEffect]:
        peer = self._question.answered(name)
        if peer is None:
            return []
        if not self._is_sound(blocks):
            self._question.lied(peer, now)
            return [ReportPeer(peer, Fault.UNSOLICITED)]
        self._question.useful(peer)
        self._held += ((block, peer) for block in blocks)
        self._expected = blocks[-1].parent_hash
        return []

    def _is_sound(self, blocks: tuple[Block, ...]) -> bool:
        """Tell whether blocks are what was asked for. An answer may end early, for its size."""
        expected = self._expected
        for block in blocks:
            if block.hash != expected or block.is_macro != self._policy.is_macro(block.number):
                return False
            if block.body is None or check_body(block.header, block.body, self._policy):
                return False
            expected = block.parent_hash
        return bool(blocks) and not any(block.is_macro for block in blocks[:-1])

    def _on_job(self, event: LowestFound | BatchStored, now: float) -> list[BlockEffect]:
        if event.id != self._job:
            return []
        self._job = None
        match event:
            case LowestFound(_, block):
                self._set_lowest(block)
                return []
            case BatchStored(_, None, lowest):
                self._set_lowest(lowest or self._held[-1][0])
                self._held.clear()
                return []
            case BatchStored(_, invalid, _):
                assert invalid is not None
                return self._on_invalid(invalid, now)

    def _set_lowest(self, block: Block | None) -> None:
        assert self._first is not None
        if block is None:
            # What comes above the first target is stored as it comes.
            self._expected, self._lowest = self._first.hash, self._first.number + 1
        else:
            self._expected, self._lowest = block.parent_hash, block.number
        self._is_done = self._lowest <= self._line

    def _on_invalid(self, invalid: InvalidBlock, now: float) -> list[BlockEffect]:
        """Blame whoever sent a false signature, and ask for the batch again."""
        liars = [peer for block, peer in self._held if block.hash == invalid.hash]
        self._expected = self._held[0][0].hash
        self._held.clear()
        for peer in liars:
            self._question.lied(peer, now)
        return [ReportPeer(peer, Fault.INVALID_BLOCK) for peer in liars]

    def _line_of(self, target: SyncTarget) -> Height:
        newest = self._policy.macro_at_or_before(target.number)
        return max(newest - self._policy.validity_window_blocks, 0)

    @property
    def _wants(self) -> bool:
        return self._expected is not None and self._job is None and not self._is_done

    def _step(self, now: float) -> list[BlockEffect]:
        target = self._target
        if target is None:
            return []
        if self._is_done:
            if self._reached == target:
                return []
            self._reached = target
            return [TargetReached(target)]
        if self._held and self._held[-1][0].is_macro and self._job is None:
            self._job = self._question.take_id()
            return [StoreBatch(self._job, tuple(block for block, _ in self._held))]
        return self._ask(target, now) if self._wants else []

    def _ask(self, target: SyncTarget, now: float) -> list[BlockEffect]:
        expected = self._expected
        assert expected is not None
        topic: Topic = "blocks", expected
        question = self._question.ask(topic, now)
        if question is not None:
            return [AskBlocks(question.id, question.peer, expected)]
        if self._question.nobody_has(topic) and self._too_old != target:
            self._too_old = target
            return [TargetTooOld(target)]
        return []
