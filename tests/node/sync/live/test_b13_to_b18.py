"""Behaviours 13 to 18 of block live sync, on the pure machines with a real chain.

Each test is named after the number that its behaviour has in the design.
"""

from dataclasses import replace

import pytest

from node.blocks.block import Block
from node.blocks.body import Body
from node.blocks.justification import ProducerSignature
from node.errors import Fault
from node.sync.live.events import (
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.tickets import Asker
from protocols.status import ResponseStatus
from tests.build.blocks import transaction
from tests.build.live import (
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
    CAROL,
    SyncHarness,
    branch,
    short_batches,
)


def test_b13_five_blocks_per_peer_and_height() -> None:
    harness = live()
    forks = [harness.builder.fork_from(harness.builder.genesis.hash) for _ in range(6)]
    blocks = [fork.extend(2)[1] for fork in forks]

    messages = [harness.announce(each) for each in blocks]
    assert harness.machine.status.live.buffered == 5
    assert harness.verdicts_of(messages[5]) == IGNORE
    other = harness.announce(blocks[5], BOB)

    assert harness.machine.status.live.buffered == 6
    assert harness.verdicts_of(other) == {None}


def test_b13_requested_blocks_are_not_counted() -> None:
    harness = live()
    forks = [harness.builder.fork_from(harness.builder.genesis.hash) for _ in range(7)]
    blocks = [fork.extend(2)[1] for fork in forks]

    for each in blocks[:5]:
        harness.announce(each)
    for each in blocks[5:]:
        harness.learn(each)

    assert harness.machine.status.live.buffered == 7


def test_b14_one_request_for_all_descendants() -> None:
    harness = live()
    fork = harness.builder.fork_from(block(harness, 1).hash)
    cousins = [fork.fork_from(block(harness, 1).hash).micro() for _ in range(2)]

    for each in (block(harness, 2), *cousins):
        harness.announce(each)

    assert missing_of(harness).target == block(harness, 1).hash


def test_b14_a_buffered_child_asks_for_nothing_new() -> None:
    harness = live()
    harness.announce(block(harness, 3))
    harness.announce(block(harness, 4))
    assert missing_of(harness).target == block(harness, 2).hash

    harness.announce(block(harness, 5))

    assert missing_of(harness).target == block(harness, 2).hash
    assert harness.machine.status.live.buffered == 3


def test_b14_a_parent_that_is_being_pushed_is_not_asked_for() -> None:
    harness = live()

    harness.announce(block(harness, 1))
    harness.announce(block(harness, 2))

    assert harness.open_requests(Asker.MISSING) == []
    harness.settle()
    assert harness.height == 2


def test_b15_macro_block_prunes_the_buffer() -> None:
    """Buffered blocks up to the macro block are ignored, and nobody looks for their parents."""
    harness = SyncHarness(short_batches(8))
    harness.join_live(ALICE)
    answer_polls(harness)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    closed = fork.extend(6)

    # The last two are above the macro block, but stand on one of its height.
    messages = [
        each for number in (2, 4, 5, 6) for each in harness.announce(closed[number - 1], BOB)
    ]
    assert len(harness.open_requests(Asker.MISSING)) == 2
    harness.push_elsewhere(harness.builder.blocks[:3])
    harness.announce(block(harness, 4))
    harness.settle()

    assert harness.chain.macro_head.number == 4
    assert harness.verdicts_of(messages) == IGNORE
    assert harness.machine.status.live.buffered == 0
    assert harness.machine.status.live.requests == 0
    assert harness.open_requests(Asker.MISSING) == []


def test_b16_exhausted_tries_remove_all_descendants() -> None:
    harness = live()
    harness.join_live(BOB)
    messages = [each for n in (3, 4, 5) for each in harness.announce(block(harness, n))]

    asked = []
    while harness.open_requests(Asker.MISSING):
        asked.append(harness.missing_request().peer)
        harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
        harness.pass_time(1.0)
    assert asked == [ALICE, BOB, ALICE, BOB]
    assert harness.verdicts_of(messages) == IGNORE
    assert harness.machine.status.live.buffered == 0
    assert harness.reports == [(ALICE, Fault.MISSING_PARENT)]

    harness.announce(block(harness, 3))
    assert missing_of(harness).target == block(harness, 2).hash


@pytest.mark.parametrize(("peers", "tries"), [(1, 4), (4, 4), (7, 7), (12, 12), (14, 12)])
def test_b16_tries_follow_the_number_of_peers(peers: int, tries: int) -> None:
    harness = SyncHarness(branch(20))
    names = [type(ALICE)(f"peer {index}") for index in range(peers)]
    harness.join_live(*names)
    harness.announce(block(harness, 2), names[0])

    asked = []
    while harness.open_requests(Asker.MISSING):
        asked.append(harness.missing_request().peer)
        harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
        harness.pass_time(1.0)

    assert len(asked) == tries
    assert asked[0] == names[0]
    assert len(set(asked)) == min(peers, tries)


def test_b17_512_invalid_blocks_are_512_rejections() -> None:
    harness = live()
    good = harness.builder.block_at(1)
    signature = ProducerSignature(bytes(64))

    for index in range(512):
        header = replace(good.header, extra_data=index.to_bytes(2, "big"))
        harness.learn(Block(header, signature, good.body))
        harness.settle()

    events = live_events(harness)
    assert len(events) == 512
    assert {type(event) for event in events} == {RejectedBlock}
    assert len({event.hash for event in events if isinstance(event, RejectedBlock)}) == 512


def test_b18_no_peers_and_a_request_ends_at_once() -> None:
    harness = SyncHarness(branch(20))

    messages = harness.announce(block(harness, 2), BOB)

    assert harness.verdicts_of(messages) == IGNORE
    assert harness.requests == {}
    assert harness.reports == []
    assert harness.machine.next_deadline() is None


def test_b18_last_peer_leaves_while_it_is_asked() -> None:
    harness = live()
    messages = harness.announce(block(harness, 2))

    harness.leave(ALICE)

    assert harness.verdicts_of(messages) == IGNORE
    assert harness.requests == {}


def wrong_answers() -> dict[str, list[Block]]:
    """Answers to a request for blocks 1 and 2, none of which can be used."""
    good = branch(20).blocks
    other = branch(20).fork_from(good[0].hash).extend(3)
    return {
        "empty": [],
        "wrong chain": list(other[1:]),
        "bad last hash": [good[0], other[0]],
        "beyond the target": list(good[:3]),
        "a hole": [good[0], good[2]],
        "no bodies": [each.without_body() for each in good[:2]],
        "another body": [good[0], Block(good[1].header, good[1].justification, body_of(40))],
    }


def body_of(nonce: int) -> Body | None:
    fork = branch(20).fork_from(branch(20).genesis.hash)
    return fork.make_micro([transaction(nonce=nonce)]).body


@pytest.mark.parametrize("kind", wrong_answers())
def test_b18_wrong_answer_costs_the_peer_and_the_next_is_asked(kind: str) -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3))
    first = harness.missing_request()

    harness.answer(first, wrong_answers()[kind])
    assert harness.reports == [(first.peer, Fault.UNSOLICITED)]
    assert harness.pushed == []
    second = harness.missing_request()
    assert {first.peer, second.peer} == {ALICE, BOB}
    harness.answer(second, harness.builder.blocks[:2])
    harness.settle()

    assert harness.height == 3


def test_b18_answers_are_delivered_in_the_order_of_the_questions() -> None:
    harness = live()
    harness.join_live(BOB, CAROL)
    for number, peer in ((3, ALICE), (6, BOB), (9, CAROL)):
        harness.announce(block(harness, number), peer)
    first, second, third = harness.open_requests(Asker.MISSING)

    harness.answer(second, harness.builder.blocks[:5])
    harness.pass_time(0.9)
    assert not harness.pushes
    harness.answer(first, harness.builder.blocks[:2])
    harness.answer(third, harness.builder.blocks[:8])
    harness.settle()

    received = [event for event in harness.events if isinstance(event, ReceivedMissingBlocks)]
    hashes = [each.hash for each in harness.builder.blocks]
    # Blocks that the answers have in common are new only once.
    assert received == [
        ReceivedMissingBlocks((hashes[0], hashes[1])),
        ReceivedMissingBlocks((hashes[3], hashes[4])),
        ReceivedMissingBlocks((hashes[6], hashes[7])),
    ]
    assert harness.height == 9
