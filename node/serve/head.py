"""Answering what our chain ends in."""

from node.chain.view import ChainView
from protocols.messages.head import HeadRequest, HeadResponse


def serve_head(_request: HeadRequest, chain: ChainView) -> HeadResponse:
    """Answer with the heads of the main chain."""
    # The oldest first: a push in between may only make the younger ones younger.
    election, macro, head = chain.election_head, chain.macro_head, chain.head
    return HeadResponse(
        number=head.number,
        hash=head.hash,
        macro_number=macro.number,
        macro_hash=macro.hash,
        election_number=election.number,
        election_hash=election.hash,
    )
