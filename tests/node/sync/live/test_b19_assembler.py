"""Behaviour 19: headers and bodies are joined under the header's sender, or not at all."""

from dataclasses import replace

import pytest

from node.errors import Fault
from node.net.network import Verdict
from node.sync.live.config import QueueConfig
from node.sync.live.events import AcceptedAnnouncedBlock
from node.sync.tickets import Asker
from protocols.messages.block import BlockRequest
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.build.live import ACCEPT, IGNORE, block, live, live_events
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, branch


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
    assert harness.reports == [(ALICE, Fault.UNSOLICITED)]
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
    for number, peer in ((1, ALICE), (2, BOB), (3, CAROL)):
        harness.announce_header(block(harness, number), peer)

    harness.pass_time(1.5)
    assert [sent.peer for sent in harness.open_requests(Asker.BODY)] == [ALICE, BOB]
    assert_not_due(harness)
    harness.fail(harness.open_requests(Asker.BODY)[0].id)

    assert [sent.peer for sent in harness.open_requests(Asker.BODY)] == [BOB, CAROL]


def assert_not_due(harness: SyncHarness) -> None:
    """Check that the driver does not wake up for what must wait for an answer."""
    deadline = harness.machine.next_deadline()
    assert deadline is not None
    assert deadline > harness.now


def test_two_bodies_are_fetched_from_one_peer_and_others_from_others() -> None:
    """Bob sends headers and no bodies, and answers nothing."""
    harness = live()
    harness.join_live(BOB)
    messages = [harness.announce_header(block(harness, number), BOB) for number in range(1, 8)]

    harness.pass_time(1.5)
    asked = [sent.peer for sent in harness.open_requests(Asker.BODY)]
    assert asked == [BOB, BOB, ALICE, ALICE]
    assert_not_due(harness)
    header = harness.announce_header(block(harness, 8), CAROL)
    harness.pass_time(1.1)
    (sent,) = harness.open_requests(Asker.BODY, CAROL)
    for busy in harness.open_requests(Asker.BODY, ALICE):
        harness.refuse(busy, ResponseStatus.NOT_FOUND)

    # Alice is free for the next two, and bob as busy as before.
    assert len(harness.open_requests(Asker.BODY, ALICE)) == 2
    assert len(harness.open_requests(Asker.BODY, BOB)) == 2
    harness.answer(sent, [block(harness, 8)])
    assert harness.verdicts_of([*messages, header]) == {None}
    assert harness.machine.status.live.assembling == len(messages)


@pytest.mark.parametrize("is_wrong", [False, True])
def test_body_that_one_peer_lacks_is_fetched_from_the_next(is_wrong: bool) -> None:
    harness = live()
    harness.join_live(BOB, CAROL)
    first = block(harness, 1)
    harness.announce_header(first, BOB)
    harness.pass_time(1.1)
    (sent,) = harness.open_requests(Asker.BODY)
    assert sent.peer == BOB

    if is_wrong:
        harness.answer(sent, [first.without_body()])
    else:
        harness.fail(sent.id)
    (second,) = harness.open_requests(Asker.BODY)
    assert second.peer in {ALICE, CAROL}
    harness.answer(second, [first])
    harness.settle()

    assert harness.height == 1
    assert harness.reports == ([(BOB, Fault.UNSOLICITED)] if is_wrong else [])


def test_silent_peer_keeps_its_chance_while_another_is_asked() -> None:
    """A large body may be on its way. Whoever comes first ends the others."""
    harness = live()
    harness.join_live(BOB)
    first = block(harness, 1)
    harness.announce_header(first, BOB)
    harness.pass_time(3.9)
    assert [sent.peer for sent in harness.open_requests(Asker.BODY)] == [BOB]

    harness.pass_time(0.2)
    slow, other = harness.open_requests(Asker.BODY)
    assert (slow.peer, other.peer) == (BOB, ALICE)
    harness.answer(slow, [first])
    harness.settle()

    assert harness.height == 1
    assert harness.open_requests(Asker.BODY) == []
    assert harness.answer(other, [first]) == []


def test_all_fetches_of_a_body_are_cancelled_when_it_comes() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce_header(block(harness, 1), BOB)
    harness.pass_time(4.1)
    assert len(harness.open_requests(Asker.BODY)) == 2

    harness.announce_body(block(harness, 1))

    assert harness.open_requests(Asker.BODY) == []


def test_peers_that_are_asked_for_one_body_are_bounded() -> None:
    harness = live()
    names = [PeerId(f"peer {index}") for index in range(6)]
    harness.join_live(*names)
    header = harness.announce_header(block(harness, 1), names[0])
    harness.pass_time(1.1)

    asked = []
    while sent := harness.open_requests(Asker.BODY):
        asked.append(sent[0].peer)
        harness.refuse(sent[0], ResponseStatus.NOT_FOUND)

    assert asked[0] == names[0]
    assert len(set(asked)) == len(asked) == 3
    assert harness.verdicts_of([header]) == {None}
    harness.pass_time(9.0)
    assert harness.verdicts_of([header]) == IGNORE


def test_sender_that_is_not_live_is_asked_too() -> None:
    """It may be on its way into live sync, and it has the body."""
    harness = live()
    harness.announce_header(block(harness, 1), DAVE)

    harness.pass_time(1.1)
    (sent,) = harness.open_requests(Asker.BODY)
    assert sent.peer == DAVE
    harness.fail(sent.id)

    assert [sent.peer for sent in harness.open_requests(Asker.BODY)] == [ALICE]


def test_sender_that_is_always_silent_is_asked_last() -> None:
    harness = live()
    harness.join_live(BOB)
    for number in (1, 2):
        harness.announce_header(block(harness, number), BOB)
    harness.pass_time(1.1)
    assert [sent.peer for sent in harness.open_requests(Asker.BODY)] == [BOB, BOB]
    harness.pass_time(3.0)
    for sent in harness.open_requests(Asker.BODY, ALICE):
        harness.refuse(sent, ResponseStatus.NOT_FOUND)
    harness.pass_time(7.0)
    assert harness.open_requests(Asker.BODY) == []

    harness.announce_header(block(harness, 3), BOB)
    harness.pass_time(1.1)

    (sent,) = harness.open_requests(Asker.BODY)
    assert sent.peer == ALICE
