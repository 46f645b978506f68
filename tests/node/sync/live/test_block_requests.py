"""Bounds of the requests for missing blocks, and what counts as an answer to the end."""

from dataclasses import replace

import pytest

from node.blocks.block import Block
from node.blocks.justification import QuorumSignature
from node.chain.results import Orphan
from node.errors import Fault
from node.net.network import Verdict
from node.sync.inputs import PushFinished
from node.sync.live.config import QueueConfig
from node.sync.tickets import Asker
from protocols.status import ResponseStatus
from tests.build.live import CONFIG, answer_polls, block, gaps, live, missing_of
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, short_batches


def test_five_requests_are_in_flight() -> None:
    harness = live()
    for peer in (BOB, CAROL, DAVE):
        gaps(harness, 2, peer)

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
    harness = live(config=replace(CONFIG, delivery_grace_s=100.0))
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


def test_an_answer_waits_for_an_older_lookup_a_second_and_no_longer() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3), ALICE)
    harness.announce(block(harness, 6), BOB)
    first, second = harness.open_requests(Asker.MISSING)
    harness.pass_time(5.0)
    answer_polls(harness)
    harness.answer(second, harness.builder.blocks[:5])

    harness.pass_time(0.9)
    assert not harness.pushes
    harness.pass_time(0.2)
    assert [push.blocks for push in harness.pushes] == [tuple(harness.builder.blocks[:5])]
    harness.settle()

    # What the first was for has come with the second.
    assert harness.height == 6
    assert first.id not in harness.requests


def test_of_the_answers_that_are_held_back_the_oldest_is_used_first() -> None:
    harness = live()
    harness.join_live(BOB, CAROL)
    for number, peer in ((3, ALICE), (6, BOB), (9, CAROL)):
        harness.announce(block(harness, number), peer)
    _, second, third = harness.open_requests(Asker.MISSING)

    harness.answer(third, harness.builder.blocks[:8])
    harness.pass_time(0.5)
    harness.answer(second, harness.builder.blocks[:5])
    assert not harness.pushes
    harness.pass_time(0.6)

    assert [len(push.blocks) for push in harness.pushes] == [5]


def test_held_back_answer_is_no_deadline_while_a_push_is_pending() -> None:
    """Else the driver would wake up for it again and again."""
    harness = live()
    harness.join_live(BOB)
    gaps(harness, 1)
    harness.announce(block(harness, 3), ALICE)
    _, second = harness.open_requests(Asker.MISSING)
    harness.announce(block(harness, 1), BOB)
    assert harness.pushes
    harness.answer(second, harness.builder.blocks[:2])

    harness.pass_time(3.0)

    deadline = harness.machine.next_deadline()
    assert deadline is None or deadline > harness.now
    harness.settle()
    assert harness.height == 3


def test_pushing_an_orphan_costs_its_server_nothing() -> None:
    """It stood on what we had when we asked, and that has been deleted since."""
    harness = live()
    messages = harness.announce(block(harness, 3))
    harness.answer(harness.missing_request(), harness.builder.blocks[:2])
    push = harness.pushes.popleft()

    harness.feed(PushFinished(push.id, (Orphan(push.blocks[0].parent_hash),)))

    assert harness.reports == []
    assert harness.verdicts_of(messages) == {Verdict.IGNORE}
    harness.announce(block(harness, 3))
    assert missing_of(harness).target == block(harness, 2).hash


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
    # Final blocks have closed its branch, which happens to honest forks too.
    assert harness.reports == []


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
