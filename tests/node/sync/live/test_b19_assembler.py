"""Behaviour 19: headers and bodies are joined under the header's sender, or not at all."""

from dataclasses import replace

import pytest

from node.net.network import Verdict
from node.sync.live.config import QueueConfig
from node.sync.live.events import AcceptedAnnouncedBlock
from node.sync.tickets import Asker
from protocols.messages.block import BlockRequest
from protocols.status import ResponseStatus
from tests.build.blocks import transaction
from tests.build.live import ACCEPT, IGNORE, block, live, live_events
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, branch


@pytest.mark.parametrize("body_first", [False, True])
def test_b19_joined_under_the_sender_of_the_header(body_first: bool) -> None:
    """Alice's header and bob's body make a block of alice's: she is asked for what is missing."""
    harness = live()
    harness.join_live(BOB)
    second = block(harness, 2)

    if body_first:
        messages = (harness.announce_body(second, BOB), harness.announce_header(second, ALICE))
    else:
        messages = (harness.announce_header(second, ALICE), harness.announce_body(second, BOB))

    assert harness.machine.status.live.assembling == 0
    assert harness.missing_request().peer == ALICE
    harness.announce(block(harness, 1))
    harness.settle()
    assert harness.height == 2
    assert harness.verdicts_of(messages) == ACCEPT


@pytest.mark.parametrize("body_first", [False, True])
@pytest.mark.parametrize(("apart_s", "joins"), [(9.9, True), (10.1, False)])
def test_b19_apart_for_too_long(body_first: bool, apart_s: float, joins: bool) -> None:
    harness = live()
    first = block(harness, 1)
    announce = [harness.announce_header, harness.announce_body]

    messages = [announce[body_first](first)]
    pass_time_without_answers(harness, apart_s)
    messages.append(announce[not body_first](first))
    harness.settle()
    if not joins:
        assert harness.height == 0
        assert harness.verdicts_of(messages[:1]) == IGNORE
        pass_time_without_answers(harness, 10.1)
        assert harness.verdicts_of(messages) == IGNORE

    assert harness.height == int(joins)
    assert harness.machine.status.live.assembling == 0
    assert harness.machine.status.live.assembling_bytes == 0


def pass_time_without_answers(harness: SyncHarness, seconds: float) -> None:
    for _ in range(10):
        harness.pass_time(seconds / 10)
        for sent in harness.open_requests(Asker.BODY):
            harness.refuse(sent, ResponseStatus.NOT_FOUND)


def test_b19_body_of_another_block_is_rejected_in_either_order() -> None:
    harness = live()
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    other = fork.make_micro([transaction(nonce=5)])
    first, second = block(harness, 1), block(harness, 2)

    early = harness.announce_body(replace(first, body=other.body), BOB)
    header = harness.announce_header(first)
    assert harness.verdicts[early] is Verdict.REJECT
    late = harness.announce_body(replace(first, body=other.body), CAROL)
    assert harness.verdicts[late] is Verdict.REJECT
    body = harness.announce_body(first)
    harness.settle()

    # Nobody can spoil the header of another with a body of his own.
    assert harness.height == 1
    assert harness.verdicts_of([header, body]) == ACCEPT
    stored = harness.announce_body(replace(first, body=other.body), BOB)
    assert harness.verdicts[stored] is Verdict.REJECT
    harness.announce(replace(second))
    harness.settle()
    assert harness.height == 2


def test_macro_block_is_joined_with_its_rewards() -> None:
    harness = SyncHarness(branch(33), known=31)
    harness.join_live(ALICE)

    messages = harness.announce(harness.builder.block_at(32))
    harness.settle()

    assert harness.chain.macro_head.number == 32
    assert harness.verdicts_of(messages) == ACCEPT


def test_body_that_does_not_come_is_fetched_from_the_sender_of_the_header() -> None:
    """Bodies too large for gossip are never announced."""
    harness = live()
    first = block(harness, 1)
    header = harness.announce_header(first)

    harness.pass_time(0.9)
    assert harness.open_requests(Asker.BODY) == []
    harness.pass_time(0.2)
    (sent,) = harness.open_requests(Asker.BODY)
    assert (sent.peer, sent.request) == (ALICE, BlockRequest(hash=first.hash, with_body=True))
    harness.answer(sent, [first])
    harness.settle()

    assert harness.height == 1
    assert harness.verdicts_of([header]) == ACCEPT
    assert AcceptedAnnouncedBlock(first.hash) in live_events(harness)


def test_fetch_is_cancelled_when_the_body_comes() -> None:
    harness = live()
    first = block(harness, 1)
    harness.announce_header(first)
    harness.pass_time(1.5)
    (sent,) = harness.open_requests(Asker.BODY)

    harness.announce_body(first)

    assert harness.open_requests(Asker.BODY) == []
    assert harness.answer(sent, [first]) == []


def test_fetched_block_with_another_body_leaves_the_header_waiting() -> None:
    harness = live()
    header = harness.announce_header(block(harness, 1))
    harness.pass_time(1.5)
    (sent,) = harness.open_requests(Asker.BODY)

    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.answer(sent, [fork.make_micro([transaction(nonce=6)])])
    assert harness.verdicts_of([header]) == {None}
    harness.pass_time(10)

    assert harness.verdicts_of([header]) == IGNORE


def test_the_oldest_of_the_peer_with_the_most_goes_first() -> None:
    harness = live(config=QueueConfig(include_body=True, assembly_max=3))

    bobs = [harness.announce_header(block(harness, number), BOB) for number in (1, 2)]
    alices = [harness.announce_header(block(harness, number), ALICE) for number in (3, 4)]

    assert harness.verdicts_of(bobs[:1]) == IGNORE
    assert harness.verdicts_of([*bobs[1:], *alices]) == {None}


def test_fetches_in_flight_are_bounded() -> None:
    harness = live(config=QueueConfig(include_body=True, body_fetches_in_flight=2))
    for number in (1, 2, 3):
        harness.announce_header(block(harness, number))

    harness.pass_time(1.5)
    assert len(harness.open_requests(Asker.BODY)) == 2
    harness.fail(harness.open_requests(Asker.BODY)[0].id)

    assert len(harness.open_requests(Asker.BODY)) == 2
