"""Reading and judging announced blocks: what the topics `headers` and `bodies` carry."""

from typing import Final

from node.blocks.body import Body, MacroBody, MicroBody, decode_body
from node.blocks.header import Header, MacroHeader, decode_header
from node.blocks.justification import Justification, QuorumSignature, decode_justification
from node.chain.genesis import BLOCK_VERSION
from node.chain.results import (
    BlockError,
    InvalidBlock,
    InvalidFork,
    Orphan,
    Pushed,
    PushOutcome,
    PushResult,
)
from node.net.network import Verdict
from node.policy import Policy
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.types import Hash32

_FORGEABLE: Final = frozenset(
    {
        BlockError.WRONG_TYPE,
        BlockError.MISSING_BODY,
        BlockError.WRONG_BODY_ROOT,
        BlockError.WRONG_SKIP,
        BlockError.WRONG_PRODUCER,
        BlockError.WRONG_ROUND,
        BlockError.NO_QUORUM,
    }
)
"""Errors in what the hash does not cover: anybody can make such a copy of a good block."""


def read_header(payload: bytes) -> tuple[Header, Justification]:
    """Decode a message of the topic `headers`.

    Raises:
        WireError: The payload is not exactly one header and justification.
    """
    announcement = HeaderAnnouncement.decode(payload)
    header = decode_header(announcement.header)
    return header, decode_justification(announcement.justification)


def read_body(payload: bytes) -> tuple[Hash32, Body]:
    """Decode a message of the topic `bodies`: the hash of its block, and the body.

    Raises:
        WireError: The payload is not exactly one body.
    """
    announcement = BodyAnnouncement.decode(payload)
    return announcement.block, decode_body(announcement.body)


def check_header(
    header: Header, justification: Justification, policy: Policy, network: int
) -> BlockError | None:
    """Make the cheap checks: those that need neither a parent nor a signature.

    The full rules are in `node.blocks.verify`; these keep junk out of the buffers.
    """
    is_macro = policy.is_macro(header.number)
    # [REJECT] The kinds of header and justification belong at this height.
    if header.number == 0 or isinstance(header, MacroHeader) != is_macro:
        return BlockError.WRONG_TYPE
    if isinstance(justification, QuorumSignature) != is_macro:
        return BlockError.WRONG_TYPE
    # [REJECT] The block is of our network and of a version that we know.
    if header.network != network:
        return BlockError.WRONG_NETWORK
    if header.version != BLOCK_VERSION:
        return BlockError.WRONG_VERSION
    # [REJECT] Validators stand in election blocks and nowhere else.
    has_validators = isinstance(header, MacroHeader) and header.validators is not None
    if has_validators != policy.is_election(header.number):
        return BlockError.WRONG_VALIDATORS
    return None


def check_body(header: Header, body: Body, policy: Policy) -> BlockError | None:
    """Check that a body is the one that the header commits to, and not too large."""
    if body.root != header.body_root:
        return BlockError.WRONG_BODY_ROOT
    if not isinstance(body, MacroBody if isinstance(header, MacroHeader) else MicroBody):
        return BlockError.WRONG_TYPE
    if isinstance(body, MicroBody) and len(body.encoded) > policy.max_body_bytes:
        return BlockError.TOO_LARGE
    return None


def verdict_of(result: PushResult) -> Verdict:
    """Return what the headers that announced a block get, now that it has been pushed."""
    match result:
        case Pushed(PushOutcome.EXTENDED | PushOutcome.REBRANCHED | PushOutcome.KNOWN):
            return Verdict.ACCEPT
        case Pushed():
            return Verdict.IGNORE
        case InvalidBlock() | InvalidFork():
            return Verdict.REJECT if is_fault(result) else Verdict.IGNORE
        case Orphan():
            # Its parent was deleted between two looks of ours: nobody is to blame.
            return Verdict.IGNORE


def body_verdict_of(result: PushResult) -> Verdict:
    """Return what the bodies get. Their hash is in the header, so they are what they should be.

    A forged signature is no fault of whoever sent the body.
    """
    return Verdict.IGNORE if is_forgeable(result) else verdict_of(result)


def is_fault(result: PushResult) -> bool:
    """Tell whether whoever sent this block has broken a rule.

    A block from the future has not: one of two clocks is wrong, and it may be ours.
    """
    match result:
        case InvalidBlock(error):
            return error is not BlockError.FROM_FUTURE
        case InvalidFork():
            return True
        case Pushed() | Orphan():
            return False


def is_forgeable(result: PushResult) -> bool:
    """Tell whether another copy of the same block may still be good.

    Then its descendants are not to blame either.
    """
    return isinstance(result, InvalidBlock) and result.error in _FORGEABLE
