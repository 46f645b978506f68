"""When consensus is established and lost, and when heads are polled."""

import pytest

from node.net.network import Verdict
from node.sync.effects import ConsensusEstablished, ConsensusLost
from node.sync.inputs import DeadlinePassed
from node.sync.live.config import QueueConfig
from node.sync.peers import PeerList
from node.sync.tickets import Asker
from protocols.messages.block import BlockRequest
from protocols.status import ResponseStatus
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, branch, head_of, short_batches

THREE = (ALICE, BOB, CAROL)


SMALL = QueueConfig(include_body=True, window_ahead_max=8, tolerate_past_max=4)


def polled(harness: SyncHarness) -> set[object]:
    return {sent.peer for sent in harness.open_requests(Asker.POLL_HEAD)}


def test_poll_starts_with_the_last_peer_that_is_needed() -> None:
    harness = SyncHarness(branch(20), min_peers=3, known=10)
    harness.join_live(ALICE, BOB)
    harness.pass_time(30)
    assert polled(harness) == set()

    harness.join_live(CAROL)

    assert polled(harness) == set(THREE)


def established(harness: SyncHarness) -> bool:
    return harness.machine.is_established


def poll(harness: SyncHarness, *, known: int, unknown: int) -> None:
    """Answer an open poll: so many peers have our head, so many have the next block."""
    newer = branch(20).fork_from(branch(20).block_at(11).hash).chain
    for index, sent in enumerate(harness.open_requests(Asker.POLL_HEAD)):
        chain = harness.chain if index < known else newer
        if index < known + unknown:
            harness.serve(sent, chain)
        else:
            harness.fail(sent.id)


@pytest.mark.parametrize(
    ("known", "unknown", "agrees"),
    [(3, 0, True), (2, 1, True), (1, 1, False), (1, 2, False), (0, 0, False), (1, 0, True)],
)
def test_poll_agrees_with_twice_as_many_known_heads(known: int, unknown: int, agrees: bool) -> None:
    harness = SyncHarness(branch(20), min_peers=3, known=10)
    harness.join_live(*THREE)
    assert polled(harness) == set(THREE)

    poll(harness, known=known, unknown=unknown)

    assert established(harness) is agrees
    assert (ConsensusEstablished() in harness.events) is agrees


def test_unknown_head_is_fetched_once_and_comes_through_the_block_channel() -> None:
    harness = SyncHarness(branch(20), min_peers=3, known=10)
    harness.join_live(*THREE)

    poll(harness, known=0, unknown=3)

    (sent,) = harness.open_requests(Asker.POLL_BLOCK)
    newest = harness.builder.block_at(11)
    assert sent.request == BlockRequest(hash=newest.hash, with_body=True)
    del harness.requests[sent.id]
    harness.learn(newest)
    harness.settle()
    assert harness.height == 11


def test_five_accepted_announcements_establish() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)

    for number in range(1, 6):
        assert not established(harness)
        harness.announce(harness.builder.block_at(number))
        harness.settle()

    assert established(harness)


def test_poll_after_five_seconds_without_an_accepted_announcement() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)
    harness.answer_head(ALICE, head_of(harness.chain))
    assert established(harness)

    harness.pass_time(4.0)
    harness.announce(harness.builder.block_at(1))
    harness.settle()
    harness.pass_time(4.9)
    assert polled(harness) == set()
    harness.pass_time(0.2)

    assert polled(harness) == {ALICE}


def test_poll_at_once_when_the_buffer_empties_without_consensus() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)
    harness.fail(harness.open_requests(Asker.POLL_HEAD)[0].id)
    assert not established(harness)
    assert polled(harness) == set()

    harness.announce(harness.builder.block_at(2))
    harness.announce(harness.builder.block_at(1))
    harness.settle()

    assert polled(harness) == {ALICE}


def test_silent_peers_end_a_poll_after_a_timeout() -> None:
    harness = SyncHarness(branch(20), min_peers=2)
    harness.join_live(ALICE, BOB)
    harness.answer_head(ALICE, head_of(harness.chain))
    assert polled(harness) == {BOB}
    assert not established(harness)

    harness.pass_time(10.1)

    assert established(harness)


def test_b24_lost_when_the_peers_leave_and_back_with_them() -> None:
    harness = SyncHarness(branch(20), min_peers=2)
    harness.join_live(ALICE, BOB)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_of(harness.chain))
    assert established(harness)

    harness.leave(ALICE)
    assert not established(harness)
    harness.leave(BOB)
    harness.join_live(BOB, ALICE)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_of(harness.chain))

    assert established(harness)
    assert harness.take_events() == [
        ConsensusEstablished(),
        ConsensusLost(),
        ConsensusEstablished(),
    ]


def test_first_node_of_a_network_is_in_consensus_with_itself() -> None:
    harness = SyncHarness(branch(20), min_peers=0)
    harness.feed(DeadlinePassed())

    assert established(harness)
    assert harness.machine.next_deadline() is None


@pytest.mark.parametrize("status", [ResponseStatus.BUSY, None])
def test_whoever_only_says_to_be_ahead_does_not_hold_consensus_up(
    status: ResponseStatus | None,
) -> None:
    """A stranger that claims a far head and sends nothing, busy or silent, proves nothing."""
    harness = SyncHarness(short_batches(44), config=SMALL, min_peers=1)
    harness.join(BOB)
    harness.answer_head(BOB, head_of(harness.builder.chain))
    if status is not None:
        for sent in harness.open_requests(Asker.HISTORY):
            harness.refuse(sent, status)

    harness.join_live(ALICE)
    harness.answer_head(ALICE, head_of(harness.chain))

    assert harness.list_of(BOB) is PeerList.MACRO
    assert established(harness)


def test_no_consensus_while_catching_up() -> None:
    """Blocks from far ahead say that the state is not complete, whatever the other peers say."""
    harness = SyncHarness(short_batches(44), config=SMALL, min_peers=1)
    harness.join(BOB)
    harness.answer_head(BOB, head_of(harness.builder.chain))
    assert harness.list_of(BOB) is PeerList.MACRO
    while not harness.height:
        while not harness.adoptions:
            harness.serve(harness.open_requests(Asker.HISTORY)[0], harness.builder.chain)
        harness.work()

    harness.join_live(ALICE)
    harness.answer_head(ALICE, head_of(harness.chain))
    assert not established(harness)
    harness.leave(BOB)
    harness.settle()
    harness.pass_time(6)
    harness.answer_head(ALICE, head_of(harness.chain))

    assert established(harness)


def test_polled_head_far_away_moves_the_peer() -> None:
    """A silent peer is placed by its answers, as others are by what they announce."""
    harness = SyncHarness(short_batches(44), config=SMALL, known=20, min_peers=2)
    harness.join_live(ALICE, BOB)
    old = short_batches(44).fork_from(short_batches(44).block_at(2).hash)

    harness.answer_head(ALICE, head_of(old.chain))
    harness.answer_head(BOB, head_of(short_batches(44).chain))

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.list_of(BOB) is PeerList.MACRO


def test_further_peers_start_no_further_poll() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)
    harness.answer_head(ALICE, head_of(harness.chain))

    harness.join_live(BOB)
    assert polled(harness) == set()
    harness.pass_time(5.1)

    assert polled(harness) == {ALICE, BOB}


def test_news_from_before_the_loss_do_not_count() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)
    harness.fail(harness.open_requests(Asker.POLL_HEAD)[0].id)
    for number in range(1, 5):
        harness.announce(harness.builder.block_at(number))
        harness.settle()

    harness.leave(ALICE)
    harness.join_live(ALICE)
    harness.announce(harness.builder.block_at(5))
    harness.settle()

    assert not established(harness)


def test_no_extra_poll_when_the_buffer_empties_in_consensus() -> None:
    harness = SyncHarness(branch(20), min_peers=1)
    harness.join_live(ALICE)
    harness.answer_head(ALICE, head_of(harness.chain))
    assert established(harness)

    harness.announce(harness.builder.block_at(2))
    harness.announce(harness.builder.block_at(1))
    harness.settle()

    assert harness.height == 2
    assert polled(harness) == set()


def test_head_of_a_new_live_peer_is_fetched_even_without_enough_peers() -> None:
    harness = SyncHarness(branch(20), min_peers=3, known=10)
    harness.join(ALICE)

    harness.answer_head(ALICE, head_of(harness.builder.chain))

    (sent,) = harness.open_requests(Asker.POLL_BLOCK)
    assert sent.request == BlockRequest(hash=harness.builder.head.hash, with_body=True)
    # Nobody else is asked for it meanwhile, and a silent peer is not waited for.
    harness.join(BOB)
    harness.answer_head(BOB, head_of(harness.builder.chain))
    assert harness.open_requests(Asker.POLL_BLOCK) == [sent]
    harness.pass_time(10.1)
    assert harness.open_requests(Asker.POLL_BLOCK) == []


def test_announcements_of_strangers_do_not_count_as_live_peers() -> None:
    harness = SyncHarness(branch(20), min_peers=1)

    messages = harness.announce(harness.builder.block_at(1), DAVE)
    harness.settle()

    assert harness.verdicts_of(messages) == {Verdict.ACCEPT}
    assert not established(harness)
