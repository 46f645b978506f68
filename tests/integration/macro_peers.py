"""What peers answer during a macro sync: honest, late, and wrong in one way."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import trio

from node.blocks.block import Block
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.chain.retention import Retention
from node.chain.view import ChainView
from node.net.network import Handler
from node.serve.block import serve_block
from node.serve.head import serve_head
from node.serve.history_chunk import serve_history_chunk
from node.serve.macro_chain import serve_macro_chain
from protocols.ids import RequestProtocol
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.head import HeadRequest
from protocols.messages.history_chunk import HistoryChunkRequest, HistoryChunkResponse
from protocols.messages.macro_chain import MacroChainRequest, MacroChainResponse
from protocols.status import Refusal, ResponseStatus
from protocols.types import Height, PeerId
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder, light_chain, open_chain
from tests.build.election_forgery import ForgedChain
from tests.build.macro_sync import unsigned
from tests.integration.live_nodes import Peer, never

HONEST: Final[dict[RequestProtocol, Callable[[bytes, ChainView], bytes]]] = {
    RequestProtocol.HEAD: lambda payload, chain: serve_head(
        HeadRequest.decode(payload), chain
    ).encode(),
    RequestProtocol.MACRO_CHAIN: lambda payload, chain: serve_macro_chain(
        MacroChainRequest.decode(payload), chain
    ).encode(),
}


def tells(payload: bytes) -> Handler:
    """Answer the same to all."""

    async def answer(_peer: PeerId, _payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return payload

    return answer


def serves_forged(peer: Peer, forged: ForgedChain) -> None:
    """Let a peer serve forged macro blocks and nothing else."""
    blocks = {block.hash: block for block in forged.blocks}

    async def answer(_peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        found = blocks.get(BlockRequest.decode(payload).hash)
        if found is None:
            return Refusal(ResponseStatus.NOT_FOUND).encode()
        return BlockResponse(block=found.encode()).encode()

    claim = MacroChainResponse(
        epochs=tuple(block.hash for block in forged.elections),
        checkpoint=forged.claimed_checkpoint,
    )
    peer.scripts[RequestProtocol.HEAD] = tells(forged.head.encode())
    peer.scripts[RequestProtocol.MACRO_CHAIN] = tells(claim.encode())
    peer.scripts[RequestProtocol.BLOCK] = answer


def changes_leaves(peer: Peer) -> None:
    """Let a peer change the first transaction of each chunk."""

    async def answer(_peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        response = serve_history_chunk(HistoryChunkRequest.decode(payload), peer.builder.chain)
        assert isinstance(response, HistoryChunkResponse)
        others = (transaction(nonce=9999).encode(), *response.transactions[1:])
        return replace(response, transactions=others).encode()

    peer.scripts[RequestProtocol.HISTORY_CHUNK] = answer


def forges_quorums(peer: Peer) -> None:
    """Let a peer serve the right macro blocks with signatures of nobody."""

    async def answer(_peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        response = serve_block(BlockRequest.decode(payload), peer.builder.chain)
        assert isinstance(response, BlockResponse)
        forged = unsigned(Block.decode(response.block))
        return replace(response, block=forged.encode()).encode()

    peer.scripts[RequestProtocol.BLOCK] = answer


def leaves_when_asked(peer: Peer, protocol: RequestProtocol) -> None:
    """Let a peer go when it gets such a request."""

    async def answer(_peer: PeerId, _payload: bytes) -> bytes:
        peer.node.scope.cancel()
        return await never(_peer, _payload)

    peer.scripts[protocol] = answer


def served(peer: Peer, protocol: RequestProtocol) -> Handler:
    """Return what answers honestly."""
    serve = HONEST[protocol]

    async def answer(_peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return serve(payload, peer.builder.chain)

    return answer


def with_a_window(builder: ChainBuilder) -> ChainBuilder:
    """Return the same branch over a chain that keeps no more than a full node does."""
    return _kept_as(builder, open_chain(builder.genesis, retention=Retention.WINDOW), 0)


def with_one_election(builder: ChainBuilder) -> ChainBuilder:
    """Return the same branch over a chain that took its election block on trust."""
    chain = light_chain(builder.genesis)
    election = builder.block_at(builder.chain.election_head.number)
    chain.adopt_macro_blocks([election], is_trusted=True)
    return _kept_as(builder, chain, election.number)


def _kept_as(builder: ChainBuilder, chain: Chain, known: Height) -> ChainBuilder:
    other = ChainBuilder(builder.genesis)
    for result in chain.push(builder.blocks[known:]):
        assert isinstance(result, Pushed), result
    other.blocks, other.chain = [*builder.blocks], chain
    return other
