"""What peers answer during a state sync: honest, counted, held back, and wrong in one way."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import trio

from node.accounts.records import Records
from node.blocks.block import Block
from node.blocks.body import EMPTY_MICRO_BODY
from node.blocks.justification import ProducerSignature
from node.errors import Fault
from node.net.network import Handler
from node.storage.runs import run_of
from protocols.ids import RequestProtocol
from protocols.messages.history_peaks import HistoryPeaksRequest, HistoryPeaksResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.messages.state_range import ProvenRange, StateRangeRequest, StateRangeResponse
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.messages.trie_diffs import TrieDiffsRequest, TrieDiffsResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Address, Direction, Hash32, PeerId
from tests.build.blocks import digest
from tests.integration.live_nodes import Peer, gated

OF_STATE: Final = (
    RequestProtocol.STATE_RANGE,
    RequestProtocol.TRIE_DIFFS,
    RequestProtocol.SUBTREES,
    RequestProtocol.HISTORY_PEAKS,
    RequestProtocol.MISSING_BLOCKS,
)
"""What a state sync asks."""

SLOW_S: Final = 0.5
"""Of a slow peer's answers, at most."""

MORE_QUESTIONS: Final = 8
"""That a quick peer gets while a slow one answers one."""

BUSY: Final = Refusal(ResponseStatus.BUSY).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lie:
    """One way to answer wrongly, and what it is called."""

    protocol: RequestProtocol
    fault: Fault
    question: Callable[[bytes, Peer], bytes] = lambda asked, _: asked
    """Which question is answered instead."""
    answer: Callable[[bytes], bytes] = lambda response: response
    """What becomes of the true answer."""


def tells_lies(peer: Peer, lie: Lie) -> None:
    """Let a peer answer all questions of one kind wrongly."""
    honest = peer.network.honest[lie.protocol]

    async def answer(asker: PeerId, payload: bytes) -> bytes:
        if _is_of_live_sync(lie.protocol, payload):
            return await honest(asker, payload)
        return lie.answer(await honest(asker, lie.question(payload, peer)))

    peer.scripts[lie.protocol] = answer


def is_busy_until(peer: Peer, protocol: RequestProtocol, happened: Callable[[], object]) -> None:
    """Let an honest peer be too busy for questions of one kind until something has happened.

    So somebody else is asked meanwhile, whom a test is about.
    """
    honest = peer.network.honest[protocol]

    async def answer(asker: PeerId, payload: bytes) -> bytes:
        if happened() or _is_of_live_sync(protocol, payload):
            return await honest(asker, payload)
        return BUSY

    peer.scripts[protocol] = answer


def holds_back(peer: Peer, protocol: RequestProtocol, gate: trio.Event) -> None:
    """Let a peer answer truly, in whatever way it does, but not before the gate is open."""
    peer.scripts[protocol] = gated(answering(peer, protocol), gate)


def answering(peer: Peer, protocol: RequestProtocol) -> Handler:
    """Return what answers now."""
    return peer.scripts.get(protocol) or peer.network.honest[protocol]


def answers_slowly(peer: Peer, protocol: RequestProtocol, other: Peer) -> None:
    """Let a peer answer truly, but each time only after another has been asked some more.

    Or after a moment, when the other is not asked any more.
    """
    honest = answering(peer, protocol)

    async def answer(asker: PeerId, payload: bytes) -> bytes:
        before = len(other.requests_of(protocol))
        with trio.move_on_after(SLOW_S):
            await peer.network.bell.until(
                lambda: len(other.requests_of(protocol)) >= before + MORE_QUESTIONS
            )
        return await honest(asker, payload)

    peer.scripts[protocol] = answer


class Turnstile:
    """Lets as many answers of several peers pass as a test says."""

    def __init__(self) -> None:
        self._passes = trio.Semaphore(0)
        self._is_open = False

    def put_before(self, peer: Peer, protocol: RequestProtocol) -> None:
        """Hold back what a peer answers."""
        honest = answering(peer, protocol)

        async def answer(asker: PeerId, payload: bytes) -> bytes:
            if not self._is_open:
                await self._passes.acquire()
            return await honest(asker, payload)

        peer.scripts[protocol] = answer

    @property
    def is_used_up(self) -> bool:
        """Whether as many have passed as may."""
        return self._passes.value == 0

    def let_pass(self, count: int) -> None:
        """Let some more pass."""
        for _ in range(count):
            self._passes.release()

    def open(self) -> None:
        """Let everything pass, what waits too."""
        self._is_open = True
        self.let_pass(self._passes.statistics().tasks_waiting)


class Counter:
    """Counts the accounts that several peers have sent."""

    def __init__(self, *peers: Peer) -> None:
        self.accounts = 0
        for peer in peers:
            self._count(peer)

    def _count(self, peer: Peer) -> None:
        honest = answering(peer, RequestProtocol.STATE_RANGE)

        async def answer(asker: PeerId, payload: bytes) -> bytes:
            encoded = await honest(asker, payload)
            response = StateRangeResponse.decode(encoded)
            if isinstance(response, StateRangeResponse) and response.answer is not None:
                self.accounts += len(Records.decode(response.answer.leaves))
            return encoded

        peer.scripts[RequestProtocol.STATE_RANGE] = answer


def _is_of_live_sync(protocol: RequestProtocol, payload: bytes) -> bool:
    """Tell whether a question has nothing to do with the window of a state."""
    if protocol is not RequestProtocol.MISSING_BLOCKS:
        return False
    request = MissingBlocksRequest.decode(payload)
    return request.direction is Direction.FORWARD or bool(request.locators)


def _flipped(payload: bytes, index: int) -> bytes:
    index %= len(payload)
    return payload[:index] + bytes((payload[index] ^ 1,)) + payload[index + 1 :]


def _below(peer: Peer, block: Hash32) -> Hash32:
    """Return a block some way below one."""
    header = peer.builder.chain.header(block)
    assert header is not None
    return peer.builder.block_at(header.number - 2).hash


# Accounts.


def _range(change: Callable[[ProvenRange], ProvenRange]) -> Callable[[bytes], bytes]:
    def answer(payload: bytes) -> bytes:
        response = StateRangeResponse.decode(payload)
        assert isinstance(response, StateRangeResponse)
        assert response.answer is not None
        return replace(response, answer=change(response.answer)).encode()

    return answer


def _without(place: float) -> Callable[[ProvenRange], ProvenRange]:
    """Leave out the account at a place, 0..1."""

    def change(proven: ProvenRange) -> ProvenRange:
        records = list(Records.decode(proven.leaves))
        del records[int(place * (len(records) - 1))]
        return replace(proven, leaves=run_of(records))

    return change


def _half_of_the_range(payload: bytes, _: Peer) -> bytes:
    request = StateRangeRequest.decode(payload)
    start, end = (int.from_bytes(key, "big") for key in (request.start, request.end))
    middle = ((start + end + 1) // 2).to_bytes(len(request.start), "big")
    return replace(request, start=Address(middle)).encode()


def _older_range(payload: bytes, peer: Peer) -> bytes:
    request = StateRangeRequest.decode(payload)
    return replace(request, target=_below(peer, request.target)).encode()


# Changes.


def _changes(change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]) -> Callable[[bytes], bytes]:
    def answer(payload: bytes) -> bytes:
        response = TrieDiffsResponse.decode(payload)
        assert isinstance(response, TrieDiffsResponse)
        return replace(response, changes=change(response.changes)).encode()

    return answer


def _another_value(changes: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return tuple(_flipped(each, -1) if each else each for each in changes)


def _no_change(changes: tuple[bytes, ...]) -> tuple[bytes, ...]:
    return (b"",) * len(changes)


def _later_changes(payload: bytes, _: Peer) -> bytes:
    request = TrieDiffsRequest.decode(payload)
    return replace(request, first=request.first + 1).encode()


# Nodes.


def _nodes(payload: bytes) -> bytes:
    response = SubtreesResponse.decode(payload)
    assert isinstance(response, SubtreesResponse)
    assert response.nodes is not None
    return replace(response, nodes=tuple(_flipped(each, -1) for each in response.nodes)).encode()


def _another_place(payload: bytes, _: Peer) -> bytes:
    request = SubtreesRequest.decode(payload)
    return replace(request, places=(b"\x01\x00",) * len(request.places)).encode()


# History.


def _peaks(payload: bytes) -> bytes:
    response = HistoryPeaksResponse.decode(payload)
    assert isinstance(response, HistoryPeaksResponse)
    return replace(response, peaks=(digest("other"), *response.peaks[1:])).encode()


def _older_history(payload: bytes, peer: Peer) -> bytes:
    request = HistoryPeaksRequest.decode(payload)
    return HistoryPeaksRequest(verifier=_below(peer, request.verifier)).encode()


# Blocks.


def _blocks(change: Callable[[Block], Block]) -> Callable[[bytes], bytes]:
    def answer(payload: bytes) -> bytes:
        response = MissingBlocksResponse.decode(payload)
        assert isinstance(response, MissingBlocksResponse)
        blocks = tuple(change(Block.decode(each)).encode() for each in response.blocks)
        return replace(response, blocks=blocks).encode()

    return answer


def _older_blocks(payload: bytes, peer: Peer) -> bytes:
    request = MissingBlocksRequest.decode(payload)
    return replace(request, target=_below(peer, request.target)).encode()


def _unsigned(block: Block) -> Block:
    """Return a micro block that nobody has signed; a macro block as it is."""
    return block if block.is_macro else replace(block, justification=ProducerSignature(bytes(64)))


def _emptied(block: Block) -> Block:
    return block if block.is_macro else replace(block, body=EMPTY_MICRO_BODY)


LIES: Final[dict[str, Lie]] = {
    "a changed account": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.INVALID_PROOF,
        answer=_range(lambda proven: replace(proven, leaves=_flipped(proven.leaves, -1))),
    ),
    "a changed proof": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.INVALID_PROOF,
        answer=_range(lambda proven: replace(proven, proof=_flipped(proven.proof, -1))),
    ),
    "an account less": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.INVALID_PROOF,
        answer=_range(_without(0.5)),
    ),
    "the last account less": Lie(
        protocol=RequestProtocol.STATE_RANGE, fault=Fault.INVALID_PROOF, answer=_range(_without(1))
    ),
    "no account": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.INVALID_PROOF,
        answer=_range(lambda proven: replace(proven, leaves=b"")),
    ),
    "another range": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.INVALID_PROOF,
        question=_half_of_the_range,
    ),
    "the state of another block": Lie(
        protocol=RequestProtocol.STATE_RANGE, fault=Fault.INVALID_PROOF, question=_older_range
    ),
    "garbage": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.MALFORMED,
        answer=lambda _: b"accounts",
    ),
    "more than an answer may have": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.MALFORMED,
        answer=lambda _: bytes(RequestProtocol.STATE_RANGE.limits.max_response_bytes + 1),
    ),
    "an answer to a question of another kind": Lie(
        protocol=RequestProtocol.STATE_RANGE,
        fault=Fault.MALFORMED,
        answer=lambda _: TrieDiffsResponse(changes=(b"",)).encode(),
    ),
    "another change": Lie(
        protocol=RequestProtocol.TRIE_DIFFS,
        fault=Fault.INVALID_PROOF,
        answer=_changes(_another_value),
    ),
    "no change": Lie(
        protocol=RequestProtocol.TRIE_DIFFS,
        fault=Fault.INVALID_PROOF,
        answer=_changes(_no_change),
    ),
    "changes of more blocks than there are": Lie(
        protocol=RequestProtocol.TRIE_DIFFS,
        fault=Fault.INVALID_PROOF,
        answer=_changes(lambda changes: (*changes, b"")),
    ),
    "changes of other blocks": Lie(
        protocol=RequestProtocol.TRIE_DIFFS, fault=Fault.INVALID_PROOF, question=_later_changes
    ),
    "changed nodes": Lie(
        protocol=RequestProtocol.SUBTREES, fault=Fault.INVALID_PROOF, answer=_nodes
    ),
    "nodes of another place": Lie(
        protocol=RequestProtocol.SUBTREES, fault=Fault.INVALID_PROOF, question=_another_place
    ),
    "changed peaks": Lie(
        protocol=RequestProtocol.HISTORY_PEAKS, fault=Fault.INVALID_PROOF, answer=_peaks
    ),
    "peaks of another block": Lie(
        protocol=RequestProtocol.HISTORY_PEAKS, fault=Fault.INVALID_PROOF, question=_older_history
    ),
    "blocks that nobody has signed": Lie(
        protocol=RequestProtocol.MISSING_BLOCKS,
        fault=Fault.INVALID_BLOCK,
        answer=_blocks(_unsigned),
    ),
    "blocks without what they hold": Lie(
        protocol=RequestProtocol.MISSING_BLOCKS,
        fault=Fault.UNSOLICITED,
        answer=_blocks(_emptied),
    ),
    "other blocks": Lie(
        protocol=RequestProtocol.MISSING_BLOCKS, fault=Fault.UNSOLICITED, question=_older_blocks
    ),
}
"""How a peer can be wrong in what a state sync asks it, by what it sends."""
