"""What the state sync asks peers, and their answers as inputs of its machines."""

from typing import TypeAlias

from node.blocks.block import Block
from node.sync.state.part_events import AskBlocks, AskPeaks, BlocksArrived, PeaksArrived
from node.sync.state.state_events import (
    AskChanges,
    AskRange,
    AskSubtrees,
    ChangesArrived,
    RangeArrived,
    StateFailed,
    StateRefused,
    StateUnavailable,
    SubtreesArrived,
)
from protocols.ids import RequestProtocol
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.status import Refusal
from protocols.types import Direction

Ask: TypeAlias = AskRange | AskChanges | AskSubtrees | AskBlocks | AskPeaks

StateAnswer: TypeAlias = (
    RangeArrived
    | ChangesArrived
    | SubtreesArrived
    | BlocksArrived
    | PeaksArrived
    | StateUnavailable
    | StateRefused
    | StateFailed
)


def encode_ask(ask: Ask) -> tuple[RequestProtocol, bytes]:
    """Return a question as it is sent."""
    match ask:
        case AskRange():
            start, end = ask.span
            state_range = StateRangeRequest(
                target=ask.target.hash, start=start, end=end, limit=ask.limit
            )
            return RequestProtocol.STATE_RANGE, state_range.encode()
        case AskChanges():
            diffs = TrieDiffsRequest(first=ask.first, target=ask.target.hash)
            return RequestProtocol.TRIE_DIFFS, diffs.encode()
        case AskSubtrees():
            places = tuple(place.key for place in ask.places)
            subtrees = SubtreesRequest(target=ask.target.hash, places=places)
            return RequestProtocol.SUBTREES, subtrees.encode()
        case AskBlocks():
            blocks = MissingBlocksRequest(
                target=ask.first, with_body=True, locators=(), direction=Direction.BACKWARD
            )
            return RequestProtocol.MISSING_BLOCKS, blocks.encode()
        case AskPeaks():
            return RequestProtocol.HISTORY_PEAKS, HistoryPeaksRequest(
                verifier=ask.verifier
            ).encode()


def decode_state_answer(ask: Ask, payload: bytes) -> StateAnswer:
    """Read a response. Also hashes what will be hashed, while it is off the trio thread.

    Raises:
        WireError: It is not the response to this question.
    """
    answer: StateAnswer | Refusal
    match ask:
        case AskRange():
            answer = _range(ask, payload)
        case AskChanges():
            answer = _changes(ask, payload)
        case AskSubtrees():
            answer = _subtrees(ask, payload)
        case AskBlocks():
            answer = _blocks(ask, payload)
        case AskPeaks():
            answer = _peaks(ask, payload)
    return StateRefused(ask.id, answer.status) if isinstance(answer, Refusal) else answer


def _changes(ask: AskChanges, payload: bytes) -> ChangesArrived | Refusal:
    response = TrieDiffsResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    return ChangesArrived(ask.id, response.changes)


def _peaks(ask: AskPeaks, payload: bytes) -> PeaksArrived | Refusal:
    response = HistoryPeaksResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    return PeaksArrived(ask.id, response.leaf_count, response.peaks)


def _range(ask: AskRange, payload: bytes) -> RangeArrived | StateUnavailable | Refusal:
    response = StateRangeResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    if response.answer is None:
        return StateUnavailable(ask.id, response.oldest, response.newest)
    return RangeArrived(ask.id, response.answer)


def _subtrees(ask: AskSubtrees, payload: bytes) -> SubtreesArrived | StateUnavailable | Refusal:
    response = SubtreesResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    if response.nodes is None:
        return StateUnavailable(ask.id, response.oldest, response.newest)
    return SubtreesArrived(ask.id, response.nodes)


def _blocks(ask: AskBlocks, payload: bytes) -> BlocksArrived | Refusal:
    response = MissingBlocksResponse.decode(payload)
    if isinstance(response, Refusal):
        return response
    blocks = tuple(Block.decode(block) for block in response.blocks)
    for block in blocks:
        _ = block.hash
        if block.body is not None:
            _ = block.body.root
    return BlocksArrived(ask.id, blocks)
