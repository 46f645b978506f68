"""Whom to ask: by services, in turn, the silent last, liars never, and not too often."""

from node.sync.proofs.peers import ProofPeers
from protocols.ids import RequestProtocol
from protocols.rate_limit import REFILL_S
from protocols.types import PeerId, Service

BOTH = Service.HISTORY | Service.BODIES
CONNECTED = {
    PeerId("light"): Service.HEADERS,
    PeerId("full"): Service.BODIES | Service.STATE,
    PeerId("history"): BOTH | Service.STATE,
    PeerId("archive"): BOTH,
}
ORDER = (Service.HISTORY, Service.BODIES)
TRIE = RequestProtocol.TRIE_PROOF


def test_by_announced_services() -> None:
    peers = ProofPeers()
    assert peers.ranked(CONNECTED, ORDER) == ("history", "archive", "full")
    assert peers.ranked(CONNECTED, (Service.STATE,)) == ("full", "history")
    assert peers.ranked({}, ORDER) == ()


def test_in_turn() -> None:
    peers = ProofPeers()
    for expected in ("full", "history", "full", "history"):
        first = peers.ranked(CONNECTED, (Service.STATE,))[0]
        assert first == expected
        assert peers.take(first, TRIE, 0.0)


def test_the_silent_come_last_until_they_answer() -> None:
    peers = ProofPeers()
    peers.ranked(CONNECTED, ORDER)
    peers.fell_silent(PeerId("history"))
    assert peers.ranked(CONNECTED, ORDER) == ("archive", "full", "history")
    peers.answered(PeerId("history"))
    assert peers.ranked(CONNECTED, ORDER) == ("history", "archive", "full")


def test_liars_are_not_asked_again() -> None:
    peers = ProofPeers()
    peers.ranked(CONNECTED, ORDER)
    peers.lied(PeerId("history"))
    assert peers.ranked(CONNECTED, ORDER) == ("archive", "full")


def test_only_connected_peers_are_remembered() -> None:
    peers = ProofPeers()
    peers.ranked(CONNECTED, ORDER)
    peers.lied(PeerId("history"))
    peers.ranked({}, ORDER)
    assert peers._records == {}
    for note in (peers.lied, peers.fell_silent, peers.answered):
        note(PeerId("history"))
    assert peers._records == {}


def test_half_of_what_a_peer_allows() -> None:
    peers = ProofPeers()
    half = TRIE.limits.requests_per_10_s // 2
    assert [peers.take(PeerId("full"), TRIE, 1.0) for _ in range(half + 1)] == [True] * half + [
        False
    ]
    assert peers.take(PeerId("full"), RequestProtocol.BLOCK, 1.0)
    assert peers.take(PeerId("history"), TRIE, 1.0)
    assert peers.take(PeerId("full"), TRIE, 1.0 + REFILL_S)
