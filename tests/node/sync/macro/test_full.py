"""Macro sync of Full nodes: live sync wherever it leads there, else macro blocks without state."""

import pytest

from node.errors import Fault
from node.sync.effects import AdoptMacroBlocks
from node.sync.live.events import Ahead
from node.sync.macro.macro_sync import PAUSE_S, STANDSTILL_S
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from node.sync.tickets import Asker
from protocols.status import ResponseStatus
from tests.build.macro_sync import (
    BATCH,
    DISTANCES,
    EPOCH,
    FULL,
    LONGEST,
    chain_of,
    checkpoint_of,
    full,
    macro_block_requests,
    macro_hashes,
    serve_round,
    serve_until_quiet,
    unsigned,
)
from tests.build.sync import ALICE, BOB, SyncHarness

FAR = 3 * EPOCH + BATCH


def claimed_by_both() -> SyncHarness:
    """Return a node to which two peers have claimed a chain far above genesis."""
    harness = full()
    server = chain_of(FAR)
    for peer in (ALICE, BOB):
        harness.join(peer)
        harness.claim(peer, *macro_hashes(server), checkpoint=checkpoint_of(server))
    return harness


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("known", [0, 1, BATCH, EPOCH, EPOCH + BATCH + 2])
def test_any_distance_ends_at_the_same_macro_head_and_live(distance: int, known: int) -> None:
    harness = full(known)
    server = chain_of(known + distance)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: server})

    assert harness.chain.macro_head == server.chain.macro_head
    assert harness.chain.head.hash == server.head.hash
    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.reports == []
    is_followed = server.chain.macro_head.number <= known + FULL.window_ahead_max
    assert harness.chain.has_state is is_followed
    assert harness.machine.status.phase is (Phase.LIVE if is_followed else Phase.STATE_SYNC)
    assert harness.machine.is_established is is_followed


def test_what_live_sync_leads_to_costs_no_state() -> None:
    harness = full(EPOCH)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: chain_of(EPOCH + 2 * BATCH)})

    assert harness.chain.has_state
    block = harness.chain.block(chain_of(EPOCH + 1).head.hash, with_body=True)
    assert block == chain_of(EPOCH + 1).blocks[-1]


def test_batch_that_ends_while_a_peer_says_where_it_is_costs_no_state() -> None:
    """It claims what is just inside the window, and its head is above it a moment later."""
    harness = full(EPOCH)
    near, beyond = chain_of(EPOCH + 2 * BATCH), chain_of(EPOCH + 3 * BATCH)
    harness.join(ALICE)
    harness.claim(ALICE, checkpoint=checkpoint_of(near))
    (sent,) = harness.open_requests(Asker.MACRO_HEAD, ALICE)
    harness.serve(sent, beyond.chain)

    assert harness.list_of(ALICE) is PeerList.MACRO
    assert harness.chain.has_state
    serve_until_quiet(harness, {ALICE: beyond}, seconds=2)

    assert harness.chain.macro_head == beyond.chain.macro_head
    assert harness.list_of(ALICE) is PeerList.LIVE


def test_head_just_out_of_the_window_is_followed_by_its_macro_blocks() -> None:
    """Its newest macro block is inside: no live sync would begin there, and nothing be adopted."""
    harness = full(EPOCH)
    server = chain_of(EPOCH + FULL.window_ahead_max + 1)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: server}, seconds=2)

    assert harness.chain.head.hash == server.head.hash
    assert not harness.chain.has_state
    assert harness.list_of(ALICE) is PeerList.LIVE


def test_peer_that_has_gone_ahead_is_followed_by_its_macro_blocks() -> None:
    """Live sync has shown that it does not lead there, however near the claim is."""
    harness = full(EPOCH)
    server = chain_of(EPOCH + 2 * BATCH + 1)
    harness.join_live(ALICE)
    harness.announce(server.blocks[-1], ALICE)

    assert Ahead(ALICE) in harness.take_events()
    assert harness.list_of(ALICE) is PeerList.MACRO
    serve_until_quiet(harness, {ALICE: server})

    assert harness.chain.macro_head == server.chain.macro_head
    assert not harness.chain.has_state
    assert harness.list_of(ALICE) is PeerList.LIVE


@pytest.mark.parametrize("pause_s", [PAUSE_S, STANDSTILL_S - 0.1, STANDSTILL_S])
def test_word_of_one_peer_costs_no_state_while_others_bring_blocks(pause_s: float) -> None:
    """It says to be far ahead, and claims the next checkpoint a moment before we have it."""
    harness = full(EPOCH)
    harness.join_live(BOB)
    harness.join(ALICE)
    harness.claim(ALICE)
    (sent,) = harness.open_requests(Asker.MACRO_HEAD, ALICE)
    harness.serve(sent, chain_of(EPOCH + 3 * BATCH).chain)
    harness.announce(chain_of(EPOCH + 1).blocks[-1], BOB)
    harness.settle()
    assert harness.height == EPOCH + 1

    harness.pass_time(pause_s)
    harness.claim(ALICE, checkpoint=checkpoint_of(chain_of(EPOCH + BATCH)))

    assert bool(macro_block_requests(harness, ALICE)) is (pause_s >= STANDSTILL_S)
    assert harness.list_of(ALICE) is PeerList.MACRO


def test_consensus_waits_for_the_state() -> None:
    harness = full()
    harness.join(ALICE, BOB)

    serve_until_quiet(harness, {ALICE: chain_of(LONGEST), BOB: chain_of(LONGEST)})

    assert harness.height == LONGEST
    assert harness.machine.is_at_macro_head
    assert not harness.machine.is_established


def test_peer_that_leaves_is_replaced_at_once() -> None:
    harness = claimed_by_both()

    harness.leave(ALICE)

    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.chain.macro_head == chain_of(FAR).chain.macro_head
    assert harness.now == 0


def test_silent_peer_costs_one_timeout() -> None:
    harness = claimed_by_both()

    for _ in range(4):
        serve_round(harness, {BOB: chain_of(FAR)})
    harness.pass_time(FULL.request_timeout_s)
    serve_until_quiet(harness, {BOB: chain_of(FAR)})

    assert harness.height == FAR
    assert harness.reports == [(ALICE, Fault.TOO_SLOW)]


@pytest.mark.parametrize("status", [ResponseStatus.NOT_FOUND, ResponseStatus.PRUNED])
def test_who_has_pruned_what_it_claims_is_not_punished(status: ResponseStatus) -> None:
    harness = claimed_by_both()

    harness.refuse(macro_block_requests(harness, ALICE)[0], status)
    serve_until_quiet(harness, {BOB: chain_of(FAR)})

    assert harness.height == FAR
    assert harness.reports == []


def test_forged_quorum_is_a_ban_and_costs_no_state() -> None:
    harness = claimed_by_both()
    harness.leave(BOB)
    first = macro_block_requests(harness, ALICE)[0]
    forged = unsigned(chain_of(FAR).block_at(EPOCH)).without_body()

    harness.answer(first, [forged])
    harness.settle()

    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    assert harness.chain.has_state
    assert harness.height == 0
    harness.join(BOB)
    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.height == FAR


def test_macro_blocks_are_asked_for_without_bodies() -> None:
    harness = claimed_by_both()

    asked = macro_block_requests(harness)

    assert [sent.request.with_body for sent in asked] == [False] * (FAR // EPOCH + 1)  # type: ignore[union-attr]
    for sent in asked:
        harness.serve(sent, chain_of(FAR).chain)
    assert any(isinstance(each, AdoptMacroBlocks) for each in harness.adoptions)
