"""The lists of peers: who is in which, when they are looked at again, who is sent away."""

import pytest

from node.net.network import PeerJoined
from node.sync.effects import DisconnectPeer, DisconnectReason
from node.sync.live.config import QueueConfig
from node.sync.peers import PeerList, PeerLists
from node.sync.tickets import Asker
from protocols.messages.head import HeadResponse
from protocols.status import ResponseStatus
from protocols.types import Hash32, Service
from tests.build.sync import ALICE, BOB, SyncHarness, head_of, make_hello, short_batches

SMALL = QueueConfig(include_body=True, window_ahead_max=8, tolerate_past_max=4)
LENGTH = 44


def head_at(number: int) -> HeadResponse:
    """Return the head of a node that has so many blocks."""
    main = short_batches(LENGTH)
    return head_of(main.fork_from(main.block_at(number).hash).chain)


def test_new_peer_is_asked_where_it_stands() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)

    harness.join(ALICE)

    assert harness.list_of(ALICE) is PeerList.MACRO
    assert [sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)] == [ALICE]


def test_lists_by_head() -> None:
    expected = {
        15: PeerList.OUTDATED,
        16: PeerList.LIVE,
        20: PeerList.LIVE,
        23: PeerList.LIVE,
        24: PeerList.MACRO,
    }
    for number, which in expected.items():
        harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)
        harness.join(ALICE)
        harness.answer_head(ALICE, head_at(number))
        assert harness.list_of(ALICE) is which, number


def test_joining_twice_changes_nothing() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)
    harness.join_live(ALICE)

    assert harness.feed(PeerJoined(ALICE, make_hello(harness.chain))) == []

    assert harness.list_of(ALICE) is PeerList.LIVE


def test_peer_without_a_needed_service_is_incompatible_and_never_asked() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL)

    harness.join(ALICE, services=Service.HEADERS)
    harness.pass_time(1000)

    assert harness.list_of(ALICE) is PeerList.INCOMPATIBLE
    assert harness.requests == {}
    # It may need us: it is not sent away.
    assert harness.disconnects == []


def test_light_nodes_need_headers_only() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=QueueConfig(include_body=False))

    harness.join(ALICE, services=Service.HEADERS)

    assert harness.list_of(ALICE) is PeerList.MACRO


def test_b24_outdated_peer_is_looked_at_again_after_a_minute() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)
    harness.join(ALICE)
    harness.answer_head(ALICE, head_at(2))

    harness.pass_time(59)
    assert harness.list_of(ALICE) is PeerList.OUTDATED
    harness.pass_time(1)
    assert harness.list_of(ALICE) is PeerList.MACRO
    harness.answer_head(ALICE, head_at(19))

    assert harness.list_of(ALICE) is PeerList.LIVE


def test_peer_that_never_says_where_it_stands_is_outdated() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL)
    harness.join(ALICE)

    harness.pass_time(33)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.requests == {}


def test_peer_that_stays_apart_is_disconnected_with_that_reason() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20, drift_timeout_s=200)
    harness.join(ALICE)

    for _ in range(5):
        harness.answer_head(ALICE, head_at(2))
        harness.pass_time(60)

    assert harness.disconnects == [DisconnectPeer(ALICE, DisconnectReason.DRIFTED)]
    harness.leave(ALICE)
    assert harness.list_of(ALICE) is None


def test_peer_that_comes_closer_is_not_disconnected() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=40, drift_timeout_s=100)
    harness.join(ALICE)

    for number in range(2, 32, 4):
        harness.answer_head(ALICE, head_at(number))
        harness.pass_time(60)

    assert harness.disconnects == []


def test_only_outdated_and_incompatible_peers_are_looked_at_again() -> None:
    lists = PeerLists(Service.HEADERS)
    for peer in (ALICE, BOB):
        lists.join(peer, Service.HEADERS, 0)
    lists.move(ALICE, PeerList.LIVE, 0)

    assert lists.recheck(100) == ()

    assert lists.lists == {ALICE: PeerList.LIVE, BOB: PeerList.MACRO}


def test_long_catch_up_is_no_drift() -> None:
    """Peers that lead us forward are of use however long it takes."""
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, drift_timeout_s=100)
    harness.join(ALICE, BOB)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_at(LENGTH))

    while harness.open_requests(Asker.HISTORY):
        harness.serve(harness.open_requests(Asker.HISTORY)[0], harness.builder.chain)
    harness.pass_time(60)
    harness.work()
    harness.pass_time(60)

    assert harness.disconnects == []


def test_live_peer_never_drifts() -> None:
    lists = PeerLists(Service.HEADERS, drift_timeout_s=100)
    lists.join(ALICE, Service.HEADERS, 0)
    lists.join(BOB, Service.HEADERS, 0)
    lists.move(ALICE, PeerList.LIVE, 1)

    assert lists.take_drifted(1000) == (BOB,)
    assert lists.take_drifted(1001) == ()
    # Out of the window, its time begins.
    lists.move(ALICE, PeerList.OUTDATED, 1001)
    assert lists.take_drifted(1100) == (BOB,)
    assert lists.take_drifted(1101) == (ALICE,)


def test_liar_about_the_height_of_a_known_block_is_placed_by_the_block() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)
    harness.join(ALICE)
    known = harness.builder.block_at(3).hash

    harness.answer_head(
        ALICE,
        HeadResponse(
            number=20,
            hash=known,
            macro_number=20,
            macro_hash=Hash32(bytes(32)),
            election_number=0,
            election_hash=Hash32(bytes(32)),
        ),
    )

    assert harness.list_of(ALICE) is PeerList.OUTDATED


@pytest.mark.parametrize("status", [ResponseStatus.PRUNED, ResponseStatus.NOT_FOUND])
def test_whoever_had_pruned_what_we_lacked_is_looked_at_again_when_we_have_it(
    status: ResponseStatus,
) -> None:
    """A minute without peers that are near would be a minute without consensus."""
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, min_peers=2)
    harness.join(ALICE)
    for _ in range(3):
        for sent in harness.open_requests(Asker.MACRO_CHAIN, ALICE):
            harness.serve(sent, harness.builder.chain)
        for sent in harness.open_requests(Asker.HISTORY, ALICE)[:1]:
            harness.refuse(sent, status)
        harness.pass_time(1.0)
    assert harness.list_of(ALICE) is PeerList.OUTDATED
    harness.join(BOB)

    harness.serve_all(harness.builder.chain)
    harness.pass_time(0)
    harness.serve_all(harness.builder.chain)

    assert harness.now < 5
    assert harness.height == LENGTH
    assert harness.list_of(ALICE) is harness.list_of(BOB) is PeerList.LIVE
    assert harness.machine.is_established


def test_a_batch_that_we_lacked_is_no_reason_to_look_again() -> None:
    """Or whoever has the newest macro block first could have all others asked for ever."""
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=20)
    harness.join(ALICE)
    harness.answer_head(ALICE, head_at(2))
    newer = short_batches(LENGTH).fork_from(short_batches(LENGTH).block_at(24).hash)
    harness.join(BOB)

    harness.serve_all(newer.chain, [BOB])
    harness.pass_time(0)

    assert harness.chain.macro_head.number == 24
    assert harness.list_of(ALICE) is PeerList.OUTDATED
