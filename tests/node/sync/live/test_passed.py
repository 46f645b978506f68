"""Live peers that no longer keep what we miss: macro sync gets it, and nobody is blamed."""

from collections.abc import Callable

import pytest

from node.net.network import Verdict
from node.sync.live.events import Ahead
from node.sync.macro.macro_sync import FAILURES_MAX, PAUSE_S
from node.sync.peers import PeerList
from node.sync.tickets import Asker
from protocols.messages.macro_chain import Checkpoint
from protocols.status import ResponseStatus
from protocols.types import PeerId, Service
from tests.build.live import answer_polls, block, live
from tests.build.macro_sync import BATCH, chain_of, light, pico
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, head_of

HEIGHT = 2 * BATCH - 1
"""Inside the window, and a macro block lies between."""


def missing_a_batch(*peers: PeerId) -> SyncHarness:
    """Return a Light at genesis whose live peers have got further since they were looked at."""
    harness = light()
    harness.join_live(*peers)
    answer_polls(harness)
    harness.take_events()
    harness.announce(chain_of(HEIGHT).block_at(HEIGHT), ALICE)
    return harness


def prune(harness: SyncHarness) -> PeerId:
    """Let the peer that has been asked say that it no longer has that; return it."""
    sent = harness.missing_request()
    harness.refuse(sent, ResponseStatus.PRUNED)
    return sent.peer


def test_a_peer_that_has_pruned_what_we_miss_goes_to_macro_sync_and_the_next_is_asked() -> None:
    harness = missing_a_batch(ALICE, BOB)

    assert prune(harness) == ALICE

    assert harness.events == [Ahead(ALICE)]
    assert harness.list_of(ALICE) is PeerList.MACRO
    assert [sent.peer for sent in harness.open_requests(Asker.MACRO_CHAIN)] == [ALICE]
    assert harness.missing_request().peer == BOB
    assert harness.reports == []


def test_when_all_have_pruned_it_macro_sync_brings_us_there() -> None:
    harness = missing_a_batch(ALICE, BOB, CAROL)

    assert {prune(harness) for _ in range(3)} == {ALICE, BOB, CAROL}

    # Nobody is left to be asked. What has been announced is given up, and nobody pays for it.
    assert harness.machine.status.live.buffered == 0
    assert set(harness.verdicts.values()) == {Verdict.IGNORE}
    harness.serve_all(chain_of(HEIGHT).chain)
    assert harness.height == HEIGHT
    assert {harness.list_of(peer) for peer in (ALICE, BOB, CAROL)} == {PeerList.LIVE}
    assert harness.now == 0.0
    assert harness.reports == []


def test_many_peers_that_have_pruned_it_do_not_get_the_announcer_blamed() -> None:
    """The tries end before the peers do."""
    peers = tuple(PeerId(f"peer{number}") for number in range(9))
    harness = missing_a_batch(ALICE, *peers)

    while harness.open_requests(Asker.MISSING):
        prune(harness)

    assert harness.machine.status.live.requests == 0
    assert len(harness.machine.status.peers[PeerList.LIVE]) > 0
    assert harness.reports == []


def test_a_peer_that_is_no_longer_live_is_left_where_it_is() -> None:
    """Macro sync is looking at it already."""
    harness = missing_a_batch(ALICE, BOB)
    sent = harness.missing_request()
    harness.announce(chain_of(5 * BATCH).block_at(5 * BATCH), ALICE)
    assert harness.list_of(ALICE) is PeerList.MACRO
    (asked,) = harness.open_requests(Asker.MACRO_CHAIN)

    harness.refuse(sent, ResponseStatus.PRUNED)

    assert harness.events == [Ahead(ALICE)]
    assert harness.open_requests(Asker.MACRO_CHAIN) == [asked]
    assert harness.missing_request().peer == BOB


@pytest.mark.parametrize("status", [ResponseStatus.NOT_FOUND, ResponseStatus.BUSY])
def test_other_refusals_move_nobody(status: ResponseStatus) -> None:
    harness = live()
    harness.announce(block(harness, 3))

    harness.refuse(harness.missing_request(), status)

    assert harness.events == []
    assert harness.list_of(ALICE) is PeerList.LIVE


@pytest.mark.parametrize("make", [light, pico])
def test_who_only_says_so_does_not_go_to_and_fro(make: Callable[[], SyncHarness]) -> None:
    """It leads to nothing above our macro head, and so it is left alone for a while."""
    harness = make()
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.announce(chain_of(HEIGHT).block_at(HEIGHT), ALICE)
    prune(harness)

    for _ in range(FAILURES_MAX):
        assert harness.list_of(ALICE) is PeerList.MACRO
        harness.answer_head(ALICE, head_of(harness.chain))
        harness.pass_time(PAUSE_S)

    assert harness.list_of(ALICE) is PeerList.OUTDATED
    assert harness.requests == {}


def test_who_cannot_lead_waits_for_others_to_bring_us_there() -> None:
    harness = light()
    harness.join_live(ALICE)
    harness.join(BOB, services=Service.HEADERS)
    harness.answer_head(BOB, head_of(harness.chain))
    answer_polls(harness)
    harness.announce(chain_of(HEIGHT).block_at(HEIGHT), BOB)
    assert {prune(harness), prune(harness)} == {ALICE, BOB}
    server = chain_of(HEIGHT).chain
    macro = server.macro_head

    harness.answer_head(BOB, head_of(server))
    assert harness.list_of(BOB) is PeerList.MACRO
    harness.claim(ALICE, checkpoint=Checkpoint(macro.number, macro.hash))
    harness.serve_all(server, {ALICE})
    harness.pass_time(PAUSE_S)
    harness.serve_all(server)

    assert harness.list_of(BOB) is PeerList.LIVE
    assert harness.height == HEIGHT
    assert harness.reports == []
