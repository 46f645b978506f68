"""Pico macro sync: trusting the first, and falling back when somebody says otherwise."""

from dataclasses import replace

import pytest

from node.errors import Fault
from node.profiles import MacroSyncKind
from node.sync.effects import AdoptMacroBlocks, ResetChain
from node.sync.macro.pico import PicoSync
from node.sync.macro.target import Target
from node.sync.peers import PeerList
from node.sync.syncer import Phase, Syncer
from node.sync.tickets import Asker
from protocols.status import ResponseStatus
from protocols.types import Hash32, Service
from tests.build.macro_sync import (
    BATCH,
    DISTANCES,
    EPOCH,
    Forger,
    answer_block,
    chain_of,
    changed,
    light,
    pico,
    serve_round,
    serve_until_quiet,
    target_of,
    unsigned,
)
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, head_of

FAR = 3 * EPOCH + BATCH + 1
TRUE = chain_of(FAR)
FORGED = changed(TRUE.block_at(2 * EPOCH), extra_data=b"lie")
"""An election block that nobody has elected. Only who asks from genesis on can tell."""


def is_trusting(harness: SyncHarness) -> bool:
    macro = harness.machine._macro
    assert isinstance(macro, PicoSync)
    return macro.is_trusting


def fooled() -> SyncHarness:
    """Return a Pico that has followed a liar."""
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: Forger(ALICE, [FORGED])})
    assert harness.chain.macro_head.hash == FORGED.hash
    assert harness.list_of(ALICE) is PeerList.LIVE
    return harness


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
def test_any_distance_ends_at_the_same_macro_head_and_live(distance: int) -> None:
    harness = pico()
    server = chain_of(distance)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: server})

    assert harness.chain.macro_head == server.chain.macro_head
    assert harness.chain.head.hash == server.head.hash
    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.machine.status.phase is Phase.LIVE
    assert harness.reports == []
    assert is_trusting(harness)


def test_takes_two_blocks_and_asks_the_head_again() -> None:
    harness = pico()
    harness.join(ALICE)
    adopted = []

    while harness.requests:
        for sent in list(harness.requests.values()):
            harness.serve(sent, TRUE.chain)
        while harness.adoptions:
            effect = harness.adoptions[0]
            assert isinstance(effect, AdoptMacroBlocks)
            adopted += [(block.number, effect.is_trusted) for block in effect.blocks]
            harness.work()
        harness.settle()

    assert adopted == [(3 * EPOCH, True), (3 * EPOCH + BATCH, False)]
    assert harness.machine.status.phase is Phase.LIVE


def test_first_election_block_is_verified() -> None:
    """It follows genesis, so its quorum can be checked, and there is nothing to trust."""
    harness = pico()
    harness.join(ALICE)
    lie = unsigned(TRUE.block_at(EPOCH))

    serve_until_quiet(harness, {ALICE: Forger(ALICE, [lie])})

    assert harness.height == 0
    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]


def test_one_peer_alone_is_followed_wherever_it_leads() -> None:
    fooled()


def test_forged_first_and_true_second_ends_on_the_true_chain() -> None:
    harness = fooled()
    harness.join(BOB)

    serve_until_quiet(harness, {ALICE: Forger(ALICE, [FORGED]), BOB: TRUE})

    assert not is_trusting(harness)
    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.list_of(BOB) is PeerList.LIVE
    assert harness.chain.hash_at(EPOCH) == TRUE.block_at(EPOCH).hash
    assert {peer for peer, _ in harness.reports} <= {ALICE}
    assert harness.list_of(ALICE) is not PeerList.LIVE


def test_true_first_and_forged_second_ends_on_the_true_chain() -> None:
    harness = pico()
    harness.join(BOB)
    serve_until_quiet(harness, {BOB: TRUE})
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: Forger(ALICE, [FORGED]), BOB: TRUE})

    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.list_of(BOB) is PeerList.LIVE
    assert {peer for peer, _ in harness.reports} <= {ALICE}


def test_falling_back_looks_at_all_peers_again_and_resets_once() -> None:
    harness = fooled()
    harness.join(BOB)
    serve_round(harness, {BOB: chain_of(2 * EPOCH + 1)})

    assert harness.height == 0
    assert harness.resets == 1
    assert {harness.list_of(ALICE), harness.list_of(BOB)} == {PeerList.MACRO}
    assert [sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)] == [BOB, ALICE]
    harness.join(CAROL)
    assert len(harness.open_requests(Asker.MACRO_CHAIN)) == 3


def test_reset_waits_for_the_chain() -> None:
    harness = fooled()
    harness.join(BOB)
    harness.answer_head(BOB, head_of(chain_of(2 * EPOCH + 1).chain))

    (effect,) = harness.adoptions
    assert isinstance(effect, ResetChain)
    assert harness.machine.status.phase is Phase.MACRO_SYNC
    assert harness.open_requests(Asker.MACRO_CHAIN) == []
    harness.pass_time(5.0)
    assert len(harness.adoptions) == 1


def test_older_head_on_our_election_chain_is_no_conflict() -> None:
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: TRUE})
    harness.join(BOB)

    harness.answer_head(BOB, head_of(chain_of(3 * EPOCH).chain))

    assert is_trusting(harness)
    assert harness.list_of(BOB) is PeerList.OUTDATED


def test_head_of_an_epoch_that_we_have_not_seen_is_a_conflict() -> None:
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: TRUE})
    harness.join(BOB)

    harness.answer_head(BOB, head_of(chain_of(2 * EPOCH).chain))
    serve_until_quiet(harness, {ALICE: TRUE, BOB: chain_of(2 * EPOCH)})

    assert not is_trusting(harness)
    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.list_of(BOB) is PeerList.OUTDATED
    assert harness.reports == []


def test_next_epoch_is_verified_from_ours() -> None:
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: chain_of(2 * EPOCH + 1)})
    harness.join(BOB)

    serve_until_quiet(harness, {BOB: TRUE})

    assert is_trusting(harness)
    assert harness.chain.head.hash == TRUE.head.hash


def test_many_epochs_behind_after_a_restart_is_light_macro_sync() -> None:
    harness = pico(EPOCH + 1)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: chain_of(4 * EPOCH)})

    assert not is_trusting(harness)
    assert harness.height == 4 * EPOCH
    assert harness.resets == 0


def test_forged_macro_block_after_the_trusted_one_is_a_conflict() -> None:
    harness = pico()
    harness.join(ALICE, BOB)
    forger = Forger(ALICE, [FORGED, changed(TRUE.block_at(2 * EPOCH + BATCH), extra_data=b"x")])

    serve_until_quiet(harness, {ALICE: forger, BOB: TRUE})

    assert harness.chain.head.hash == TRUE.head.hash
    assert {peer for peer, _ in harness.reports} == {ALICE}


def test_another_block_than_the_one_asked_for_is_a_ban() -> None:
    harness = pico()
    harness.join(ALICE)
    harness.answer_head(ALICE, head_of(TRUE.chain))

    answer_block(harness, ALICE, FORGED.without_body())

    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    assert harness.height == 0


@pytest.mark.parametrize("how", ["leaves", "is silent", "refuses"])
def test_next_peer_is_followed_when_the_first(how: str) -> None:
    harness = pico()
    harness.join(ALICE, BOB)
    for peer in (ALICE, BOB):
        harness.answer_head(peer, head_of(TRUE.chain))
    (sent,) = harness.open_requests(Asker.MACRO_BLOCK)
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
    assert harness.reports == []


def test_picos_follow_each_other_live_and_never_lead() -> None:
    harness = pico()
    harness.join(ALICE, BOB, services=Service.HEADERS)

    harness.answer_head(ALICE, head_of(TRUE.chain))
    harness.answer_head(BOB, head_of(chain_of(1).chain))

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.list_of(BOB) is PeerList.LIVE
    assert harness.open_requests(Asker.MACRO_BLOCK) == []


def test_impossible_heights_are_not_followed() -> None:
    harness = pico()
    harness.join(ALICE)
    head = head_of(TRUE.chain)

    for _ in range(3):
        harness.answer_head(ALICE, replace(head, number=1))
        harness.pass_time(1.0)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.height == 0


PINNED = target_of(TRUE.block_at(2 * EPOCH))


def test_pinned_block_comes_first_and_no_peer_is_trusted() -> None:
    harness = pico(pinned=PINNED)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: TRUE})

    assert not is_trusting(harness)
    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.chain.hash_at(EPOCH) is None
    assert harness.chain.hash_at(2 * EPOCH) == PINNED.hash
    assert harness.list_of(ALICE) is PeerList.LIVE


def test_liar_about_the_pinned_block_is_found_out() -> None:
    harness = pico(pinned=PINNED)
    harness.join(ALICE, BOB)
    forged = [FORGED, changed(TRUE.block_at(3 * EPOCH), parent_election=FORGED.hash)]

    serve_until_quiet(harness, {ALICE: Forger(ALICE, forged), BOB: TRUE}, seconds=3)

    assert harness.chain.head.hash == TRUE.head.hash
    assert harness.list_of(BOB) is PeerList.LIVE
    assert harness.list_of(ALICE) is not PeerList.LIVE


def test_peer_below_the_pinned_block_waits() -> None:
    harness = pico(pinned=PINNED)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: chain_of(EPOCH + 1)})

    assert harness.height == 0
    assert harness.list_of(ALICE) is PeerList.OUTDATED


def test_chain_that_contradicts_the_pinned_block_is_thrown_away() -> None:
    harness = pico(pinned=PINNED)
    harness.chain.adopt_macro_blocks([FORGED.without_body()], is_trusted=True)
    harness.machine = Syncer(
        harness.chain, harness.config, min_peers=1, kind=MacroSyncKind.PICO, pinned=PINNED
    )
    harness.join(BOB)

    serve_until_quiet(harness, {BOB: TRUE})

    assert harness.resets == 1
    assert harness.chain.hash_at(2 * EPOCH) == PINNED.hash
    assert harness.chain.head.hash == TRUE.head.hash


def test_light_nodes_take_the_pinned_block_as_the_truth() -> None:
    harness = light(pinned=Target(EPOCH, Hash32(bytes(32))))
    harness.join(ALICE)

    serve_round(harness, {ALICE: TRUE})

    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
