"""Reading and judging announced blocks: what the topics `headers` and `bodies` carry."""

from dataclasses import dataclass
from typing import Final

from node.blocks.block import Block
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
from node.chain.view import ChainView
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

_ONLY_WITH_BODY: Final = frozenset(
    {
        BlockError.TOO_LARGE,
        BlockError.MISSING_BODY,
        BlockError.WRONG_BODY_ROOT,
        BlockError.DUPLICATE_TRANSACTION,
        BlockError.INVALID_TRANSACTION,
        BlockError.INVALID_EQUIVOCATION_PROOF,
        BlockError.WRONG_REWARDS,
        BlockError.INSUFFICIENT_FUNDS,
        BlockError.WRONG_DIFF_ROOT,
        BlockError.WRONG_STATE_ROOT,
        BlockError.WRONG_HISTORY_ROOT,
    }
)
"""Errors that nobody sees who has only the header."""


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


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the two messages get that announce one block."""

    header: Verdict
    body: Verdict


def verdicts_of(result: PushResult) -> Verdicts:
    """Return the verdicts on a block that has been pushed.

    A bad block is rejected once, by the message that its fault is in. A header whose fault shows
    only with the body or the state has been relayed in good faith by nodes that keep neither; and
    a body is what its header says, whatever is wrong with the header or its signature. So whoever
    cannot tell yet whether a body is good does not relay it: he would be blamed for it.
    """
    match result:
        case Pushed(is_deferred=True):
            return Verdicts(Verdict.ACCEPT, Verdict.IGNORE)
        case Pushed(PushOutcome.EXTENDED | PushOutcome.REBRANCHED | PushOutcome.KNOWN):
            return Verdicts(Verdict.ACCEPT, Verdict.ACCEPT)
        case InvalidBlock(error) if error in _ONLY_WITH_BODY:
            return Verdicts(Verdict.IGNORE, Verdict.REJECT)
        case InvalidBlock() | InvalidFork() if is_fault(result):
            return Verdicts(Verdict.REJECT, Verdict.IGNORE)
        case Pushed() | Orphan() | InvalidBlock() | InvalidFork():
            # An orphan's parent was deleted between two looks of ours: nobody is to blame.
            return NO_BLAME


NO_BLAME: Final = Verdicts(Verdict.IGNORE, Verdict.IGNORE)


def verdicts_on_stored(block: Block, chain: ChainView) -> Verdicts:
    """Return the verdicts on a copy of a block that is stored.

    Only what is known to be good is relayed. A copy with another justification than the stored
    one is not: whoever does not have the block would blame us for a forgery.
    """
    if not chain.is_on_main_chain(block.hash):
        return NO_BLAME
    stored = chain.block(block.hash, with_body=False)
    is_equal = stored is not None and stored.justification == block.justification
    header = Verdict.ACCEPT if is_equal else Verdict.IGNORE
    return Verdicts(header, verdict_on_stored_body(block.hash, chain))


def verdict_on_stored_body(block: Hash32, chain: ChainView) -> Verdict:
    """Return the verdict on the body that belongs to a stored block."""
    is_executed = chain.has_state or not chain.keeps_state
    return Verdict.ACCEPT if is_executed and chain.is_on_main_chain(block) else Verdict.IGNORE


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
