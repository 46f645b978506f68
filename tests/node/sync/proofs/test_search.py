"""One question and several peers: who is asked, who is blamed, how it ends."""

from dataclasses import dataclass
from typing import ClassVar

import pytest

from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.errors import Fault
from node.sync.effects import ReportPeer
from node.sync.proofs.dialogue import Dialogue, Query, RefusedError, RefutedError
from node.sync.proofs.search import (
    MAX_PEERS_ASKED,
    Answered,
    AskPeer,
    Failed,
    Failure,
    ProofSearch,
    Proven,
    Unproven,
)
from protocols.errors import WireError
from protocols.ids import RequestProtocol
from protocols.status import ResponseStatus
from protocols.types import PeerId, Service
from tests.build.chain import KEY_CACHE, ChainBuilder

ONE, TWO = PeerId("one"), PeerId("two")
FIRST = Query(RequestProtocol.BLOCK, b"first")
SECOND = Query(RequestProtocol.BLOCK, b"second")


@dataclass(frozen=True)
class Scripted:
    """Asks twice. The second response says how it ends."""

    subject: ClassVar[str] = "things"
    services: ClassVar[tuple[Service, ...]] = (Service.BODIES,)

    def ask(self, chain: ChainView, keys: KeyCache) -> Dialogue[bytes]:
        first = yield FIRST
        second = yield SECOND
        match second:
            case b"refuse":
                raise RefusedError(ResponseStatus.PRUNED)
            case b"unknown":
                raise RefusedError(ResponseStatus.NOT_FOUND)
            case b"lie":
                raise RefutedError(Fault.INVALID_BLOCK)
            case b"junk":
                raise WireError("Thing", "junk")
            case _:
                return first + second


def search_of(*peers: str) -> ProofSearch[bytes]:
    names = [PeerId(peer) for peer in peers]
    return ProofSearch(Scripted(), names, ChainBuilder().chain, KEY_CACHE)


def test_a_dialogue_is_with_one_peer() -> None:
    search = search_of("one", "two")
    assert search.begin() == [AskPeer(ONE, FIRST)]
    assert search.handle(Answered(b"a")) == [AskPeer(ONE, SECOND)]
    assert search.handle(Answered(b"b")) == [Proven(ONE, b"ab")]
    # That was the end: nobody is being asked, and nothing more can come.
    assert search.unproven.failures == ()
    with pytest.raises(AssertionError):
        search.handle(Answered(b"late"))


@pytest.mark.parametrize(
    ("response", "fault", "words"),
    [
        (b"refuse", None, "pruned"),
        (b"lie", Fault.INVALID_BLOCK, "false proof"),
        (b"junk", Fault.MALFORMED, "malformed answer"),
    ],
)
def test_the_next_peer_is_asked_from_the_start(
    response: bytes, fault: Fault | None, words: str
) -> None:
    search = search_of("one", "two")
    search.begin()
    search.handle(Answered(b"a"))
    blame = [] if fault is None else [ReportPeer(ONE, fault)]
    assert search.handle(Answered(response)) == [*blame, AskPeer(TWO, FIRST)]
    assert search.handle(Answered(b"c")) == [AskPeer(TWO, SECOND)]
    blame = [] if fault is None else [ReportPeer(TWO, fault)]
    end = Unproven("things", (words, words))
    assert search.handle(Answered(response)) == [*blame, end]
    assert end.reason == f"no peer could prove it: 2 {words}"


def test_silence_at_any_point() -> None:
    search = search_of("one", "two")
    search.begin()
    assert search.handle(Failed(Failure.NO_ANSWER)) == [AskPeer(TWO, FIRST)]
    assert search.unproven == Unproven("things", ("no answer", "no answer"))
    search.handle(Answered(b"a"))
    end = Unproven("things", ("no answer", "asked too often"))
    assert search.handle(Failed(Failure.BUSY)) == [end]
    assert search.unproven == end
    assert end.reason == "no peer could prove it: 1 no answer, 1 asked too often"


def test_nobody_to_ask() -> None:
    end = Unproven("things", ())
    assert search_of().begin() == [end]
    assert end.reason == "no peer is connected that proves things"
    assert not end.is_unknown


def test_so_many_are_asked_and_no_more() -> None:
    search = search_of(*(str(number) for number in range(MAX_PEERS_ASKED + 3)))
    steps = search.begin()
    for _ in range(MAX_PEERS_ASKED - 1):
        steps = search.handle(Failed(Failure.NO_ANSWER))
        assert isinstance(steps[0], AskPeer)
    steps = search.handle(Failed(Failure.NO_ANSWER))
    assert steps == [Unproven("things", ("no answer",) * MAX_PEERS_ASKED)]


def test_unknown_is_what_all_say() -> None:
    assert Unproven("things", ("not found", "not found")).is_unknown
    assert not Unproven("things", ("not found", "no answer")).is_unknown
