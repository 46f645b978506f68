"""Catching up batch by batch: the pipeline, its bounds, and sources that fail or lie."""

import pytest

from node.blocks.block import Block
from node.blocks.justification import QuorumSignature
from node.errors import Fault
from node.sync.inputs import BlocksArrived
from node.sync.live.config import QueueConfig
from node.sync.macro.catch_up import BACKLOG_BATCHES, BACKLOG_BYTES, REFUSALS_MAX, CatchUp
from node.sync.macro.macro_sync import MacroSync
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from node.sync.tickets import Asker
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, Hash32
from tests.build.chain import push_one
from tests.build.sync import (
    ALICE,
    BOB,
    CAROL,
    SyncHarness,
    head_of,
    short_batches,
)

SMALL = QueueConfig(include_body=True, window_ahead_max=8, tolerate_past_max=4)
LENGTH = 44
NOBODY = Hash32(bytes(32))


def behind(*peers: object, known: int = 0) -> SyncHarness:
    """Return a harness that is behind peers that have the whole branch."""
    harness = SyncHarness(short_batches(LENGTH), config=SMALL, known=known)
    for peer in (ALICE, BOB, CAROL)[: len(peers)]:
        harness.join(peer)
        harness.answer_head(peer, head_of(harness.builder.chain))
    return harness


def batch_request(harness: SyncHarness) -> MissingBlocksRequest:
    """Return what the one open request for a batch asks for."""
    (sent,) = harness.open_requests(Asker.CATCH_UP)
    assert isinstance(sent.request, MissingBlocksRequest)
    return sent.request


def backlog(harness: SyncHarness) -> int:
    """Return how many batches have come and are not on the chain."""
    macro = harness.machine._macro
    assert isinstance(macro, MacroSync)
    assert isinstance(macro._fetcher, CatchUp)
    return macro._fetcher.backlog_batches


def serve_batch(harness: SyncHarness) -> None:
    (sent,) = harness.open_requests(Asker.CATCH_UP)
    harness.serve(sent, harness.builder.chain)


def test_first_batch_is_asked_for_from_our_chain_towards_a_final_block() -> None:
    harness = behind(ALICE, known=6)
    at = harness.builder.block_at

    assert harness.machine.status.phase is Phase.MACRO_SYNC
    assert batch_request(harness) == MissingBlocksRequest(
        target=at(LENGTH).hash,
        with_body=True,
        locators=(at(6).hash, at(5).hash, at(4).hash),
        direction=Direction.FORWARD,
    )


def test_next_batch_is_asked_for_before_the_last_one_is_pushed() -> None:
    harness = behind(ALICE)

    serve_batch(harness)

    assert harness.height == 0
    assert [len(push.blocks) for push in harness.pushes] == [4]
    assert batch_request(harness).locators == (harness.builder.block_at(4).hash,)


def test_backlog_is_bounded() -> None:
    """Whoever answers faster than we verify has to wait."""
    harness = behind(ALICE)

    for _ in range(BACKLOG_BATCHES):
        serve_batch(harness)

    assert harness.open_requests(Asker.CATCH_UP) == []
    assert backlog(harness) == BACKLOG_BATCHES
    assert len(harness.pushes) == 1
    harness.work()
    assert len(harness.open_requests(Asker.CATCH_UP)) == 1


def test_everything_is_pushed_in_order_and_the_peer_goes_live() -> None:
    harness = behind(ALICE)

    harness.serve_all(harness.builder.chain)

    assert harness.pushed == [block.hash for block in harness.builder.blocks]
    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.machine.status.phase is Phase.LIVE
    assert harness.reports == []


@pytest.mark.parametrize("known", [0, 1, 3, 4, 11, 12, 13])
def test_any_start_reaches_the_same_head(known: int) -> None:
    harness = behind(ALICE, BOB, known=known)

    harness.serve_all(harness.builder.chain)

    assert harness.chain.head.hash == harness.builder.head.hash
    assert {harness.list_of(peer) for peer in (ALICE, BOB)} == {PeerList.LIVE}


def test_our_branch_is_left_for_the_final_one() -> None:
    harness = SyncHarness(short_batches(LENGTH), config=SMALL)
    fork = harness.builder.fork_from(harness.chain.genesis)
    harness.push_elsewhere(fork.extend(3))
    harness.join(ALICE)
    harness.answer_head(ALICE, head_of(harness.builder.chain))

    harness.serve_all(harness.builder.chain)

    assert harness.chain.head.hash == harness.builder.head.hash


def test_source_that_is_late_is_replaced_after_one_timeout() -> None:
    harness = behind(ALICE, BOB)
    (sent,) = harness.open_requests(Asker.CATCH_UP)

    harness.pass_time(10.0)

    (again,) = harness.open_requests(Asker.CATCH_UP)
    assert {sent.peer, again.peer} == {ALICE, BOB}
    assert harness.reports == []


def test_b25_source_that_leaves_is_replaced_at_once_and_its_batches_are_used() -> None:
    harness = behind(ALICE, BOB)
    serve_batch(harness)

    harness.leave(ALICE)

    (sent,) = harness.open_requests(Asker.CATCH_UP)
    assert sent.peer == BOB
    assert batch_request(harness).locators == (harness.builder.block_at(4).hash,)
    harness.settle()
    assert harness.height == 4


def test_busy_source_is_asked_again_after_a_pause() -> None:
    harness = behind(ALICE)
    (sent,) = harness.open_requests(Asker.CATCH_UP)

    harness.refuse(sent, ResponseStatus.RATE_LIMITED)
    assert harness.open_requests(Asker.CATCH_UP) == []
    harness.pass_time(0.5)

    assert len(harness.open_requests(Asker.CATCH_UP)) == 1
    assert harness.list_of(ALICE) is PeerList.MACRO


def test_source_that_is_always_busy_is_given_back() -> None:
    harness = behind(ALICE)

    for _ in range(3 * REFUSALS_MAX):
        for sent in harness.open_requests(Asker.CATCH_UP):
            harness.refuse(sent, ResponseStatus.BUSY)
        harness.pass_time(1.0)
        for sent in harness.open_requests(Asker.MACRO_CHAIN):
            harness.serve(sent, harness.builder.chain)

    assert harness.list_of(ALICE) is PeerList.OUTDATED


def test_an_answer_makes_good_for_being_busy() -> None:
    harness = behind(ALICE)

    for _ in range(4):
        for _ in range(REFUSALS_MAX - 1):
            (sent,) = harness.open_requests(Asker.CATCH_UP)
            harness.refuse(sent, ResponseStatus.BUSY)
            harness.pass_time(1.0)
        serve_batch(harness)
        harness.work()

    assert harness.list_of(ALICE) is PeerList.MACRO


def test_source_that_fails_three_times_is_outdated() -> None:
    harness = behind(ALICE)

    for _ in range(3):
        for sent in tuple(harness.requests.values()):
            if sent.id.asker is Asker.CATCH_UP:
                harness.refuse(sent, ResponseStatus.TARGET_NOT_FOUND)
        harness.pass_time(1.0)
        for sent in harness.open_requests(Asker.MACRO_CHAIN):
            harness.serve(sent, harness.builder.chain)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.machine.status.phase is Phase.SEARCHING


def test_a_batch_makes_good_for_earlier_failures() -> None:
    harness = behind(ALICE)

    for _ in range(2):
        for _ in range(2):
            (sent,) = harness.open_requests(Asker.CATCH_UP)
            harness.fail(sent.id)
            harness.pass_time(1.0)
            harness.answer_head(ALICE, head_of(harness.builder.chain))
        serve_batch(harness)
        harness.work()

    assert harness.list_of(ALICE) is PeerList.MACRO


def test_large_batches_are_bounded_by_their_bytes() -> None:
    harness = behind(ALICE)

    for start in (0, 4):
        (sent,) = harness.open_requests(Asker.CATCH_UP)
        batch = tuple(harness.builder.blocks[start : start + 4])
        del harness.requests[sent.id]
        harness.feed(BlocksArrived(sent.id, batch, MAX_RESPONSE_BYTES))

    assert harness.machine.status.held_bytes == BACKLOG_BYTES
    assert harness.open_requests(Asker.CATCH_UP) == []


def lies() -> dict[str, list[Block]]:
    """Answers to the first request, none of which can be used."""
    blocks = short_batches(LENGTH).blocks
    return {
        "empty": [],
        "not ours": list(blocks[4:8]),
        "past the macro block": list(blocks[:5]),
        "in the middle": list(blocks[:3]),
        "a hole": [blocks[0], *blocks[2:4]],
        "no bodies": [block.without_body() for block in blocks[:4]],
    }


@pytest.mark.parametrize("kind", lies())
def test_liar_is_reported_and_the_next_source_asked(kind: str) -> None:
    harness = behind(ALICE, BOB)
    (sent,) = harness.open_requests(Asker.CATCH_UP)

    harness.answer(sent, lies()[kind])

    assert harness.reports == [(sent.peer, Fault.UNSOLICITED)]
    assert harness.list_of(sent.peer) is PeerList.OUTDATED
    assert not harness.pushes
    harness.serve_all(harness.builder.chain)
    assert harness.height == LENGTH


def test_invalid_batch_costs_its_source_and_what_followed_is_thrown_away() -> None:
    harness = behind(ALICE, BOB)
    (sent,) = harness.open_requests(Asker.CATCH_UP)
    blocks = harness.builder.blocks
    macro = blocks[3]
    assert isinstance(macro.justification, QuorumSignature)
    forged = QuorumSignature(0, bytes(96), macro.justification.signers)

    harness.answer(sent, [*blocks[:3], Block(macro.header, forged, macro.body)])
    serve_batch(harness)
    assert backlog(harness) == 2
    harness.work()

    assert harness.reports == [(sent.peer, Fault.INVALID_BLOCK)]
    assert harness.list_of(sent.peer) is PeerList.OUTDATED
    assert harness.height == 3
    # What was good of it stays; the rest comes from another source.
    assert batch_request(harness).locators[0] == blocks[2].hash
    harness.serve_all(harness.builder.chain)
    assert harness.height == LENGTH


def test_voting_keys_are_loaded_once_in_an_epoch() -> None:
    harness = behind(ALICE)
    loaded = []
    while harness.requests or harness.pushes:
        for sent in tuple(harness.requests.values()):
            harness.serve(sent, harness.builder.chain)
        while harness.pushes:
            loaded.append(len(harness.pushes[0].voting_keys))
            harness.work()

    # Genesis elects four validators; 12, 24 and 36 elect again.
    assert harness.height == LENGTH
    assert sum(count > 0 for count in loaded) == 4


def test_a_chain_that_others_push_meanwhile_is_no_failure() -> None:
    harness = behind(ALICE)
    (sent,) = harness.open_requests(Asker.CATCH_UP)
    for block in harness.builder.blocks[:2]:
        push_one(harness.chain, block)

    harness.serve(sent, harness.builder.chain)
    harness.serve_all(harness.builder.chain)

    assert harness.height == LENGTH
    assert harness.reports == []
