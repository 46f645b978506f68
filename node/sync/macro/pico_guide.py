"""The one peer that leads a Pico, and what its answers mean."""

from dataclasses import dataclass
from enum import Enum

from node.blocks.block import Block
from node.chain.results import Pushed, PushOutcome, PushResult
from node.chain.view import ChainView
from node.gossip.blocks import is_fault
from node.sync.inputs import Answer, BlocksArrived
from node.sync.macro.forms import may_stand_at, parent_election_of
from node.sync.macro.heads import Step
from node.sync.tickets import TicketId
from protocols.types import PeerId


class Outcome(Enum):
    """What came of asking a guide for a block."""

    ADOPTED = "adopted"
    """It is our macro head."""
    OVERTAKEN = "overtaken"
    """Live sync was faster: the guide answered for the chain as it was, which says nothing."""
    FAILED = "failed"
    """It did not bring the block."""
    LIE = "lie"
    """No honest node has such a block."""
    CONTRADICTION = "contradiction"
    """It does not continue our election block: one of the two is not on the true chain."""


@dataclass(slots=True)
class Guide:
    """The peer whose macro blocks are being fetched."""

    peer: PeerId
    steps: tuple[Step, ...]
    """What is left; the first is asked for or being adopted."""
    ticket: TicketId
    deadline: float | None
    """None once it has answered."""
    is_proven: bool = False
    """Whether a block that it sent has been adopted."""


def read_block(answer: Answer, step: Step, chain: ChainView) -> Block | Outcome:
    """Say what to do about a guide's answer.

    Args:
        answer: To the request for the block of a step.
        step: What was asked for.
        chain: Ours as it is now.

    Returns:
        The block to adopt, without its body, or why there is none.
    """
    if _is_overtaken(step, chain):
        return Outcome.OVERTAKEN
    if not isinstance(answer, BlocksArrived) or not answer.blocks:
        return Outcome.FAILED
    block = answer.blocks[0].without_body()
    is_asked_for = block.hash == step.target.hash
    if not is_asked_for or not may_stand_at(block, step.target.height, chain.policy):
        return Outcome.LIE
    if step.is_trusted or parent_election_of(block) == chain.election_head.hash:
        return block
    return Outcome.CONTRADICTION


def read_adoption(result: PushResult, step: Step, chain: ChainView) -> Outcome:
    """Say what the chain's answer to an adoption means.

    Args:
        result: Of the adoption of a step's block.
        step: What was asked for.
        chain: Ours as it is now.
    """
    if isinstance(result, Pushed) and result.outcome is PushOutcome.EXTENDED:
        return Outcome.ADOPTED
    if _is_overtaken(step, chain):
        return Outcome.OVERTAKEN
    return Outcome.LIE if is_fault(result) else Outcome.FAILED


def _is_overtaken(step: Step, chain: ChainView) -> bool:
    """Tell whether our chain is above a block, or has left the genesis that it is trusted at."""
    height = chain.macro_head.number
    return step.target.height <= height or (step.is_trusted and height > 0)
