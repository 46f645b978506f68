"""The queue of macro blocks: bounded, shared among peers, each block once."""

from node.sync.effects import CancelRequest, SendRequest
from node.sync.macro.ordered_queue import (
    HELD_BYTES,
    IN_FLIGHT,
    PER_PEER_MIN,
    SLOW_S,
    Held,
    OrderedQueue,
)
from node.sync.macro.target import Target
from protocols.messages.block import BlockRequest
from protocols.types import Hash32, PeerId
from tests.build.sync import ALICE, BOB, CAROL, DAVE, short_batches

PEERS = (ALICE, BOB, CAROL, DAVE)
BLOCK = short_batches(4).block_at(4).without_body()


def target(number: int) -> Target:
    return Target(number, Hash32(number.to_bytes(32, "big")))


def hash_of(sent: SendRequest) -> Hash32:
    assert isinstance(sent.request, BlockRequest)
    return sent.request.hash


def queue_of(count: int, *peers: PeerId) -> OrderedQueue:
    queue = OrderedQueue(timeout_s=10.0)
    for number in range(count, 0, -1):
        for peer in peers:
            queue.add(target(number), peer)
    return queue


def test_requests_in_flight_are_bounded_and_shared() -> None:
    queue = queue_of(20, *PEERS)

    sent = queue.send(PEERS, 0.0)

    assert [hash_of(request) for request in sent] == [target(n).hash for n in range(1, 9)]
    assert len(sent) == queue.in_flight == IN_FLIGHT
    loads = [sum(request.peer == peer for request in sent) for peer in PEERS]
    assert loads == [PER_PEER_MIN] * 4
    assert queue.send(PEERS, 0.0) == []


def test_a_lone_peer_gets_them_all() -> None:
    assert len(queue_of(20, ALICE).send([ALICE], 0.0)) == IN_FLIGHT


def test_silent_peers_leave_places_for_the_others() -> None:
    queue = queue_of(20, *PEERS)
    queue.send(PEERS[:1], 0.0)
    queue.drop_peer(ALICE)

    sent = queue.send(PEERS[1:], 0.0)

    assert {request.peer for request in sent} == {BOB, CAROL, DAVE}


def test_whoever_lets_a_request_run_out_is_late_once() -> None:
    queue = queue_of(3, ALICE)
    queue.send([ALICE], 5.0)

    assert queue.next_deadline() == 5.0 + SLOW_S
    queue.send([ALICE], 5.0 + SLOW_S)
    assert queue.next_deadline() == 15.0
    assert queue.late(14.9) == []
    assert queue.late(15.0) == [ALICE]


def test_dropped_peer_takes_what_only_it_claims() -> None:
    queue = queue_of(3, ALICE)
    queue.add(target(2), BOB)
    sent = queue.send([ALICE], 0.0)

    cancelled = queue.drop_peer(ALICE)

    assert {each.id for each in cancelled} == {each.id for each in sent}
    assert queue.claimants(target(2)) == (BOB,)
    assert len(queue) == 1
    (again,) = queue.send([BOB], 0.0)
    assert hash_of(again) == target(2).hash


def test_full_queue_asks_for_the_lowest_height_only() -> None:
    queue = queue_of(20, ALICE)
    first, *_ = queue.send([ALICE], 0.0)
    queue.hold(target(3), Held(BLOCK, ALICE, HELD_BYTES))
    found = queue.close(first.id)
    assert found is not None
    queue.free(found[0])

    sent = queue.send([ALICE], 0.0)

    assert [hash_of(request) for request in sent] == [target(1).hash]
    assert queue.held_bytes == HELD_BYTES


def test_what_the_chain_has_passed_is_forgotten() -> None:
    queue = queue_of(5, ALICE)
    queue.send([ALICE], 0.0)

    cancelled = queue.drop_up_to(3)

    assert len(cancelled) == 3
    assert len(queue) == queue.in_flight == 2


def test_a_slow_block_is_asked_of_another_that_is_quick() -> None:
    queue = queue_of(1, ALICE, BOB)
    (first,) = queue.send([ALICE, BOB], 0.0)
    assert queue.next_deadline() == SLOW_S
    assert queue.send([ALICE, BOB], SLOW_S - 0.1) == []

    (second,) = queue.send([ALICE, BOB], SLOW_S)

    assert {first.peer, second.peer} == {ALICE, BOB}
    assert second.request == first.request
    assert queue.in_flight == 1, "the slow one has given its place away"
    assert queue.late(SLOW_S) == []
    assert queue.next_deadline() == 2 * SLOW_S


def test_slow_peers_are_not_asked_instead_of_each_other() -> None:
    queue = queue_of(2, ALICE, BOB)
    assert len(queue.send([ALICE, BOB], 0.0)) == 2
    assert queue.send([ALICE, BOB], SLOW_S) == []


def test_a_lone_slow_peer_keeps_its_share() -> None:
    queue = queue_of(20, ALICE)
    first, *_ = queue.send([ALICE], 0.0)
    queue.send([ALICE], SLOW_S)
    queue.close(first.id)

    assert len(queue.send([ALICE], SLOW_S)) == 1


def test_whoever_was_overtaken_comes_last_until_it_answers() -> None:
    queue = queue_of(20, ALICE, BOB)
    slow = queue.send([ALICE], 0.0)
    quick = queue.send([ALICE, BOB], SLOW_S)
    assert {sent.peer for sent in quick} == {BOB}
    for number, sent in enumerate(quick, 1):
        queue.close(sent.id)
        assert queue.hold(target(number), Held(BLOCK, BOB, 1)) == [
            CancelRequest(slow[number - 1].id)
        ]

    assert [sent.peer for sent in queue.send([ALICE, BOB], 3.0)] == [BOB] * IN_FLIGHT
    queue.drop_peer(BOB)
    (first, *others) = queue.send([ALICE], 3.0)
    assert len(others) == IN_FLIGHT - 1
    queue.close(first.id)
    queue.hold(target(9), Held(BLOCK, ALICE, 1))
    assert [sent.peer for sent in queue.send([ALICE], 3.0)] == [ALICE]


def test_coming_back_does_not_make_one_quick() -> None:
    queue = queue_of(20, ALICE, BOB)
    queue.send([ALICE], 0.0)
    queue.send([], SLOW_S)
    queue.drop_peer(ALICE)
    for number in range(1, 21):
        queue.add(target(number), ALICE)
    assert {sent.peer for sent in queue.send([ALICE, BOB], SLOW_S)} == {BOB}


def test_whoever_answers_is_quick_again() -> None:
    queue = queue_of(20, ALICE, BOB)
    queue.send([ALICE], 0.0)
    queue.send([], SLOW_S)
    queue.drop_up_to(8)
    assert {sent.peer for sent in queue.send([ALICE, BOB], SLOW_S)} == {BOB}
    queue.drop_peer(BOB)
    first, *_ = queue.send([ALICE], SLOW_S)
    queue.close(first.id)
    queue.hold(target(9), Held(BLOCK, ALICE, 1))
    queue.drop_up_to(16)
    for number in range(17, 21):
        queue.add(target(number), BOB)
    assert {sent.peer for sent in queue.send([ALICE, BOB], SLOW_S)} == {ALICE}


def test_whoever_has_answered_comes_before_the_unknown() -> None:
    queue = queue_of(20, ALICE, BOB)
    first, *_ = queue.send([BOB], 0.0)
    queue.close(first.id)
    queue.hold(target(1), Held(BLOCK, BOB, 1))
    queue.drop_up_to(16)
    assert [sent.peer for sent in queue.send([ALICE, BOB], 0.0)] == [BOB] * 4
