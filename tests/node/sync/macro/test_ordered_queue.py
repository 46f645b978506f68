"""The queue of macro blocks: bounded, shared among peers, each block once."""

from node.sync.effects import SendRequest
from node.sync.macro.ordered_queue import HELD_BYTES, IN_FLIGHT, PER_PEER_MIN, Held, OrderedQueue
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
    found = queue.asked(first.id)
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
