"""Making what a validator signs: blocks, proposals and votes.

All of it is work for a worker thread: seeds and signatures, execution, and waiting for the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.accounts.transaction import Transaction
from node.blocks.block import Block
from node.blocks.header import Header
from node.blocks.justification import ProducerSignature, QuorumSignature, SkipProof
from node.blocks.signing import (
    precommit_message,
    prevote_message,
    proposal_message,
    skip_message,
)
from node.blocks.validators import SignerSet
from node.chain.chain import Chain
from node.clock import WallClock
from node.crypto import bls
from node.crypto.seeds import next_seed
from node.errors import NoStateError
from node.keys import NodeKeys
from node.validator.macro_values import MacroContent, MacroRecord, OwnVote, SignedProposal
from node.validator.micro_machine import Turn
from node.validator.signed_store import SignedStore
from protocols.messages.votes import Proposal, SkipVote, Vote, VoteKind
from protocols.types import Hash32, Height

VOTES_REMEMBERED: Final = 64
"""Own votes whose signature is kept for repeats: those of more rounds than are ever repeated."""


@dataclass(frozen=True, slots=True)
class MicroResult:
    """A block of ours, and the transactions that could not go into it."""

    block: Block
    left_out: tuple[Hash32, ...]


class Signer:
    """One validator's keys, and the chain and store that it works on."""

    def __init__(
        self, *, chain: Chain, keys: NodeKeys, signed: SignedStore, clock: WallClock
    ) -> None:
        self._chain = chain
        self._keys = keys
        self._signed = signed
        self._clock = clock
        self._network: Final = chain.network
        self._votes: dict[tuple[Height, OwnVote], bytes] = {}

    def macro_record(self, number: Height) -> MacroRecord | None:
        """Return what has been signed at a macro height, and forget what is final.

        Raises:
            DataFolderError: The record cannot be read.
        """
        self._signed.forget_below(self._chain.macro_head.number)
        self._votes.clear()
        return self._signed.macro_record(number)

    def micro_block(self, turn: Turn, transactions: Sequence[Transaction]) -> MicroResult | None:
        """Make our block of a turn; None if the head has moved or this turn is signed already."""
        parent = self._chain.head
        if parent.hash != turn.parent or not self._signed.may_produce(
            turn.number, turn.parent_seed
        ):
            return None
        seed = next_seed(self._keys.signing, parent.seed)
        try:
            header, body = self._chain.propose_micro(seed, self._timestamp(parent), transactions)
        except NoStateError:
            return None
        if header.parent_hash != turn.parent:
            return None
        self._signed.note_produced(turn.number, turn.parent_seed, header.hash)
        justification = ProducerSignature(self._keys.signing.sign(header.hash))
        included = {transaction.hash for transaction in body.transactions}
        left_out = tuple(t.hash for t in transactions if t.hash not in included)
        return MicroResult(Block(header, justification, body), left_out)

    def skip_vote(self, turn: Turn, own_index: int) -> SkipVote:
        """Sign that the producer of a turn was silent, once that is noted on disk."""
        self._signed.note_skipped(turn.number, turn.parent_seed)
        message = skip_message(self._network, turn.number, turn.parent_seed)
        return SkipVote(
            number=turn.number,
            parent_seed=turn.parent_seed,
            validator=own_index,
            signature=self._keys.voting.sign(message),
        )

    def skip_block(self, turn: Turn, votes: Sequence[tuple[int, bytes]]) -> Block | None:
        """Make the skip block of a turn from a quorum of votes; None if the head has moved."""
        header, body = self._chain.propose_skip()
        if header.parent_hash != turn.parent:
            return None
        return Block(header, SkipProof(*_aggregate(votes)), body)

    def macro_content(self, number: Height, round_: int) -> MacroContent | None:
        """Make a macro block to propose; None if it does not come next above the head."""
        parent = self._chain.head
        if parent.number + 1 != number:
            return None
        seed = next_seed(self._keys.signing, parent.seed)
        try:
            header, body = self._chain.propose_macro(round_, seed, self._timestamp(parent))
        except NoStateError:
            return None
        is_above = header.parent_hash == parent.hash
        return MacroContent(header, body) if is_above else None

    def is_valid(self, content: MacroContent) -> bool | None:
        """Verify and execute a proposed macro block; None while its parent or the state is away."""
        if not self._chain.contains(content.header.parent_hash):
            return None
        try:
            return self._chain.check_proposal(content.header, content.body) is None
        except NoStateError:
            return None

    def proposal(
        self, round_: int, valid_round: int | None, content: MacroContent, own_index: int
    ) -> SignedProposal:
        """Sign a proposal. It may leave this node only after `store`."""
        number = content.header.number
        message = proposal_message(self._network, number, round_, valid_round, content.hash)
        proposal = Proposal(
            round=round_,
            valid_round=valid_round,
            proposer=own_index,
            header=content.header.encoded,
            body=content.body.encoded,
            signature=self._keys.signing.sign(message),
        )
        return SignedProposal(proposal, content)

    def store(self, record: MacroRecord) -> None:
        """Note durably what is going to be signed or published."""
        self._signed.save_macro(record)

    def vote(self, number: Height, vote: OwnVote, own_index: int) -> Vote:
        """Sign a vote that is stored; the same vote again gives the same bytes."""
        signature = self._votes.get((number, vote))
        if signature is None:
            make = prevote_message if vote.kind is VoteKind.PREVOTE else precommit_message
            signature = self._keys.voting.sign(make(self._network, number, vote.round, vote.block))
            if len(self._votes) >= VOTES_REMEMBERED:
                del self._votes[next(iter(self._votes))]
            self._votes[number, vote] = signature
        return Vote(
            kind=vote.kind,
            number=number,
            round=vote.round,
            block=vote.block,
            validator=own_index,
            signature=signature,
        )

    def macro_block(
        self, content: MacroContent, round_: int, precommits: Sequence[tuple[int, bytes]]
    ) -> Block:
        """Make the final macro block from a quorum of precommits."""
        justification = QuorumSignature(round_, *_aggregate(precommits))
        return Block(content.header, justification, content.body)

    def _timestamp(self, parent: Header) -> int:
        on_time = parent.timestamp + self._chain.policy.block_separation_ms
        return max(self._clock.now_ms(), on_time)


def _aggregate(votes: Sequence[tuple[int, bytes]]) -> tuple[bytes, SignerSet]:
    """Add up verified signatures of (validator, signature)."""
    signature = bls.aggregate([signature for _, signature in votes])
    return signature, SignerSet.of(index for index, _ in votes)
