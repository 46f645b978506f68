"""Proving blocks to a node that keeps election blocks at most.

    E0 <--- E1 <--- E2 <--- E3        ours: E3, or the election block right before the block
            |
            +-- M --> l --> number    see node.chain.blocks_proof

A proof has room for some hundred election headers. One that needs more takes several steps: each
proves an older election block, from which the next one starts.
"""

from typing import Final

from node.blocks.block import Block
from node.blocks.header import Header, MacroHeader
from node.chain.blocks_proof import verify_blocks_proof
from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.errors import Fault
from node.sync.proofs.dialogue import Dialogue, Query, RefusedError, RefutedError, served
from protocols.ids import RequestProtocol
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.blocks_proof import (
    MAX_ELECTIONS,
    BlocksProofRequest,
    BlocksProofResponse,
)
from protocols.status import ResponseStatus
from protocols.types import Hash32, Height

ELECTIONS_BYTES: Final = MAX_RESPONSE_BYTES // 2
"""Election headers of one proof. The other half is for headers of a batch, and for elections with
more validators than ours."""


def fetch_block(block: Hash32, *, with_body: bool) -> Dialogue[Block]:
    """Ask for a block by its hash. The header is the one; nothing says that it is on our chain."""
    request = BlockRequest(hash=block, with_body=with_body)
    payload = yield Query(RequestProtocol.BLOCK, request.encode())
    found = Block.decode(served(BlockResponse.decode(payload)).block)
    if found.hash != block or (found.body is not None) is not with_body:
        raise RefutedError(Fault.UNSOLICITED)
    return found


def prove_height(
    chain: ChainView, keys: KeyCache, number: Height
) -> Dialogue[tuple[Header, MacroHeader]]:
    """Ask for the header at a final height; return it and the election block that it is proven by.

    Args:
        chain: Our chain.
        keys: Decoded voting keys.
        number: Of any block; only those above genesis up to our macro head can be proven.
    """
    if not 0 < number <= chain.macro_head.number:
        raise RefusedError(ResponseStatus.OUT_OF_RANGE)
    ours = _nearest_election(chain, number)
    election = ours
    while (older := _step(chain, election, number)) is not None:
        header = yield from _prove_one(chain, keys, election, older)
        # The quorum of the epoch before has signed it, so it says who is elected.
        assert isinstance(header, MacroHeader)
        election = header
    header = yield from _prove_one(chain, keys, election, number)
    return header, ours


def _prove_one(
    chain: ChainView, keys: KeyCache, election: MacroHeader, number: Height
) -> Dialogue[Header]:
    request = BlocksProofRequest(election_head=election.hash, numbers=(number,))
    payload = yield Query(RequestProtocol.BLOCKS_PROOF, request.encode())
    response = served(BlocksProofResponse.decode(payload))
    found = verify_blocks_proof(response, (number,), election, chain.policy, keys)
    if found is None:
        raise RefutedError(Fault.INVALID_BLOCK)
    return found[0]


def _nearest_election(chain: ChainView, number: Height) -> MacroHeader:
    """Return an election block of ours, the nearer the shorter is the proof."""
    block = chain.hash_at(chain.policy.election_before(number))
    header = None if block is None else chain.header(block)
    return header if isinstance(header, MacroHeader) else chain.election_head


def _step(chain: ChainView, election: MacroHeader, number: Height) -> Height | None:
    """Return the height of an older election block to prove first; None if one proof is enough."""
    policy = chain.policy
    needed = (election.number - policy.election_before(number)) // policy.epoch_length
    room = max(min(MAX_ELECTIONS, ELECTIONS_BYTES // len(election.encoded)), 2)
    # The proof of an election block takes the one before it too.
    return None if needed <= room else election.number - (room - 1) * policy.epoch_length
