"""Light macro sync: the same macro head from anywhere, whoever leaves, is silent or lies."""

from dataclasses import replace

import pytest

from node.errors import Fault
from node.net.network import Verdict
from node.serve.macro_chain import serve_macro_chain
from node.services.sync_answers import decode_answer
from node.sync.effects import AdoptMacroBlocks
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from node.sync.tickets import Asker
from protocols.messages.block import BlockRequest
from protocols.messages.macro_chain import MAX_EPOCHS, MacroChainRequest
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.chain import ChainBuilder
from tests.build.macro_sync import (
    BATCH,
    DISTANCES,
    EPOCH,
    LONGEST,
    Forger,
    answer_block,
    chain_of,
    changed,
    checkpoint_of,
    light,
    macro_hashes,
    serve_round,
    serve_until_quiet,
    unsigned,
)
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, head_of

FAR = 3 * EPOCH + BATCH


def claimed(harness: SyncHarness, *peers: PeerId, height: int = FAR) -> None:
    """Let peers join and claim a chain of that height."""
    server = chain_of(height)
    for peer in (ALICE, BOB, CAROL, DAVE)[: len(peers)]:
        harness.join(peer)
        harness.claim(peer, *macro_hashes(server), checkpoint=checkpoint_of(server))


def being_adopted(harness: SyncHarness) -> list[int]:
    """Return the heights of the one adoption under way."""
    (effect,) = harness.adoptions
    assert isinstance(effect, AdoptMacroBlocks)
    return [block.number for block in effect.blocks]


def asked(harness: SyncHarness, peer: PeerId | None = None) -> list[object]:
    """Return the blocks that are being asked for."""
    return [
        sent.request.hash
        for sent in harness.open_requests(Asker.MACRO_BLOCK)
        if isinstance(sent.request, BlockRequest) and peer in {None, sent.peer}
    ]


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("known", [0, 1, BATCH, EPOCH, EPOCH + BATCH + 2])
def test_any_distance_ends_at_the_same_macro_head_and_live(distance: int, known: int) -> None:
    harness = light(known)
    server = chain_of(known + distance)
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: server})

    assert harness.chain.macro_head == server.chain.macro_head
    assert harness.chain.head.hash == server.head.hash
    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.machine.status.phase is Phase.LIVE
    assert harness.reports == []


def test_nothing_newer_is_good_without_a_block() -> None:
    harness = light(EPOCH + 1)
    harness.join(ALICE)

    serve_round(harness, {ALICE: chain_of(EPOCH + 1)})
    assert asked(harness) == []
    serve_round(harness, {ALICE: chain_of(EPOCH + 1)})

    assert harness.list_of(ALICE) is PeerList.LIVE
    assert harness.machine.status.target is None


def test_only_micro_blocks_are_left_to_live_sync() -> None:
    harness = light(EPOCH)
    harness.join(ALICE)

    serve_round(harness, {ALICE: chain_of(EPOCH + BATCH - 1)})
    serve_round(harness, {ALICE: chain_of(EPOCH + BATCH - 1)})

    assert harness.list_of(ALICE) is PeerList.LIVE
    assert asked(harness) == []


def test_target_is_the_best_claim() -> None:
    harness = light()
    harness.join(ALICE, BOB)
    harness.claim(ALICE, *macro_hashes(chain_of(2 * EPOCH)))
    assert harness.machine.status.target == 2 * EPOCH
    assert harness.machine.status.phase is Phase.MACRO_SYNC

    harness.claim(BOB, *macro_hashes(chain_of(3 * EPOCH)))

    assert harness.machine.status.target == 3 * EPOCH


def test_each_block_is_asked_for_once_lowest_first() -> None:
    harness = light()

    claimed(harness, ALICE, BOB, CAROL, DAVE, height=LONGEST)

    newest = checkpoint_of(chain_of(LONGEST))
    assert newest is not None
    assert asked(harness) == [*macro_hashes(chain_of(LONGEST)), newest.hash]


def test_what_has_come_is_adopted_at_once_as_far_as_it_hangs_together() -> None:
    harness = light()
    claimed(harness, ALICE, height=LONGEST)
    server = chain_of(LONGEST)
    requests = harness.open_requests(Asker.MACRO_BLOCK)

    for sent in (requests[1], requests[3]):
        harness.serve(sent, server.chain)
    assert not harness.adoptions
    harness.serve(requests[0], server.chain)

    assert being_adopted(harness) == [EPOCH, 2 * EPOCH]
    harness.serve(requests[2], server.chain)
    assert len(harness.adoptions) == 1
    harness.work()
    assert being_adopted(harness) == [3 * EPOCH, 4 * EPOCH]


def test_peer_that_leaves_is_replaced_at_once() -> None:
    harness = light()
    claimed(harness, ALICE, BOB)

    harness.leave(ALICE)

    assert len(asked(harness, BOB)) == len(macro_hashes(chain_of(FAR))) + 1
    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.height == FAR


def test_peer_that_leaves_while_its_blocks_are_adopted() -> None:
    harness = light()
    claimed(harness, ALICE)
    for sent in harness.open_requests(Asker.MACRO_BLOCK):
        harness.serve(sent, chain_of(FAR).chain)
    assert harness.adoptions

    harness.leave(ALICE)
    harness.settle()

    assert harness.height >= EPOCH
    assert harness.machine.status.phase is Phase.SEARCHING


def test_silent_peer_costs_one_timeout() -> None:
    harness = light()
    claimed(harness, ALICE, BOB)

    for _ in range(4):
        serve_round(harness, {BOB: chain_of(FAR)})
    harness.pass_time(10.0)
    assert asked(harness, ALICE) == []
    serve_until_quiet(harness, {BOB: chain_of(FAR)})

    assert harness.height == FAR
    assert harness.reports == [(ALICE, Fault.TOO_SLOW)]


@pytest.mark.parametrize("status", [ResponseStatus.NOT_FOUND, ResponseStatus.PRUNED])
def test_whoever_does_not_have_what_it_claims_is_not_punished(status: ResponseStatus) -> None:
    harness = light()
    claimed(harness, ALICE, BOB)
    for sent in harness.open_requests(Asker.MACRO_BLOCK, ALICE)[:1]:
        harness.refuse(sent, status)

    assert harness.reports == []
    assert asked(harness, ALICE) == []
    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.height == FAR


def test_busy_peer_is_asked_again_after_a_pause() -> None:
    harness = light()
    claimed(harness, ALICE)
    for sent in harness.open_requests(Asker.MACRO_BLOCK):
        harness.refuse(sent, ResponseStatus.BUSY)
    assert asked(harness) == []

    harness.pass_time(0.5)
    serve_until_quiet(harness, {ALICE: chain_of(FAR)})

    assert harness.height == FAR


def test_another_block_than_the_one_asked_for_is_a_ban() -> None:
    harness = light()
    claimed(harness, ALICE, BOB)
    other = chain_of(FAR).block_at(BATCH)

    answer_block(harness, ALICE, other.without_body())

    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    assert harness.list_of(ALICE) is PeerList.OUTDATED
    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.height == FAR


def test_forged_quorum_costs_only_who_sent_it() -> None:
    """The signatures are not part of the hash, which honest peers claim too."""
    harness = light()
    claimed(harness, ALICE, BOB)
    first = chain_of(FAR).block_at(EPOCH)
    answer_block(harness, ALICE, unsigned(first).without_body())
    harness.settle()

    assert harness.reports == [(ALICE, Fault.FALSE_CLAIM)]
    serve_until_quiet(harness, {BOB: chain_of(FAR)})
    assert harness.height == FAR
    assert harness.list_of(BOB) is PeerList.LIVE


@pytest.mark.parametrize("first", [ALICE, BOB])
def test_true_claim_wins_whoever_came_first(first: PeerId) -> None:
    harness = light()
    good = chain_of(FAR)
    lie = changed(good.block_at(EPOCH), extra_data=b"lie")
    forger = Forger(ALICE, [lie, changed(good.block_at(2 * EPOCH), parent_election=lie.hash)])
    order = (ALICE, BOB) if first == ALICE else (BOB, ALICE)
    harness.join(*order)

    serve_until_quiet(harness, {ALICE: forger, BOB: good})

    assert harness.chain.macro_head == good.chain.macro_head
    assert set(harness.reports) == {(ALICE, Fault.FALSE_CLAIM)}
    assert harness.list_of(BOB) is PeerList.LIVE


def test_invalid_block_costs_all_that_claimed_it() -> None:
    harness = light()
    good = chain_of(FAR)
    lies = [changed(good.block_at(EPOCH), parent_election=good.block_at(BATCH).hash)]
    servers: dict[PeerId, ChainBuilder | Forger]
    servers = {ALICE: Forger(ALICE, lies), BOB: Forger(BOB, lies), CAROL: good}
    harness.join(ALICE, BOB, CAROL)

    serve_until_quiet(harness, servers)

    assert set(harness.reports) == {(ALICE, Fault.FALSE_CLAIM), (BOB, Fault.FALSE_CLAIM)}
    assert harness.height == FAR


def test_block_of_another_height_costs_all_that_claimed_it() -> None:
    harness = light()
    good = chain_of(FAR)
    harness.join(ALICE, BOB)
    harness.claim(ALICE, *macro_hashes(good)[1:])
    harness.claim(BOB, *macro_hashes(good), checkpoint=checkpoint_of(good))

    serve_until_quiet(harness, {ALICE: good, BOB: good})

    assert set(harness.reports) == {(ALICE, Fault.FALSE_CLAIM)}
    assert harness.height == FAR


def test_chain_that_others_push_meanwhile_is_no_failure() -> None:
    harness = light()
    claimed(harness, ALICE)
    harness.push_elsewhere(chain_of(FAR).blocks[: EPOCH + BATCH])

    serve_until_quiet(harness, {ALICE: chain_of(FAR)})

    assert harness.height == FAR
    assert harness.reports == []


def test_adopted_macro_block_ends_the_search_for_its_batch() -> None:
    """Announced, it waited for its parents, which nobody needs any more."""
    harness = light()
    harness.join_live(BOB)
    message = harness.announce_header(chain_of(BATCH).block_at(BATCH), BOB)
    assert harness.machine.status.live.requests == 1
    harness.join(ALICE)

    serve_until_quiet(harness, {ALICE: chain_of(BATCH)})

    assert harness.height == BATCH
    assert harness.verdicts[message] is Verdict.ACCEPT
    assert harness.machine.status.live.requests == 0
    assert harness.machine.status.live.buffered == 0


def test_live_peers_are_followed_meanwhile() -> None:
    """A claim that leads nowhere does not keep the node from its live peers, nor from consensus."""
    harness = light(EPOCH + 1)
    harness.join_live(BOB)
    harness.join(ALICE)
    serve_round(harness, {ALICE: chain_of(FAR)})

    harness.announce_header(chain_of(EPOCH + 2).block_at(EPOCH + 2), BOB)
    harness.answer_head(BOB, head_of(harness.chain))
    harness.settle()

    assert harness.height == EPOCH + 2
    assert harness.machine.status.phase is Phase.MACRO_SYNC
    assert harness.machine.is_established


def test_proven_claim_keeps_consensus_away() -> None:
    harness = light(EPOCH + 1)
    harness.join_live(BOB)
    harness.join(ALICE)
    serve_round(harness, {ALICE: chain_of(LONGEST)})
    first = harness.open_requests(Asker.MACRO_BLOCK, ALICE)[0]
    harness.serve(first, chain_of(LONGEST).chain)
    harness.settle()

    for sent in harness.open_requests(Asker.POLL_HEAD, BOB):
        harness.serve(sent, harness.chain)

    assert harness.height == 2 * EPOCH
    assert not harness.machine.is_established


def test_claims_that_are_cut_are_asked_for_again_from_where_they_end() -> None:
    """As where a chain has more than the thousand epochs that an answer may have."""
    harness = light()
    server = chain_of(LONGEST)
    harness.join(ALICE)
    claims = 0
    while harness.list_of(ALICE) is not PeerList.LIVE:
        for sent in harness.open_requests(Asker.MACRO_CHAIN, ALICE):
            assert isinstance(sent.request, MacroChainRequest)
            assert sent.request.max_epochs == MAX_EPOCHS
            request = replace(sent.request, max_epochs=2)
            harness.bring(decode_answer(sent, serve_macro_chain(request, server.chain).encode()))
            claims += 1
        for sent in tuple(harness.requests.values()):
            if sent.id.asker is not Asker.MACRO_CHAIN:
                harness.serve(sent, server.chain)
        harness.settle()

    # Five epochs, two at a time, and once more to hear that there is nothing newer.
    assert claims == 4
    assert harness.chain.macro_head == server.chain.macro_head
    assert harness.reports == []
