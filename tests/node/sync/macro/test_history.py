"""History macro sync, one transition at a time, over a real chain."""

from dataclasses import replace

import pytest

from node.blocks.body import MicroBody
from node.serve.blocks_proof import serve_blocks_proof
from node.serve.transactions_proof import serve_transactions_proof
from node.sync.macro.fetcher import EndReason, Fetcher
from node.sync.macro.history_limits import DEFAULT_LIMITS
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.blocks_proof import BlocksProofRequest, BlocksProofResponse
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.messages.transactions_proof import (
    TransactionsProofRequest,
    TransactionsProofResponse,
)
from protocols.types import Direction, Height
from tests.build.history import (
    SMALL_LIMITS,
    WIDE,
    hash_at,
    height_of,
    holds_what_was_built,
    leaves,
    started,
    with_sets,
)
from tests.build.history_peers import EQUIVOCATION, LENGTH, cutting, history
from tests.build.keys import SMALL_POLICY
from tests.build.sync import ALICE, BOB, CAROL

# Asking.


def test_it_is_a_fetcher() -> None:
    fetcher: Fetcher = started().machine
    assert not fetcher.is_active
    assert fetcher.target is None
    assert fetcher.next_deadline() is None


def test_batch_sets_of_the_next_epochs_are_asked_for_at_once() -> None:
    harness = started(ALICE, BOB)
    assert harness.asked(BatchSetRequest) == [
        BatchSetRequest(hash_at(12), 0),
        BatchSetRequest(hash_at(24), 12),
        BatchSetRequest(hash_at(36), 24),
        BatchSetRequest(hash_at(44), 36),
    ]
    assert [sent.peer for sent in harness.open(BatchSetRequest)] == [ALICE, BOB, ALICE, BOB]
    assert harness.machine.target == LENGTH
    assert harness.machine.is_active
    assert not harness.machine.is_proven


def test_defaults() -> None:
    """Five batch sets, and twelve chunks of 1024 transactions."""
    limits = DEFAULT_LIMITS
    assert (limits.open_epochs, limits.leaves_in_flight, limits.chunk_leaves) == (5, 12, 1024)


def test_sets_are_bounded() -> None:
    harness = started(ALICE, limits=SMALL_LIMITS)
    assert len(harness.asked(BatchSetRequest)) == SMALL_LIMITS.open_epochs


def test_a_set_opens_the_questions_for_its_batches() -> None:
    harness = started(ALICE)
    harness.serve(harness.open(BatchSetRequest)[0])

    genesis = harness.builder.genesis.hash
    assert harness.asked(MissingBlocksRequest) == [
        MissingBlocksRequest(
            target=hash_at(end), with_body=False, locators=(before,), direction=Direction.FORWARD
        )
        for end, before in ((4, genesis), (8, hash_at(4)), (12, hash_at(8)))
    ]
    count = leaves(12)
    assert count % 3, "the last chunk is a short one"
    assert harness.asked(HistoryChunkRequest) == [
        HistoryChunkRequest(verifier=hash_at(12), first=first, limit=min(3, count - first))
        for first in range(0, count, 3)
    ]


def test_an_epoch_without_transactions_needs_no_chunk() -> None:
    harness = with_sets(ALICE, known=12)
    assert not [
        request
        for request in harness.asked(HistoryChunkRequest)
        if getattr(request, "verifier", None) == hash_at(24)
    ]


def test_a_cut_set_is_continued() -> None:
    harness = started(ALICE)
    harness.serve(harness.open(BatchSetRequest)[0], cutting)
    assert BatchSetRequest(hash_at(12), 8) in harness.asked(BatchSetRequest)
    harness.run(cutting)
    assert harness.is_done


@pytest.mark.parametrize("known", [0, 1, 4, 8, 9, 11, 12, 13, 16, 24, 28, 36, 40, 41])
def test_every_start_reaches_the_same_chain(known: Height) -> None:
    harness = started(ALICE, BOB, known=known)
    harness.run()
    assert harness.is_done
    assert holds_what_was_built(harness.chain, history())
    assert sorted(harness.ended_for(EndReason.REACHED)) == [ALICE, BOB]
    assert harness.reports == []
    assert not harness.machine.is_active
    assert harness.machine.held_bytes == 0
    assert harness.machine.next_deadline() is None


def test_after_a_restart_nothing_is_asked_again() -> None:
    """Our macro head may be in the middle of an epoch."""
    harness = started(ALICE, known=28)
    assert harness.asked(BatchSetRequest)[0] == BatchSetRequest(hash_at(36), 28)
    harness.serve_kind(BatchSetRequest)
    first = harness.asked(HistoryChunkRequest)[0]
    assert first == HistoryChunkRequest(verifier=hash_at(36), first=leaves(28), limit=3)
    assert all(height_of(request) > 28 for request in harness.asked(MissingBlocksRequest))


def test_peers_share_the_questions() -> None:
    harness = with_sets(ALICE, BOB, CAROL)
    counts = [
        len([sent for sent in harness.requests.values() if sent.peer == peer])
        for peer in (ALICE, BOB, CAROL)
    ]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) <= WIDE.requests_max


def test_fetching_goes_on_while_a_worker_adopts() -> None:
    harness = with_sets(ALICE)
    adoption = harness.serve_until_adoption()
    assert harness.requests
    while harness.requests:
        harness.serve_next()
    assert len(adoption.batches) == 1
    harness.adopt()
    assert harness.adoption is not None
    assert len(harness.adoption.batches) > 1


def test_nothing_is_asked_for_above_the_window() -> None:
    window = SMALL_LIMITS.window_batches * 4
    harness = with_sets(ALICE, limits=replace(SMALL_LIMITS, content_bytes=10**6))
    while harness.requests:
        asked_for = harness.asked(MissingBlocksRequest)
        assert all(height_of(request) <= window for request in asked_for)
        harness.serve_next()
    assert harness.adoption is not None
    harness.adopt()
    assert harness.requests


def test_bytes_are_bounded_but_the_next_batch_is_always_fetched() -> None:
    tight = replace(WIDE, content_bytes=1)
    harness = with_sets(ALICE, limits=tight)
    assert [height_of(request) for request in harness.asked(MissingBlocksRequest)] == [4]
    harness.run()
    assert harness.is_done
    some = with_sets(ALICE, limits=replace(WIDE, content_bytes=12_000))
    assert [height_of(request) for request in some.asked(MissingBlocksRequest)] == [4, 8]
    free = started(ALICE)
    free.run()
    assert harness.most_bytes < free.most_bytes


def test_an_adoption_is_bounded_by_count_and_by_bytes() -> None:
    for limits, count in (
        (replace(WIDE, adopted_batches=2), 2),
        (replace(WIDE, adopted_bytes=1), 1),
        (replace(WIDE, adopted_bytes=9000), 2),
        (WIDE, 8),
    ):
        harness = with_sets(ALICE, limits=limits)
        harness.serve_kind(MissingBlocksRequest)
        harness.serve_kind(HistoryChunkRequest)
        harness.adopt()
        assert harness.adoption is not None
        assert len(harness.adoption.batches) == count


# Progress.


def test_all_who_helped_are_credited() -> None:
    harness = started(ALICE, BOB, CAROL)
    sets = harness.open(BatchSetRequest)
    assert sets[0].peer == ALICE
    harness.run()
    assert set(harness.progressed) == {ALICE, BOB, CAROL}


def test_proven_once_something_is_adopted() -> None:
    harness = with_sets(ALICE)
    seen = [harness.machine.is_proven]
    harness.serve_until_adoption()
    seen.append(harness.machine.is_proven)
    harness.adopt()
    seen.append(harness.machine.is_proven)
    harness.remove(ALICE)
    harness.add(BOB)
    seen.append(harness.machine.is_proven)
    assert seen == [False, False, True, False]


def test_who_leaves_before_the_adoption_proves_nothing() -> None:
    harness = with_sets(ALICE)
    harness.serve_until_adoption()
    harness.remove(ALICE)
    harness.add(BOB)
    harness.adopt()
    assert harness.height
    assert not harness.machine.is_proven


def test_what_live_sync_has_pushed_is_not_fetched() -> None:
    harness = with_sets(ALICE)
    harness.push_elsewhere(history().blocks[:21])
    harness.step()
    heights = [height_of(request) for request in harness.asked(MissingBlocksRequest)]
    assert heights == [24, 28, 32, 36, 40, 44]
    assert all(
        request.verifier != hash_at(12)
        for request in harness.asked(HistoryChunkRequest)
        if isinstance(request, HistoryChunkRequest)
    )
    harness.run()
    assert harness.is_done


def test_an_adoption_that_live_sync_has_overtaken_is_progress() -> None:
    harness = with_sets(ALICE)
    harness.serve_kind(MissingBlocksRequest)
    harness.serve_kind(HistoryChunkRequest)
    harness.push_elsewhere(history().blocks)
    harness.adopt()
    assert harness.is_done
    assert harness.ended_for(EndReason.REACHED) == [ALICE]
    assert harness.reports == []


def test_a_whole_body_is_fetched_where_transactions_do_not_suffice() -> None:
    harness = started(ALICE)
    bodies: list[object] = []
    while harness.requests or harness.adoption:
        bodies += harness.asked(BlockRequest)
        if harness.requests:
            harness.serve_next()
        else:
            harness.adopt()
    assert harness.is_done
    assert bodies == [BlockRequest(hash=hash_at(EQUIVOCATION), with_body=True)]


def test_what_has_been_fetched_can_be_proven_to_others() -> None:
    """Every block and transaction from genesis, as a node that executed them all proves it."""
    harness = started(ALICE, BOB)
    harness.run()
    ours, theirs = harness.chain, history().chain
    for block in history().blocks:
        election = hash_at(
            min(SMALL_POLICY.election_after(block.number - 1), 3 * SMALL_POLICY.epoch_length)
        )
        blocks = BlocksProofRequest(election_head=election, numbers=(block.number,))
        answer = serve_blocks_proof(blocks, ours)
        assert answer == serve_blocks_proof(blocks, theirs)
        assert isinstance(answer, BlocksProofResponse), block.number
        if not isinstance(block.body, MicroBody):
            continue
        for transaction in block.body.transactions:
            request = TransactionsProofRequest(transactions=(transaction.hash,), verifier=None)
            proof = serve_transactions_proof(request, ours)
            assert proof == serve_transactions_proof(request, theirs)
            assert isinstance(proof, TransactionsProofResponse)
