"""Peers that prove, without a network: honest over a chain, or as a test has it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from node.chain.view import ChainView
from node.serve.block import serve_block
from node.serve.blocks_proof import serve_blocks_proof
from node.serve.transactions_proof import serve_transactions_proof
from node.serve.trie_proof import serve_trie_proof
from node.sync.effects import ReportPeer
from node.sync.proofs.dialogue import Query
from node.sync.proofs.questions import Question
from node.sync.proofs.search import (
    Answered,
    AskPeer,
    Failed,
    Failure,
    ProofSearch,
    Proven,
    Unproven,
)
from protocols.ids import RequestProtocol
from protocols.messages.block import BlockRequest
from protocols.messages.blocks_proof import BlocksProofRequest
from protocols.messages.transactions_proof import TransactionsProofRequest
from protocols.messages.trie_proof import TrieProofRequest
from protocols.types import PeerId
from tests.build.chain import KEY_CACHE

AnswerT = TypeVar("AnswerT")

Prover = Callable[[Query], bytes | None]
"""Answers a query; None if it is silent."""


def honest(chain: ChainView) -> Prover:
    """Return a peer with this chain."""

    def prove(query: Query) -> bytes:
        payload = query.payload
        match query.protocol:
            case RequestProtocol.TRIE_PROOF:
                return serve_trie_proof(TrieProofRequest.decode(payload), chain).encode()
            case RequestProtocol.TRANSACTIONS_PROOF:
                request = TransactionsProofRequest.decode(payload)
                return serve_transactions_proof(request, chain).encode()
            case RequestProtocol.BLOCKS_PROOF:
                return serve_blocks_proof(BlocksProofRequest.decode(payload), chain).encode()
            case RequestProtocol.BLOCK:
                return serve_block(BlockRequest.decode(payload), chain).encode()
            case _:
                raise AssertionError(query)

    return prove


def silent(_query: Query) -> None:
    """Be a peer that never answers."""


@dataclass
class Searching:
    """A node that searches, with its peers in the order in which it asks them."""

    chain: ChainView
    peers: Mapping[str, Prover]
    asked: list[tuple[str, RequestProtocol]] = field(default_factory=list)
    reports: list[ReportPeer] = field(default_factory=list)

    def prove(self, question: Question[AnswerT]) -> Proven[AnswerT] | Unproven:
        """Search to the end."""
        names = [PeerId(name) for name in self.peers]
        search = ProofSearch(question, names, self.chain, KEY_CACHE)
        steps = search.begin()
        while True:
            *reports, last = steps
            self.reports += [each for each in reports if isinstance(each, ReportPeer)]
            assert len(reports) <= 1
            match last:
                case AskPeer(peer, query):
                    self.asked.append((peer, query.protocol))
                    payload = self.peers[peer](query)
                    steps = search.handle(
                        Failed(Failure.NO_ANSWER) if payload is None else Answered(payload)
                    )
                case Proven() | Unproven():
                    return last
                case _:
                    raise AssertionError(last)


def lying(chain: ChainView, protocol: RequestProtocol, lie: Callable[[bytes], bytes]) -> Prover:
    """Return a peer that is honest but for its responses by one protocol."""
    truth = honest(chain)

    def prove(query: Query) -> bytes | None:
        payload = truth(query)
        return payload if payload is None or query.protocol is not protocol else lie(query.payload)

    return prove
