"""Answering with accounts of the state after a block, and the proof that they are these."""

from node.accounts.key_proof import prove_keys
from node.chain.view import ChainView
from protocols.messages.trie_proof import TrieProofRequest, TrieProofResponse
from protocols.status import Refusal, ResponseStatus


def serve_trie_proof(request: TrieProofRequest, chain: ChainView) -> TrieProofResponse | Refusal:
    """Answer with a proof of some accounts against the state root of a block."""
    if not chain.keeps_state:
        return Refusal(ResponseStatus.STATE_NOT_STORED)
    with chain.snapshot() as snapshot:
        if not snapshot.has_state:
            return Refusal(ResponseStatus.STATE_NOT_STORED)
        target = snapshot.header(request.target)
        if target is None:
            return Refusal(ResponseStatus.TARGET_NOT_FOUND)
        if not snapshot.is_on_main_chain(request.target):
            return Refusal(ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
        states = snapshot.states()
        if not states.has(target.number):
            return Refusal(ResponseStatus.PRUNED)
        proof = prove_keys(states.at(target.number), request.addresses)
    return TrieProofResponse(proof=proof)
