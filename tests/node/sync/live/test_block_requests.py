"""Bounds of the requests for missing blocks, and what counts as an answer to the end."""

import pytest

from node.blocks.block import Block
from node.blocks.justification import QuorumSignature
from node.errors import Fault
from node.sync.live.config import QueueConfig
from node.sync.tickets import Asker
from protocols.status import ResponseStatus
from tests.build.live import CONFIG, answer_polls, block, live, missing_of
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, short_batches


def gaps(harness: SyncHarness, count: int) -> None:
    """Announce blocks of so many branches, each with a parent that is missing."""
    for _ in range(count):
        fork = harness.builder.fork_from(harness.builder.genesis.hash)
        harness.announce(fork.extend(2)[1], BOB)


def test_five_requests_are_in_flight() -> None:
    harness = live()
    gaps(harness, 5)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.announce(fork.extend(3)[2])

    assert len(harness.open_requests(Asker.MISSING)) == 5
    assert harness.machine.status.live.requests == 6
    # An answer that waits for its turn keeps its place: else any number could pile up.
    second = harness.open_requests(Asker.MISSING)[1]
    harness.refuse(second, ResponseStatus.BUSY)
    assert len(harness.open_requests(Asker.MISSING)) == 4
    harness.pass_time(0.6)
    assert len(harness.open_requests(Asker.MISSING)) == 5


def test_late_peer_is_given_up_and_the_next_asked() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3))
    first = harness.missing_request()

    harness.pass_time(9.9)
    assert harness.missing_request() == first
    harness.pass_time(0.2)
    second = harness.missing_request()
    assert {first.peer, second.peer} == {ALICE, BOB}
    # Its answer comes after all, and changes nothing.
    assert harness.answer(first, harness.builder.blocks[:2]) == []
    assert harness.reports == []
    harness.answer(second, harness.builder.blocks[:2])
    harness.settle()
    assert harness.height == 3


def test_peer_that_leaves_is_not_waited_for() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3), ALICE)

    harness.leave(ALICE)

    assert harness.missing_request().peer == BOB


def test_peer_that_is_asked_again_gets_a_moment() -> None:
    """It announced the block before it had stored its parents."""
    harness = live()
    harness.announce(block(harness, 3))

    harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
    assert harness.open_requests(Asker.MISSING) == []
    harness.pass_time(0.4)
    assert harness.open_requests(Asker.MISSING) == []
    harness.pass_time(0.2)

    assert harness.missing_request().peer == ALICE


def test_an_answer_behind_an_abandoned_one_is_used_at_once() -> None:
    harness = live()
    gaps(harness, 1)
    harness.announce(block(harness, 2))
    first, second = harness.open_requests(Asker.MISSING)
    harness.answer(second, harness.builder.blocks[:1])
    assert not harness.pushes

    while harness.open_requests(Asker.MISSING):
        harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
        harness.pass_time(0.5)

    assert first.id not in harness.requests
    harness.settle()
    assert harness.height == 2


def test_forged_quorum_costs_the_peer_before_anything_is_pushed() -> None:
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE, BOB)
    answer_polls(harness)
    blocks = harness.builder.blocks
    macro = blocks[3]
    assert isinstance(macro.justification, QuorumSignature)
    forged = Block(
        macro.header,
        QuorumSignature(0, bytes(96), macro.justification.signers),
        macro.body,
    )

    harness.announce(blocks[6], ALICE)
    harness.answer(harness.missing_request(), [*blocks[:3], forged])
    harness.settle()

    assert harness.pushed == []
    assert harness.reports == [(ALICE, Fault.INVALID_BLOCK)]
    assert harness.missing_request().peer == BOB
    assert missing_of(harness).locators == (harness.chain.genesis,)


def test_follow_up_across_an_election_is_checked_with_its_validators() -> None:
    """Epochs change at 12: the answer that ends there is followed by one of the next epoch."""
    harness = SyncHarness(short_batches(20), known=9)
    harness.join_live(ALICE)
    answer_polls(harness)

    harness.announce(harness.builder.block_at(19))
    server = harness.builder.chain
    while harness.open_requests(Asker.MISSING) or harness.checks:
        for sent in harness.open_requests(Asker.MISSING):
            harness.serve(sent, server)
        if harness.checks:
            harness.work()
        # The batch is not pushed before the follow-up has been answered and checked.
        if len(harness.pushed) == 0 and harness.pushes and not harness.open_requests(Asker.MISSING):
            break
    harness.settle()
    while harness.open_requests(Asker.MISSING):
        harness.serve(harness.missing_request(), server)
        harness.settle()

    assert harness.height == 19
    assert harness.reports == []


def test_follow_up_that_does_not_grow_is_refused() -> None:
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE, BOB)
    answer_polls(harness)
    blocks = harness.builder.blocks
    harness.announce(blocks[6])
    first = harness.missing_request()
    harness.answer(first, blocks[:4])
    harness.work()

    harness.answer(harness.missing_request(), blocks[:4])

    assert harness.reports == [(first.peer, Fault.UNSOLICITED)]


def test_follow_ups_end_at_the_window() -> None:
    """A peer that feeds a chain without end does not lead us on for ever."""
    harness = SyncHarness(
        short_batches(44), config=QueueConfig(include_body=True, window_ahead_max=8)
    )
    harness.join_live(ALICE)
    answer_polls(harness)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    # Its parent exists nowhere, but the peer always has another batch of the true chain.
    dangling = fork.extend(7)[6]
    messages = harness.announce(dangling)

    while harness.open_requests(Asker.MISSING):
        sent = harness.missing_request()
        height = harness.chain.head.number
        harness.answer(sent, harness.builder.blocks[height : height + 4])
        harness.settle()

    assert harness.height < 44
    assert None not in harness.verdicts_of(messages)
    assert harness.machine.status.live.requests == 0


@pytest.mark.parametrize("include_body", [True, False])
def test_requests_ask_for_bodies_where_bodies_are_kept(include_body: bool) -> None:
    harness = live(config=QueueConfig(include_body=include_body))

    harness.announce(block(harness, 3))

    assert missing_of(harness).with_body is include_body


def test_locators_go_from_the_head_to_the_macro_block() -> None:
    harness = SyncHarness(short_batches(20), known=11)
    harness.join_live(CAROL)

    harness.announce(harness.builder.block_at(14), CAROL)

    numbers = (11, 10, 9, 8)
    expected = tuple(harness.builder.block_at(number).hash for number in numbers)
    assert missing_of(harness).locators == expected
    assert harness.config == CONFIG
