"""Behaviours 1 to 12 of block live sync, on the pure machines with a real chain.

Each test is named after the number that its behaviour has in the design.
"""

from random import Random

import pytest

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.chain.results import BlockError
from node.errors import Fault
from node.net.network import Verdict
from node.sync.live.config import QueueConfig
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    Ahead,
    Behind,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.peers import PeerList
from node.sync.tickets import Asker
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import Direction
from tests.build.live import (
    ACCEPT,
    IGNORE,
    answer_polls,
    block,
    live,
    live_events,
    missing_of,
)
from tests.build.sync import (
    ALICE,
    BOB,
    SyncHarness,
    branch,
    short_batches,
)


def test_b01_child_of_the_head_is_accepted() -> None:
    harness = live()

    messages = harness.announce(block(harness, 1))
    harness.settle()

    assert harness.height == 1
    assert harness.machine.status.live.buffered == 0
    assert live_events(harness) == [AcceptedAnnouncedBlock(block(harness, 1).hash)]
    assert harness.verdicts_of(messages) == ACCEPT


def test_b02_two_before_one() -> None:
    harness = live()

    second = harness.announce(block(harness, 2))
    assert harness.machine.status.live.buffered == 1
    assert missing_of(harness) == MissingBlocksRequest(
        target=block(harness, 1).hash,
        with_body=True,
        locators=(harness.chain.genesis,),
        direction=Direction.FORWARD,
    )
    assert harness.verdicts_of(second) == {None}
    first = harness.announce(block(harness, 1))
    harness.settle()

    assert harness.pushed == [block(harness, 1).hash, block(harness, 2).hash]
    assert live_events(harness) == [
        AcceptedAnnouncedBlock(block(harness, 1).hash),
        AcceptedBufferedBlock(block(harness, 2).hash, 0),
    ]
    assert harness.verdicts_of(first + second) == ACCEPT
    # What was missing has come by itself, so nobody is asked for it any more.
    assert harness.open_requests(Asker.MISSING) == []


@pytest.mark.parametrize("last", range(2, 15))
@pytest.mark.parametrize("batch_length", [4, 32])
def test_b03_shuffled_blocks_apply_in_order(last: int, batch_length: int) -> None:
    builder = branch(20) if batch_length == 32 else short_batches(20)
    harness = SyncHarness(builder)
    harness.join_live(ALICE)
    numbers = list(range(2, last + 1))
    Random(last).shuffle(numbers)

    messages = [each for number in numbers for each in harness.announce(builder.block_at(number))]
    assert harness.pushed == []
    assert harness.height == 0
    assert harness.machine.status.live.buffered == last - 1
    messages += harness.announce(builder.block_at(1))
    harness.settle()

    assert harness.pushed == [each.hash for each in builder.blocks[:last]]
    assert harness.height == last
    assert harness.verdicts_of(messages) == ACCEPT
    sizes = [
        event.buffer_size for event in harness.events if isinstance(event, AcceptedBufferedBlock)
    ]
    assert sizes == list(range(last - 2, -1, -1))


def test_b04_buffered_block_with_a_time_before_its_parent() -> None:
    fork = branch(20).fork_from(branch(20).genesis.hash)
    first = fork.micro(timestamp=fork.head.timestamp + 5000)
    late = fork.make_micro()
    early = fork.changed(late, timestamp=first.header.timestamp - 1)
    harness = live()

    second_messages = harness.announce(early)
    first_messages = harness.announce(first)
    harness.settle()

    assert harness.height == 1
    assert live_events(harness) == [
        AcceptedAnnouncedBlock(first.hash),
        RejectedBlock(early.hash, BlockError.WRONG_TIMESTAMP),
    ]
    assert harness.machine.status.live.buffered == 0
    assert harness.verdicts_of(first_messages) == ACCEPT
    assert [harness.verdicts[each] for each in second_messages] == [Verdict.REJECT, Verdict.IGNORE]


def test_b05_missing_block_is_received() -> None:
    harness = live()

    messages = harness.announce(block(harness, 2))
    harness.answer(harness.missing_request(), [block(harness, 1)])
    harness.settle()

    assert live_events(harness) == [
        ReceivedMissingBlocks((block(harness, 1).hash,)),
        AcceptedBufferedBlock(block(harness, 2).hash, 0),
    ]
    assert harness.verdicts_of(messages) == ACCEPT


def test_b06_target_past_the_next_macro_block() -> None:
    """The answer ends at the macro block; what is above it is asked for by itself, at once."""
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.take_events()
    blocks = harness.builder.blocks

    harness.announce(blocks[6])
    harness.answer(harness.missing_request(), blocks[:4])
    # The quorum of a macro block that is not the target is verified before anything is used.
    assert not harness.pushes
    harness.work()
    # The follow-up travels while the first batch is pushed.
    assert missing_of(harness) == MissingBlocksRequest(
        target=blocks[5].hash,
        with_body=True,
        locators=(blocks[3].hash, harness.chain.genesis),
        direction=Direction.FORWARD,
    )
    harness.settle()
    assert harness.height == 4
    harness.answer(harness.missing_request(), blocks[4:6])
    harness.settle()

    assert live_events(harness) == [
        ReceivedMissingBlocks(tuple(each.hash for each in blocks[:4])),
        ReceivedMissingBlocks(tuple(each.hash for each in blocks[4:6])),
        AcceptedBufferedBlock(blocks[6].hash, 0),
    ]


def test_b06_follow_up_is_dropped_when_its_target_no_longer_matters() -> None:
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE)
    answer_polls(harness)
    blocks = harness.builder.blocks

    harness.announce(blocks[6])
    sent = harness.missing_request()
    for each in blocks[:7]:
        harness.announce(each, BOB)
    harness.settle()
    harness.answer(sent, blocks[:4])

    assert harness.height == 7
    assert harness.open_requests(Asker.MISSING) == []
    assert not harness.checks


def test_b07_the_window_ahead() -> None:
    config = QueueConfig(include_body=True, window_ahead_max=10)
    harness = live(config=config)

    inside = harness.announce(block(harness, 10))
    assert harness.machine.status.live.buffered == 1
    assert harness.list_of(ALICE) is PeerList.LIVE
    outside = harness.announce(block(harness, 11))

    assert harness.machine.status.live.buffered == 1
    assert harness.verdicts_of(inside) == {None}
    assert harness.verdicts_of(outside) == IGNORE
    assert Ahead(ALICE) in harness.events
    assert harness.list_of(ALICE) is PeerList.MACRO
    assert [sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)] == [ALICE]


def test_b07_a_known_parent_outranks_too_far_ahead() -> None:
    """Its parent is stored, on a fork, and so it is pushed however high it is."""
    config = QueueConfig(include_body=True, window_ahead_max=1)
    harness = SyncHarness(branch(20), config=config)
    harness.join_live(ALICE)
    for each in harness.builder.blocks[:5]:
        harness.announce(each)
        harness.settle()
    fork = harness.builder.fork_from(harness.chain.genesis)
    skip = fork.skip()

    harness.announce(skip)
    harness.settle()
    assert harness.height == 1
    messages = harness.announce(block(harness, 6))
    harness.settle()

    # Its parent is stored, on what is a fork now: compared and not ignored as too far ahead.
    assert harness.pushed[-1] == block(harness, 6).hash
    assert harness.verdicts_of(messages) == IGNORE
    assert harness.list_of(ALICE) is PeerList.LIVE


def test_b08_too_old_says_behind_once() -> None:
    config = QueueConfig(include_body=True, tolerate_past_max=5)
    harness = live(known=10, config=config)

    first = harness.announce(old_fork(harness, 3))
    second = harness.announce(old_fork(harness, 4))

    assert harness.verdicts_of(first + second) == IGNORE
    assert live_events(harness) == [Behind(ALICE)]
    assert harness.list_of(ALICE) is PeerList.OUTDATED
    # It stays connected, and is left out of requests: with nobody else, a gap cannot be asked for.
    messages = harness.announce(block(harness, 13), BOB)
    assert harness.open_requests(Asker.MISSING) == []
    assert harness.verdicts_of(messages) == IGNORE


def old_fork(harness: SyncHarness, number: int) -> Block:
    """Return a block of another branch at a height."""
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    return fork.extend(number)[-1]


def test_b08_the_oldest_tolerated_block_is_a_fork() -> None:
    config = QueueConfig(include_body=True, tolerate_past_max=5)
    harness = live(known=10, config=config)
    fork = harness.builder.fork_from(block(harness, 4).hash)

    messages = harness.announce(fork.micro())
    harness.settle()

    assert harness.pushed == [fork.head.hash]
    assert harness.verdicts_of(messages) == IGNORE
    assert live_events(harness) == []
    assert harness.list_of(ALICE) is PeerList.LIVE


@pytest.mark.parametrize("number", [3, 17])
def test_b09_no_peer_event_for_a_source_that_is_not_live(number: int) -> None:
    config = QueueConfig(include_body=True, tolerate_past_max=5, window_ahead_max=5)
    harness = live(known=10, config=config)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    far = fork.extend(number)[-1]

    messages = harness.announce(far, BOB)

    assert harness.verdicts_of(messages) == IGNORE
    assert live_events(harness) == []
    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.list_of(BOB) is None


def test_b10_bodiless_block_where_bodies_are_expected() -> None:
    """It can only come by the block channel: gossip brings the parts one by one."""
    harness = live()

    harness.learn(block(harness, 1).without_body())

    assert not harness.pushes
    assert live_events(harness) == [RejectedBlock(block(harness, 1).hash)]
    assert harness.reports == [(ALICE, Fault.INVALID_BLOCK)]


def test_b10_body_where_none_is_expected() -> None:
    harness = SyncHarness(branch(20), config=QueueConfig(include_body=False))
    harness.join_live(ALICE)

    message = harness.announce_body(block(harness, 1))
    harness.learn(block(harness, 1))

    assert not harness.pushes
    assert harness.verdicts_of([message]) == IGNORE
    assert RejectedBlock(block(harness, 1).hash) in harness.events
    assert harness.reports == [(ALICE, Fault.INVALID_BLOCK)]


def test_b10_headers_alone_are_followed_by_light_nodes() -> None:
    harness = SyncHarness(branch(20), config=QueueConfig(include_body=False))
    harness.join_live(ALICE)

    third = harness.announce(block(harness, 3))
    first = harness.announce(block(harness, 1))
    headers = [block(harness, number).without_body() for number in (1, 2)]
    harness.answer(harness.missing_request(), headers)
    harness.settle()

    assert harness.height == 3
    assert harness.verdicts_of(first + third) == ACCEPT


def test_b11_announced_again() -> None:
    harness = live(known=5)
    fork = harness.builder.fork_from(block(harness, 3).hash)
    forked = fork.micro()
    harness.push_elsewhere([forked])

    on_main_chain = harness.announce(block(harness, 4))
    on_fork = harness.announce(forked)

    assert not harness.pushes
    assert harness.verdicts_of(on_main_chain) == ACCEPT
    assert harness.verdicts_of(on_fork) == IGNORE


def test_b11_forged_copy_of_a_stored_block_is_not_relayed() -> None:
    """Whoever does not have the block would blame us for the forgery."""
    harness = live(known=5)
    good = block(harness, 4)

    forged = harness.announce(Block(good.header, ProducerSignature(bytes(64)), good.body))

    assert [harness.verdicts[each] for each in forged] == [Verdict.IGNORE, Verdict.ACCEPT]


def test_b12_announced_again_while_it_is_pushed() -> None:
    harness = live()

    first = harness.announce(block(harness, 1))
    second = harness.announce(block(harness, 1), BOB)
    harness.settle()

    assert harness.pushed == [block(harness, 1).hash]
    assert harness.verdicts_of(first + second) == ACCEPT
    assert len(harness.verdicts) == 4
