"""What the state sync asks on the wire, and what it makes of each answer."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from node.accounts.pages import ROOT, Place
from node.services.state_answers import Ask, StateAnswer, decode_state_answer, encode_ask
from node.sync.state.coverage import EVERYTHING
from node.sync.state.part_events import AskBlocks, AskPeaks, BlocksArrived, PeaksArrived
from node.sync.state.state_events import (
    AskChanges,
    AskRange,
    AskSubtrees,
    ChangesArrived,
    RangeArrived,
    StateRefused,
    StateUnavailable,
    SubtreesArrived,
)
from protocols.errors import WireError
from protocols.ids import RequestProtocol
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import ProvenRange, StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Direction, PeerId
from tests.build.blocks import digest
from tests.build.state_sync import builder_of
from tests.node.sync.state.targets import target

PEER = PeerId("peer")
TARGET = target(20)
BLOCKS = tuple(reversed(builder_of(3).blocks))
RANGE = ProvenRange(leaves=b"leaves", proof=b"proof")
PLACES = (ROOT, Place(3, b"\xab\xc0"))
PEAKS = (digest("left"), digest("right"))


@dataclass(frozen=True)
class Kind:
    """One kind of question: how it is sent, and its answer in both forms."""

    ask: Ask
    protocol: RequestProtocol
    request: object
    response: bytes
    answer: StateAnswer
    read: Callable[[bytes], object]


KINDS = {
    "accounts": Kind(
        ask=AskRange(id=1, peer=PEER, target=TARGET, span=EVERYTHING, limit=9),
        protocol=RequestProtocol.STATE_RANGE,
        request=StateRangeRequest(
            target=TARGET.hash, start=EVERYTHING[0], end=EVERYTHING[1], limit=9
        ),
        response=StateRangeResponse(oldest=5, newest=21, answer=RANGE).encode(),
        answer=RangeArrived(1, RANGE),
        read=StateRangeRequest.decode,
    ),
    "changes": Kind(
        ask=AskChanges(id=2, peer=PEER, first=17, target=TARGET),
        protocol=RequestProtocol.TRIE_DIFFS,
        request=TrieDiffsRequest(first=17, target=TARGET.hash),
        response=TrieDiffsResponse(changes=(b"some", b"", b"more")).encode(),
        answer=ChangesArrived(2, (b"some", b"", b"more")),
        read=TrieDiffsRequest.decode,
    ),
    "subtrees": Kind(
        ask=AskSubtrees(id=3, peer=PEER, target=TARGET, places=PLACES),
        protocol=RequestProtocol.SUBTREES,
        request=SubtreesRequest(target=TARGET.hash, places=tuple(each.key for each in PLACES)),
        response=SubtreesResponse(oldest=5, newest=21, nodes=(b"root", b"node")).encode(),
        answer=SubtreesArrived(3, (b"root", b"node")),
        read=SubtreesRequest.decode,
    ),
    "blocks": Kind(
        ask=AskBlocks(4, PEER, BLOCKS[0].hash),
        protocol=RequestProtocol.MISSING_BLOCKS,
        request=MissingBlocksRequest(
            target=BLOCKS[0].hash, with_body=True, locators=(), direction=Direction.BACKWARD
        ),
        response=MissingBlocksResponse(blocks=tuple(each.encode() for each in BLOCKS)).encode(),
        answer=BlocksArrived(4, BLOCKS),
        read=MissingBlocksRequest.decode,
    ),
    "peaks": Kind(
        ask=AskPeaks(5, PEER, TARGET.hash),
        protocol=RequestProtocol.HISTORY_PEAKS,
        request=HistoryPeaksRequest(verifier=TARGET.hash),
        response=HistoryPeaksResponse(leaf_count=5, peaks=PEAKS).encode(),
        answer=PeaksArrived(5, 5, PEAKS),
        read=HistoryPeaksRequest.decode,
    ),
}

each_kind = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


@each_kind
def test_a_question_is_sent_as_the_request_of_its_protocol(kind: Kind) -> None:
    protocol, payload = encode_ask(kind.ask)
    assert protocol is kind.protocol
    assert kind.read(payload) == kind.request


@each_kind
def test_the_answer_to_a_question_is_read(kind: Kind) -> None:
    assert decode_state_answer(kind.ask, kind.response) == kind.answer


@pytest.mark.parametrize("status", [each for each in ResponseStatus if each])
@each_kind
def test_a_refusal_is_passed_on_with_its_status(kind: Kind, status: ResponseStatus) -> None:
    refused = decode_state_answer(kind.ask, Refusal(status).encode())
    assert refused == StateRefused(kind.ask.id, status)


@each_kind
def test_what_is_no_response_is_the_peers_fault(kind: Kind) -> None:
    wrong = [
        b"",
        b"\xc1",
        b"\x90",
        b"\x91\xcc\xff",
        b"\x91\x00",
        kind.response[:-1],
        kind.response + b"\x00",
        kind.response[1:],
    ]
    for payload in wrong:
        with pytest.raises(WireError):
            decode_state_answer(kind.ask, payload)


@pytest.mark.parametrize("other", KINDS.values(), ids=KINDS)
@each_kind
def test_the_answer_to_a_question_of_another_kind_is_never_taken_for_ours(
    kind: Kind, other: Kind
) -> None:
    """The content of two kinds may have one shape: then it is for the proof to tell them apart."""
    if kind is other:
        return
    try:
        answer = decode_state_answer(kind.ask, other.response)
    except WireError:
        return
    assert type(answer) is type(kind.answer)
    assert answer != kind.answer


@pytest.mark.parametrize(
    ("kind", "response"),
    [
        ("accounts", StateRangeResponse(oldest=30, newest=46, answer=None).encode()),
        ("subtrees", SubtreesResponse(oldest=30, newest=46, nodes=None).encode()),
    ],
)
def test_a_state_that_a_peer_has_not_comes_with_those_that_it_has(
    kind: str, response: bytes
) -> None:
    ask = KINDS[kind].ask
    assert decode_state_answer(ask, response) == StateUnavailable(ask.id, 30, 46)


def test_blocks_that_are_none_are_the_peers_fault() -> None:
    ask = KINDS["blocks"].ask
    good = BLOCKS[0].encode()
    for payload in (b"block", good[:-1], good + b"\x00"):
        response = MissingBlocksResponse(blocks=(good, payload)).encode()
        with pytest.raises(WireError):
            decode_state_answer(ask, response)


def test_what_blocks_are_compared_by_is_computed_with_them() -> None:
    """The trio thread, which compares hashes and roots of bodies, does not compute them."""
    answer = decode_state_answer(KINDS["blocks"].ask, KINDS["blocks"].response)
    assert isinstance(answer, BlocksArrived)
    for block in answer.blocks:
        assert "hash" in vars(block.header)
        assert block.body is not None
        assert "root" in vars(block.body)
