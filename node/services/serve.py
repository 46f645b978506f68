"""Answering the requests of peers: decode, limit, serve, encode.

What an answer says is decided in `node.serve`; here is only who may ask how often, and where the
work is done.

What costs most is begun only when the changes of the chain are done that have been asked for so
far: a node that is asked for a lot still follows the head. What peers ask for to follow it
themselves does not wait.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

import trio

from node.chain.view import ChainView
from node.errors import Fault
from node.net.network import Handler, Network
from node.serve.batch_set import serve_batch_set
from node.serve.block import serve_block
from node.serve.blocks_proof import serve_blocks_proof
from node.serve.head import serve_head
from node.serve.history_chunk import serve_history_chunk
from node.serve.history_peaks import serve_history_peaks
from node.serve.macro_chain import serve_macro_chain
from node.serve.missing_blocks import serve_missing_blocks
from node.serve.state_range import serve_state_range
from node.serve.subtrees import serve_subtrees
from node.serve.transactions_proof import serve_transactions_proof
from node.serve.trie_diffs import serve_trie_diffs
from node.serve.trie_proof import serve_trie_proof
from node.services.turns import TooManyWaitError, Turns
from protocols.errors import WireError
from protocols.ids import RequestProtocol
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.blocks_proof import BlocksProofRequest
from protocols.messages.head import HeadRequest
from protocols.messages.history_chunk import HistoryChunkRequest
from protocols.messages.history_peaks import HistoryPeaksRequest
from protocols.messages.macro_chain import MacroChainRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.messages.state_range import StateRangeRequest
from protocols.messages.subtrees import SubtreesRequest
from protocols.messages.transactions_proof import TransactionsProofRequest
from protocols.messages.trie_diffs import TrieDiffsRequest
from protocols.messages.trie_proof import TrieProofRequest
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.status import Refusal, ResponseStatus
from protocols.types import PeerId

MAX_REMEMBERED_PEERS: Final = 1024
"""Several times the peers that can be connected, so that nobody gets a new bucket by pushing
others out."""

RequestT = TypeVar("RequestT")


class _Encodable(Protocol):
    def encode(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Route(Generic[RequestT]):
    """One request protocol: how it is read and who answers it."""

    protocol: RequestProtocol
    decode: Callable[[bytes], RequestT]
    serve: Callable[[RequestT, ChainView], _Encodable]
    is_large: bool = True
    """The answer may take long to build: it is built in a worker thread."""
    is_patient: bool = True
    """It is not begun while the chain is being changed."""


class ServeService:
    """Serves every request protocol of the chain on one network.

    Limits are per peer and protocol. A peer over its limit gets RATE_LIMITED; one that goes on
    until it has also used up the refusals of that limit is reported for flooding.
    """

    def __init__(
        self,
        network: Network,
        chain: ChainView,
        *,
        in_thread: bool,
        settled: Callable[[], Awaitable[None]] = trio.lowlevel.checkpoint,
    ) -> None:
        """Prepare; nothing is served before `register`.

        Args:
            network: Where peers ask.
            chain: What is served.
            in_thread: Build large answers in worker threads. False in virtual time, whose clock
                does not wait for threads.
            settled: Waits until the changes of the chain are done that were asked for so far.
        """
        self._settled = settled
        self._network = network
        self._chain = chain
        self._in_thread = in_thread
        self._turns = Turns()

    def register(self) -> None:
        """Put the handlers on the network. Once, before the network runs."""
        self._add(_Route(RequestProtocol.HEAD, HeadRequest.decode, serve_head, is_large=False))
        self._add(_Route(RequestProtocol.BLOCK, BlockRequest.decode, serve_block, is_patient=False))
        self._add(
            _Route(
                RequestProtocol.MISSING_BLOCKS,
                MissingBlocksRequest.decode,
                serve_missing_blocks,
                is_patient=False,
            )
        )
        self._add(_Route(RequestProtocol.MACRO_CHAIN, MacroChainRequest.decode, serve_macro_chain))
        self._add(_Route(RequestProtocol.BATCH_SET, BatchSetRequest.decode, serve_batch_set))
        self._add(
            _Route(RequestProtocol.HISTORY_CHUNK, HistoryChunkRequest.decode, serve_history_chunk)
        )
        self._add(
            _Route(RequestProtocol.BLOCKS_PROOF, BlocksProofRequest.decode, serve_blocks_proof)
        )
        self._add(
            _Route(
                RequestProtocol.TRANSACTIONS_PROOF,
                TransactionsProofRequest.decode,
                serve_transactions_proof,
            )
        )
        self._add(_Route(RequestProtocol.STATE_RANGE, StateRangeRequest.decode, serve_state_range))
        self._add(_Route(RequestProtocol.TRIE_PROOF, TrieProofRequest.decode, serve_trie_proof))
        self._add(_Route(RequestProtocol.TRIE_DIFFS, TrieDiffsRequest.decode, serve_trie_diffs))
        self._add(
            _Route(RequestProtocol.HISTORY_PEAKS, HistoryPeaksRequest.decode, serve_history_peaks)
        )
        self._add(_Route(RequestProtocol.SUBTREES, SubtreesRequest.decode, serve_subtrees))

    def _add(self, route: _Route[RequestT]) -> None:
        self._network.serve(route.protocol, self._handler(route))

    def _handler(self, route: _Route[RequestT]) -> Handler:
        limit = RateLimit(capacity=route.protocol.limits.requests_per_10_s)
        requests = RateLimiter[PeerId](limit, max_keys=MAX_REMEMBERED_PEERS)
        refusals = RateLimiter[PeerId](limit, max_keys=MAX_REMEMBERED_PEERS)

        async def handle(peer: PeerId, payload: bytes) -> bytes:
            now = trio.current_time()
            if not requests.take(peer, now):
                if not refusals.take(peer, now):
                    self._network.report(peer, Fault.FLOODING)
                return Refusal(ResponseStatus.RATE_LIMITED).encode()
            try:
                request = route.decode(payload)
            except WireError:
                self._network.report(peer, Fault.MALFORMED)
                return Refusal(ResponseStatus.BAD_REQUEST).encode()
            return await self._answer(peer, route, request)

        return handle

    async def _answer(self, peer: PeerId, route: _Route[RequestT], request: RequestT) -> bytes:
        if not (route.is_large and self._in_thread):
            return route.serve(request, self._chain).encode()
        try:
            async with self._turns.turn(peer):
                if route.is_patient:
                    await self._settled()
                return await trio.to_thread.run_sync(
                    lambda: route.serve(request, self._chain).encode()
                )
        except TooManyWaitError:
            return Refusal(ResponseStatus.BUSY).encode()
