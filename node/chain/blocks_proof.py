"""Checking the proof that blocks are on the chain of an election block.

From the election block that is known, older ones follow by their hashes. Each names the validators
of an epoch, a quorum of whom has signed the macro block, and the block itself follows from that
one by parent hashes.
"""

from collections.abc import Mapping, Sequence

from node.blocks.block import Block
from node.blocks.header import Header, MacroHeader, decode_header
from node.blocks.justification import decode_justification
from node.blocks.verify import has_quorum
from node.crypto.bls import KeyCache
from node.policy import Policy
from protocols.errors import WireError
from protocols.messages.blocks_proof import BlocksProofResponse, ProvenBlock
from protocols.types import Hash32, Height


def verify_blocks_proof(
    response: BlocksProofResponse,
    numbers: Sequence[Height],
    election_head: MacroHeader,
    policy: Policy,
    keys: KeyCache,
) -> tuple[Header, ...] | None:
    """Return the headers of the blocks that were asked for, or None if anything is wrong.

    Slow: a pairing for each block.

    Args:
        response: Of a peer.
        numbers: Their heights, in the order of the request; none is genesis.
        election_head: The election block that the request has named, known to be final.
        policy: Of the network.
        keys: Decoded voting keys.
    """
    if len(response.blocks) != len(numbers):
        return None
    try:
        elections = _elections(response.elections, election_head)
        oldest = min(policy.election_before(number) for number in numbers)
        if elections is None or len(elections) != len(
            range(min(oldest, election_head.number), election_head.number + 1, policy.epoch_length)
        ):
            return None
        found = [
            _verified(proven, number, elections, policy, keys)
            for proven, number in zip(response.blocks, numbers, strict=True)
        ]
    except WireError:
        return None
    headers = tuple(header for header in found if header is not None)
    return headers if len(headers) == len(numbers) else None


def _elections(
    encoded: Sequence[bytes], election_head: MacroHeader
) -> dict[Height, MacroHeader] | None:
    """Follow the parent elections down; return all election blocks by height."""
    elections, newest = {election_head.number: election_head}, election_head
    for each in encoded:
        header = _hashed(each, newest.parent_election)
        if not isinstance(header, MacroHeader):
            return None
        elections[header.number] = newest = header
    return elections


def _verified(
    proven: ProvenBlock,
    number: Height,
    elections: Mapping[Height, MacroHeader],
    policy: Policy,
    keys: KeyCache,
) -> Header | None:
    macro = decode_header(proven.header)
    if not isinstance(macro, MacroHeader) or macro.number != policy.macro_after(number - 1):
        return None
    election = elections.get(policy.election_before(macro.number))
    if election is None or election.next_validators is None:
        return None
    if macro.parent_election != election.hash:
        return None
    block = Block(macro, decode_justification(proven.justification), None)
    if not has_quorum(block, election.next_validators, policy, keys):
        return None
    header: Header = macro
    for link in proven.links:
        below = _hashed(link, header.parent_hash)
        if below is None:
            return None
        header = below
    return header if header.number == number else None


def _hashed(encoded: bytes, expected: Hash32) -> Header | None:
    """Read a header if it has the expected hash."""
    header = decode_header(encoded)
    return header if header.hash == expected else None
