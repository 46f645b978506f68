"""Who leads a Pico: turns, failures, and when light macro sync is better."""

import pytest

from node.errors import Fault
from node.sync.macro.pico import FAILED_GUIDES_MAX
from node.sync.peers import PeerList
from node.sync.tickets import Asker
from protocols.messages.head import HeadRequest
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.chain import ChainBuilder
from tests.build.macro_sync import (
    BATCH,
    EPOCH,
    answer_block,
    chain_of,
    macro_block_requests,
    pico,
    serve_until_quiet,
)
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, head_of
from tests.node.sync.macro.test_pico import PINNED, TRUE, follow_live, is_trusting


@pytest.mark.parametrize("how", ["leaves", "is silent", "refuses"])
def test_next_peer_is_followed_when_the_first(how: str) -> None:
    harness = pico()
    harness.join(ALICE, BOB)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_of(TRUE.chain))
    (sent,) = macro_block_requests(harness)
    assert sent.peer == ALICE

    match how:
        case "leaves":
            harness.leave(ALICE)
        case "is silent":
            harness.pass_time(10.0)
        case _:
            harness.refuse(sent, ResponseStatus.NOT_FOUND)
    serve_until_quiet(harness, {BOB: TRUE})

    assert harness.chain.head.hash == TRUE.head.hash
    too_slow = [(ALICE, Fault.TOO_SLOW)]
    assert harness.reports == (too_slow if how == "is silent" else [])


def silent_but_for_heads(
    harness: SyncHarness, peers: tuple[PeerId, ...], server: ChainBuilder = TRUE
) -> None:
    """Let peers say where their heads are, and nothing else."""
    for sent in list(harness.requests.values()):
        if sent.peer in peers and isinstance(sent.request, HeadRequest):
            harness.serve(sent, server.chain)


def test_who_has_waited_longest_is_the_next_guide() -> None:
    """A peer that answers faster than others does not push itself in front of them."""
    harness = pico()
    harness.join(ALICE, BOB, CAROL)
    for peer in (ALICE, BOB, CAROL):
        harness.answer_head(peer, head_of(TRUE.chain))
    guides = []

    for _ in range(2):
        (sent,) = macro_block_requests(harness)
        guides.append(sent.peer)
        harness.fail(sent.id)
        harness.pass_time(1.0)
        silent_but_for_heads(harness, (ALICE, BOB))

    assert guides == [ALICE, BOB]
    assert [sent.peer for sent in macro_block_requests(harness)] == [CAROL]


def test_who_waits_behind_a_good_guide_is_asked_again_and_followed() -> None:
    harness = pico()
    harness.join(ALICE, BOB)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_of(TRUE.chain))

    serve_until_quiet(harness, {ALICE: TRUE})

    (sent,) = harness.open_requests(Asker.PICO)
    assert (sent.peer, sent.request) == (BOB, HeadRequest())
    harness.serve(sent, TRUE.chain)
    assert {harness.list_of(ALICE), harness.list_of(BOB)} == {PeerList.LIVE}


def test_guide_counts_as_proven_from_its_first_block_on() -> None:
    """Consensus does not wait for a peer that only says to be ahead."""
    harness = pico()
    harness.join(ALICE)
    harness.answer_head(ALICE, head_of(TRUE.chain))
    assert is_led(harness) == (True, False)

    answer_block(harness, ALICE, TRUE.block_at(3 * EPOCH))
    harness.settle()
    assert is_led(harness) == (True, True)

    harness.leave(ALICE)
    harness.join(BOB)
    harness.answer_head(BOB, head_of(TRUE.chain))
    assert is_led(harness) == (True, False)


def is_led(harness: SyncHarness) -> tuple[bool, bool]:
    """Tell whether somebody is said to be ahead, and whether that is proven."""
    macro = harness.machine._macro
    return macro.is_active, macro.is_proven


def test_guides_that_fail_with_a_good_one_between_them_are_not_in_a_row() -> None:
    harness = pico()
    mute = tuple(PeerId(f"mute{index}") for index in range(FAILED_GUIDES_MAX))
    for end, peer in enumerate(mute, 1):
        server = chain_of(end * EPOCH)
        harness.join(peer)
        harness.answer_head(peer, head_of(server.chain))
        (sent,) = macro_block_requests(harness)
        harness.fail(sent.id)
        harness.leave(peer)

        harness.join(BOB)
        serve_until_quiet(harness, {BOB: server})
        harness.leave(BOB)

    assert is_trusting(harness)
    assert harness.height == FAILED_GUIDES_MAX * EPOCH


def test_failures_before_a_good_block_are_forgotten() -> None:
    harness = pico()
    harness.join(ALICE)

    for head in (TRUE, TRUE, chain_of(2 * EPOCH)):
        silent_but_for_heads(harness, (ALICE,), head)
        if head is not TRUE:
            answer_block(harness, ALICE, head.block_at(2 * EPOCH))
            harness.settle()
            silent_but_for_heads(harness, (ALICE,))
        (sent,) = macro_block_requests(harness)
        harness.fail(sent.id)
        harness.pass_time(1.0)

    assert harness.list_of(ALICE) is PeerList.MACRO


def test_peers_that_cannot_say_where_they_are_are_left_alone_for_a_while() -> None:
    harness = pico()
    harness.join(ALICE)

    for _ in range(3):
        (sent,) = harness.open_requests(Asker.PICO)
        harness.fail(sent.id)
        harness.pass_time(1.0)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.requests == {}


def test_one_mute_guide_costs_one_timeout() -> None:
    harness = pico()
    harness.join(ALICE)
    silent_but_for_heads(harness, (ALICE,))
    harness.join(BOB)

    harness.pass_time(9.0)
    silent_but_for_heads(harness, (ALICE, BOB))
    harness.pass_time(1.0)
    serve_until_quiet(harness, {BOB: TRUE})

    assert harness.height == TRUE.head.number
    assert is_trusting(harness)


def test_three_mute_guides_in_a_row_lead_to_light_macro_sync() -> None:
    harness = pico()
    mute = tuple(PeerId(f"mute{index}") for index in range(FAILED_GUIDES_MAX))
    harness.join(*mute)
    silent_but_for_heads(harness, mute)

    for _ in range(FAILED_GUIDES_MAX):
        assert is_trusting(harness)
        harness.pass_time(10.0)
        silent_but_for_heads(harness, mute)

    assert harness.machine._macro.next_deadline() is not None
    assert {sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)} == set(mute)
    assert harness.resets == 0
    assert harness.reports == [(peer, Fault.TOO_SLOW) for peer in mute]


def test_mute_guides_above_a_trusted_chain_lead_back_to_genesis() -> None:
    """Light macro sync cannot doubt what it starts from."""
    harness = pico()
    harness.join(BOB)
    serve_until_quiet(harness, {BOB: chain_of(2 * EPOCH)})
    harness.leave(BOB)
    mute = tuple(PeerId(f"mute{index}") for index in range(FAILED_GUIDES_MAX))
    harness.join(*mute)
    silent_but_for_heads(harness, mute)

    for _ in range(FAILED_GUIDES_MAX):
        harness.pass_time(10.0)
        silent_but_for_heads(harness, mute)
    harness.settle()

    assert harness.resets == 1
    assert {sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)} == set(mute)


def test_peer_that_does_not_say_where_its_head_is_is_too_slow() -> None:
    harness = pico()
    harness.join(ALICE)

    harness.pass_time(10.0)

    assert harness.reports == [(ALICE, Fault.TOO_SLOW)]
    assert harness.requests == {}


def test_mute_guides_do_not_replace_the_pinned_block() -> None:
    """Each gets its turn, and without that block there is nothing to start from."""
    harness = pico(pinned=PINNED)
    mute = tuple(PeerId(f"mute{index}") for index in range(FAILED_GUIDES_MAX))
    harness.join(*mute, ALICE)
    silent_but_for_heads(harness, (*mute, ALICE))

    for _ in mute:
        harness.pass_time(10.0)
        silent_but_for_heads(harness, mute)
    serve_until_quiet(harness, {ALICE: TRUE})

    assert harness.chain.hash_at(2 * EPOCH) == PINNED.hash
    assert harness.chain.hash_at(EPOCH) is None
    assert harness.chain.head.hash == TRUE.head.hash


def test_pinned_block_is_not_needed_once_live_sync_has_left_genesis() -> None:
    harness = pico(pinned=PINNED)
    harness.join(ALICE)
    harness.answer_head(ALICE, head_of(TRUE.chain))

    follow_live(harness, BATCH)
    serve_until_quiet(harness, {ALICE: TRUE})

    assert harness.chain.hash_at(EPOCH) == TRUE.block_at(EPOCH).hash
    assert harness.chain.hash_at(2 * EPOCH) == PINNED.hash
    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.reports == []


def test_one_peer_that_fails_again_and_again_is_no_reason_to_fall_back() -> None:
    harness = pico()
    harness.join(ALICE)

    for _ in range(3):
        silent_but_for_heads(harness, (ALICE,))
        harness.pass_time(11.0)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert is_trusting(harness)
