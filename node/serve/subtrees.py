"""Answering with single nodes of the trie of the state after a block."""

from node.accounts.pages import Place
from node.accounts.stored import subtree_bytes
from node.chain.view import ChainSnapshot, ChainView
from protocols.messages.subtrees import SubtreesRequest, SubtreesResponse
from protocols.status import Refusal, ResponseStatus


def serve_subtrees(request: SubtreesRequest, chain: ChainView) -> SubtreesResponse | Refusal:
    """Answer with the node at each place, or only with the heights whose states are kept."""
    with chain.snapshot() as snapshot:
        if not (chain.keeps_state and snapshot.has_state):
            return Refusal(ResponseStatus.STATE_NOT_STORED)
        states = snapshot.states()
        return SubtreesResponse(
            oldest=states.oldest, newest=states.newest, nodes=_nodes(request, snapshot)
        )


def _nodes(request: SubtreesRequest, snapshot: ChainSnapshot) -> tuple[bytes, ...] | None:
    target, states = snapshot.header(request.target), snapshot.states()
    if target is None or not snapshot.is_on_main_chain(request.target):
        return None
    if not states.has(target.number):
        return None
    state = states.at(target.number)
    places = (Place(place[0], place[1:]) for place in request.places)
    return tuple(subtree_bytes(state, place) for place in places)
