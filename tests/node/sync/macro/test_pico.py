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
from protocols.types import Hash32, Service
from tests.build.chain import ChainBuilder
from tests.build.macro_sync import (
    BATCH,
    DISTANCES,
    EPOCH,
    Forger,
    answer_block,
    chain_of,
    changed,
    light,
    macro_block_requests,
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


@pytest.mark.parametrize("height", [BATCH, BATCH + 1, EPOCH - 1])
def test_head_in_the_first_epoch_is_a_conflict_with_a_trusted_chain(height: int) -> None:
    """Its election block is genesis, which a forged chain has as well."""
    honest = chain_of(height)
    harness = fooled()
    harness.join(BOB)

    harness.answer_head(BOB, head_of(honest.chain))
    assert len(harness.adoptions) == 1
    serve_until_quiet(harness, {ALICE: Forger(ALICE, [FORGED]), BOB: honest}, seconds=5)

    assert harness.chain.head.hash == honest.head.hash
    assert harness.list_of(BOB) is PeerList.LIVE
    assert harness.list_of(ALICE) is not PeerList.LIVE


@pytest.mark.parametrize("height", [0, BATCH - 1])
def test_head_without_a_macro_block_is_no_conflict(height: int) -> None:
    """Every node begins there."""
    harness = fooled()
    harness.join(BOB)

    harness.answer_head(BOB, head_of(chain_of(height).chain))

    assert is_trusting(harness)
    assert harness.list_of(BOB) is PeerList.OUTDATED


def test_head_in_the_first_epoch_is_no_conflict_with_a_chain_from_genesis() -> None:
    harness = pico(EPOCH + BATCH + 1)
    harness.join(BOB)

    harness.answer_head(BOB, head_of(chain_of(BATCH + 1).chain))

    assert is_trusting(harness)
    assert harness.list_of(BOB) is PeerList.OUTDATED


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


def follow_live(harness: SyncHarness, end: int) -> None:
    """Let live sync follow other peers."""
    for number in range(harness.height + 1, end + 1):
        harness.push_beside(chain_of(end).block_at(number).without_body())


@pytest.mark.parametrize(
    ("start", "end"),
    [(EPOCH - 1, EPOCH), (2 * EPOCH - BATCH + 1, 2 * EPOCH), (EPOCH + 1, 2 * EPOCH + BATCH)],
    ids=["its election block", "election after checkpoint", "beyond it"],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["answered", "being adopted"])
def test_guide_that_live_sync_overtakes_is_not_to_blame(
    start: int, end: int, *, is_late: bool
) -> None:
    harness = pico(start)
    harness.join(BOB)
    server = chain_of(end)
    harness.answer_head(BOB, head_of(server.chain))
    (sent,) = macro_block_requests(harness)

    if is_late:
        harness.serve(sent, server.chain)
        follow_live(harness, end)
    else:
        follow_live(harness, end)
        harness.serve(sent, server.chain)
    serve_until_quiet(harness, {BOB: server})

    assert harness.reports == []
    assert harness.resets == 0
    assert is_trusting(harness)
    assert harness.list_of(BOB) is PeerList.LIVE


def test_overtaken_guide_is_no_reason_to_doubt_a_trusted_chain() -> None:
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: chain_of(4 * EPOCH - 1)})
    harness.join(BOB)
    harness.answer_head(BOB, head_of(chain_of(4 * EPOCH).chain))

    follow_live(harness, 4 * EPOCH)
    serve_until_quiet(harness, {BOB: chain_of(4 * EPOCH)})

    assert harness.resets == 0
    assert is_trusting(harness)
    assert harness.reports == []


@pytest.mark.parametrize("is_forged", [False, True], ids=["good", "bad"])
def test_guide_that_is_back_before_its_block_is_adopted_is_a_new_peer(*, is_forged: bool) -> None:
    harness = pico()
    harness.join(ALICE)
    lie = unsigned(TRUE.block_at(EPOCH))
    server = Forger(ALICE, [lie]) if is_forged else chain_of(EPOCH)
    serve_round_without_work(harness, server)
    serve_round_without_work(harness, server)
    assert len(harness.adoptions) == 1

    harness.leave(ALICE)
    harness.join(ALICE)
    serve_round_without_work(harness, chain_of(EPOCH + BATCH))
    harness.settle()

    assert harness.reports == ([(ALICE, Fault.FALSE_CLAIM)] if is_forged else [])
    serve_until_quiet(harness, {ALICE: chain_of(EPOCH + BATCH)})
    assert harness.height == EPOCH + BATCH
    assert harness.list_of(ALICE) is PeerList.LIVE


def serve_round_without_work(harness: SyncHarness, server: Forger | ChainBuilder) -> None:
    """Let Alice answer while an adoption waits."""
    if isinstance(server, Forger):
        server.serve(harness)
        return
    for sent in list(harness.requests.values()):
        harness.serve(sent, server.chain)


@pytest.mark.parametrize("is_late", [False, True], ids=["answered", "being adopted"])
def test_nothing_is_taken_on_trust_once_live_sync_has_left_genesis(*, is_late: bool) -> None:
    harness = pico()
    harness.join(BOB)
    harness.answer_head(BOB, head_of(TRUE.chain))
    (sent,) = macro_block_requests(harness)

    if is_late:
        harness.serve(sent, TRUE.chain)
        follow_live(harness, BATCH)
    else:
        follow_live(harness, BATCH)
        harness.serve(sent, TRUE.chain)
    serve_until_quiet(harness, {BOB: TRUE})

    assert harness.reports == []
    assert not is_trusting(harness)
    assert harness.chain.hash_at(EPOCH) == TRUE.block_at(EPOCH).hash
    assert harness.chain.head.hash == TRUE.head.hash


def test_guide_whose_chain_live_sync_refutes_is_a_conflict() -> None:
    """What it claimed is never adopted, and what we trusted is checked from genesis on."""
    harness = pico()
    harness.join(ALICE)
    serve_until_quiet(harness, {ALICE: chain_of(3 * EPOCH - 1)})
    lie = changed(TRUE.block_at(3 * EPOCH), extra_data=b"lie")
    forger = Forger(BOB, [lie])
    harness.join(BOB)
    harness.answer_head(BOB, forger.head)

    follow_live(harness, 3 * EPOCH)
    answer_block(harness, BOB, lie.without_body())
    serve_until_quiet(harness, {ALICE: TRUE, BOB: forger})

    assert harness.resets == 1
    assert harness.chain.head.hash == TRUE.head.hash


def test_nobody_is_asked_for_the_chain_that_is_thrown_away() -> None:
    """What a guide sends during a reset would be taken on trust at genesis."""
    harness = fooled()
    harness.join(BOB)
    harness.join(CAROL, services=Service.HEADERS)
    waiting = harness.open_requests(Asker.PICO, CAROL)
    harness.answer_head(BOB, head_of(chain_of(2 * EPOCH + 1).chain))
    assert len(harness.adoptions) == 1

    assert harness.requests == {}
    for sent in waiting:
        harness.serve(sent, TRUE.chain)
    assert harness.requests == {}
    assert harness.list_of(CAROL) is PeerList.MACRO


def test_picos_follow_each_other_live_and_never_lead() -> None:
    harness = pico()
    harness.join(ALICE, BOB, services=Service.HEADERS)

    harness.answer_head(ALICE, head_of(TRUE.chain))
    harness.answer_head(BOB, head_of(chain_of(1).chain))

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.list_of(BOB) is PeerList.LIVE
    assert macro_block_requests(harness) == []


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
