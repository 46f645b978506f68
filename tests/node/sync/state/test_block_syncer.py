"""The window is fetched from peers of all kinds, and no false block gets into the store."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

import pytest

from node.blocks.block import Block
from node.chain.chain import Chain
from node.errors import Fault
from node.serve.missing_blocks import serve_missing_blocks
from node.sync.effects import ReportPeer
from node.sync.inputs import DeadlinePassed
from node.sync.state.block_syncer import BlockSyncer
from node.sync.state.part_events import (
    AskBlocks,
    BatchStored,
    BlockEffect,
    BlocksArrived,
    FindLowest,
    LowestFound,
    StoreBatch,
)
from node.sync.state.state_events import (
    CancelQuestion,
    ServerJoined,
    ServerLeft,
    StateFailed,
    StateRefused,
    TargetReached,
    TargetTooOld,
)
from node.sync.state.target import SyncTarget
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, Hash32, PeerId
from tests.build.state_sync import (
    GENESIS,
    POLICY,
    adopt,
    builder_of,
    full_chain,
    push_rest,
    syncing_chain,
    target_at,
)

HEIGHT = 16
BUILDER = builder_of(HEIGHT + 2 * POLICY.batch_length)
SERVER = full_chain(GENESIS)
SERVER.push(BUILDER.blocks[:HEIGHT])

Answer = tuple[Block, ...] | Refusal | None
Peer = Callable[[Hash32], Answer]
"""Answers with blocks from one down, with a refusal, or not at all."""


def honest(first: Hash32, max_bytes: int = 1_000_000) -> Answer:
    request = MissingBlocksRequest(
        target=first, with_body=True, locators=(), direction=Direction.BACKWARD
    )
    response = serve_missing_blocks(request, SERVER, max_bytes=max_bytes)
    if isinstance(response, Refusal):
        return response
    return tuple(Block.decode(each) for each in response.blocks)


def short(first: Hash32) -> Answer:
    """Answer with one block, or two."""
    return honest(first, 1000)


def silent(_: Hash32) -> Answer:
    return None


def pruned(_: Hash32) -> Answer:
    return Refusal(ResponseStatus.PRUNED)


def empty(_: Hash32) -> Answer:
    return ()


def bodiless(first: Hash32) -> Answer:
    return tuple(block.without_body() for block in _blocks(first))


def swapped(first: Hash32) -> Answer:
    return _blocks(first)[::-1] if len(_blocks(first)) > 1 else (BUILDER.block_at(1),)


def rebodied(first: Hash32) -> Answer:
    """Answer with blocks that have the body of another."""
    body = BUILDER.block_at(1).body
    return tuple(Block(each.header, each.justification, body) for each in _blocks(first))


def forged(first: Hash32) -> Answer:
    """Answer with true blocks that somebody else has signed."""
    other = BUILDER.block_at(1).justification
    return tuple(
        each if each.is_macro else Block(each.header, other, each.body) for each in _blocks(first)
    )


def _blocks(first: Hash32) -> tuple[Block, ...]:
    answer = honest(first)
    assert isinstance(answer, tuple)
    return answer


@dataclass
class World:
    """A syncer over a real chain, and its peers. Answers come in any order."""

    peers: dict[PeerId, Peer]
    seed: int = 0
    chain: Chain = field(default_factory=lambda: started_at(HEIGHT))
    faults: list[tuple[PeerId, Fault]] = field(default_factory=list)
    reached: list[SyncTarget] = field(default_factory=list)
    too_old: list[SyncTarget] = field(default_factory=list)
    asked: list[tuple[PeerId, Hash32]] = field(default_factory=list)
    waiting: list[AskBlocks | FindLowest | StoreBatch] = field(default_factory=list)
    now: float = 0.0

    def __post_init__(self) -> None:
        self.draw = Random(self.seed)
        self.syncer = BlockSyncer(POLICY)
        for peer in self.peers:
            self.perform(self.syncer.handle(ServerJoined(peer), self.now))

    def start(self, height: int = HEIGHT) -> None:
        self.perform(self.syncer.sync(target_at(BUILDER, height), self.now))

    def perform(self, effects: Sequence[BlockEffect]) -> None:
        assert self.syncer.held <= POLICY.batch_length
        for effect in effects:
            match effect:
                case ReportPeer(peer, fault):
                    self.faults.append((peer, fault))
                case TargetReached(target):
                    self.reached.append(target)
                case TargetTooOld(target):
                    self.too_old.append(target)
                case CancelQuestion(name):
                    self.waiting = [each for each in self.waiting if each.id != name]
                case AskBlocks() | FindLowest() | StoreBatch():
                    self.waiting.append(effect)
        assert sum(isinstance(each, AskBlocks) for each in self.waiting) <= 1

    def run(self, steps: int = 500) -> None:
        """Go on until the target is reached or nothing happens any more."""
        for _ in range(steps):
            if self.reached or not self.step():
                return

    def step(self) -> bool:
        ready = [each for each in self.waiting if not self.is_silent(each)]
        if ready:
            chosen = self.draw.choice(ready)
            self.waiting.remove(chosen)
            self.carry_out(chosen)
            return True
        deadline = self.syncer.next_deadline()
        if deadline is None:
            return False
        self.now = max(self.now, deadline)
        self.perform(self.syncer.handle(DeadlinePassed(), self.now))
        return True

    def is_silent(self, effect: AskBlocks | FindLowest | StoreBatch) -> bool:
        return isinstance(effect, AskBlocks) and self.peers[effect.peer](effect.first) is None

    def carry_out(self, effect: AskBlocks | FindLowest | StoreBatch) -> None:
        match effect:
            case FindLowest(name, height):
                lowest = self.chain.lowest_whole(height)
                self.perform(self.syncer.handle(LowestFound(name, lowest), self.now))
            case StoreBatch(name, blocks):
                invalid = self.chain.store_batch(blocks)
                lowest = self.chain.lowest_whole(blocks[-1].number)
                self.perform(self.syncer.handle(BatchStored(name, invalid, lowest), self.now))
            case AskBlocks():
                self.answer(effect)

    def answer(self, ask: AskBlocks) -> None:
        self.asked.append((ask.peer, ask.first))
        match self.peers[ask.peer](ask.first):
            case Refusal(status):
                self.perform(self.syncer.handle(StateRefused(ask.id, status), self.now))
            case None:
                self.perform(self.syncer.handle(StateFailed(ask.id), self.now))
            case blocks:
                self.perform(self.syncer.handle(BlocksArrived(ask.id, blocks), self.now))

    def check(self) -> None:
        """Check that the whole window is stored as it was made."""
        for height in range(HEIGHT - POLICY.validity_window_blocks, HEIGHT + 1):
            block = BUILDER.block_at(height)
            assert self.chain.block(block.hash, with_body=True) == block
            assert self.chain.hash_at(height) == block.hash


def started_at(height: int) -> Chain:
    chain = syncing_chain(GENESIS)
    adopt(chain, BUILDER, height)
    chain.move_target(height)
    return chain


@pytest.mark.parametrize("kind", [honest, short])
def test_the_window_is_fetched_once(kind: Peer) -> None:
    world = World({PeerId("a"): kind, PeerId("b"): kind})
    world.start()
    world.run()
    assert world.reached == [target_at(BUILDER, HEIGHT)]
    world.check()
    assert not world.faults
    assert len({first for _, first in world.asked}) == len(world.asked)


@pytest.mark.parametrize(
    ("liar", "fault"),
    [
        (swapped, Fault.UNSOLICITED),
        (bodiless, Fault.UNSOLICITED),
        (rebodied, Fault.UNSOLICITED),
        (empty, Fault.UNSOLICITED),
        (forged, Fault.INVALID_BLOCK),
        (silent, None),
        (pruned, None),
    ],
)
@pytest.mark.parametrize("seed", range(4))
def test_others_are_asked_when_one_is_of_no_use(liar: Peer, fault: Fault | None, seed: int) -> None:
    names = [PeerId("a"), PeerId("b")]
    Random(seed).shuffle(names)
    world = World({names[0]: liar, names[1]: short}, seed)
    world.start()
    world.run()
    assert world.reached
    world.check()
    assert {each for _, each in world.faults} <= {fault}
    assert all(peer == names[0] for peer, _ in world.faults)


def test_a_liar_is_not_asked_for_ever() -> None:
    world = World({PeerId("a"): forged})
    world.start()
    world.run()
    assert not world.reached
    assert world.faults == [(PeerId("a"), Fault.INVALID_BLOCK)] * len(world.faults)
    assert 0 < len(world.faults) <= 3
    assert not world.step()


def test_a_peer_that_leaves_is_replaced() -> None:
    world = World({PeerId("a"): silent})
    world.start()
    world.step()
    assert world.waiting
    world.perform(world.syncer.handle(ServerLeft(PeerId("a")), world.now))
    assert not world.waiting
    world.peers[PeerId("b")] = honest
    world.perform(world.syncer.handle(ServerJoined(PeerId("b")), world.now))
    world.run()
    world.check()


def test_late_answers_change_nothing() -> None:
    world = World({PeerId("a"): silent})
    world.start()
    world.step()
    (ask,) = world.waiting
    assert isinstance(ask, AskBlocks)
    world.step()
    late = honest(ask.first)
    assert isinstance(late, tuple)
    before = world.syncer.held
    world.perform(world.syncer.handle(BlocksArrived(ask.id, late), world.now))
    assert world.syncer.held == before
    world.perform(world.syncer.handle(BatchStored(999, None), world.now))
    world.perform(world.syncer.handle(LowestFound(999, None), world.now))
    assert not world.reached


def test_it_goes_on_with_what_is_stored() -> None:
    first = World({PeerId("a"): short})
    first.start()
    while first.chain.lowest_whole(HEIGHT) is None:
        first.step()
    second = World({PeerId("a"): honest}, chain=first.chain)
    second.start()
    second.run()
    second.check()
    assert {each for _, each in second.asked}.isdisjoint({BUILDER.block_at(HEIGHT).hash})
    third = World({PeerId("a"): honest}, chain=first.chain)
    third.start()
    third.run()
    assert third.reached
    assert not third.asked


def test_a_later_target_is_done_at_once() -> None:
    world = World({PeerId("a"): honest})
    world.start()
    world.run()
    push_rest(world.chain, BUILDER.blocks[HEIGHT:])
    later = target_at(BUILDER, HEIGHT + 3)
    world.perform(world.syncer.update_target(later, world.now))
    assert world.reached == [target_at(BUILDER, HEIGHT), later]


def test_a_target_that_moves_meanwhile_is_the_one_that_is_reached() -> None:
    world = World({PeerId("a"): honest})
    world.start()
    later = target_at(BUILDER, HEIGHT + 3)
    world.perform(world.syncer.update_target(later, world.now))
    world.run()
    assert world.reached == [later]
    world.check()


def only_newest(first: Hash32) -> Answer:
    """Answer as one that has pruned everything below the target."""
    return honest(first) if first == BUILDER.block_at(HEIGHT).hash else pruned(first)


def test_a_later_target_needs_no_blocks_that_everybody_has_pruned() -> None:
    world = World({PeerId("a"): only_newest, PeerId("b"): only_newest})
    world.start()
    world.run()
    assert world.too_old == [target_at(BUILDER, HEIGHT)]
    push_rest(world.chain, BUILDER.blocks[HEIGHT:])
    later = target_at(BUILDER, HEIGHT + POLICY.batch_length)
    asked = len(world.asked)
    world.perform(world.syncer.update_target(later, world.now))
    assert world.reached == [later]
    assert len(world.asked) == asked
    assert world.syncer.next_deadline() is None


@pytest.mark.parametrize("steps", range(4))
def test_a_first_target_that_falls_below_the_window_is_not_wanted_any_more(steps: int) -> None:
    """Our own chain prunes it: whatever peers answer would look wrong."""
    world = World({PeerId("a"): honest})
    world.start()
    if steps < 3:
        for _ in range(steps):
            world.step()
    else:
        world.peers[PeerId("a")] = silent
        world.step()
    push_rest(world.chain, BUILDER.blocks[HEIGHT:])
    later = target_at(BUILDER, HEIGHT + 2 * POLICY.batch_length)
    world.perform(world.syncer.update_target(later, world.now))
    world.chain.move_target(later.number)
    push_rest(world.chain, [*BUILDER.fork_from(BUILDER.head.hash).extend(POLICY.batch_length)])
    world.run()
    assert world.reached == [later]
    assert world.faults == []


def test_a_target_that_needs_less_drops_what_is_on_its_way() -> None:
    for seed in range(8):
        world = World({PeerId("a"): short}, seed)
        world.start()
        while world.chain.lowest_whole(HEIGHT) is None:
            world.step()
        for _ in range(seed):
            world.step()
        push_rest(world.chain, BUILDER.blocks[HEIGHT:])
        later = target_at(BUILDER, HEIGHT + POLICY.batch_length)
        world.perform(world.syncer.update_target(later, world.now))
        assert world.reached[-1] == later
        while world.step():
            pass
        assert world.syncer.held == 0


def test_what_is_stored_below_a_batch_is_not_fetched_again() -> None:
    world = World({PeerId("a"): honest})
    world.start()
    while not isinstance(store := world.waiting[0], StoreBatch):
        world.step()
    lowest = BUILDER.block_at(HEIGHT - POLICY.batch_length).without_body()
    world.perform(world.syncer.handle(BatchStored(store.id, None, lowest), world.now))
    assert world.reached == [target_at(BUILDER, HEIGHT)]
    assert len(world.asked) == 1


def test_a_window_that_nobody_has_is_told_once() -> None:
    world = World({PeerId("a"): pruned, PeerId("b"): pruned})
    world.start()
    world.run()
    assert world.too_old == [target_at(BUILDER, HEIGHT)]
    assert not world.faults
