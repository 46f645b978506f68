"""Agreeing on one macro block: Tendermint's rounds of proposal, prevote and precommit.

Life of one height in one validator:

    WAITING --opens_at, or f+1 slots are in a round--> PROPOSE of the first round
    PROPOSE --proposal or timeout: prevote--> PREVOTE
    PREVOTE --quorum of prevotes or timeout: precommit--> PRECOMMIT
    PRECOMMIT --timeout after a quorum of any precommits--> PROPOSE of the next round
    any round --f+1 slots are in a higher round--> PROPOSE of that round
    any --quorum of precommits for a known block--> DECIDED

Safety: a validator that precommitted to A is locked on it, and prevotes another block only when
a quorum has prevoted for that one in a newer round. Locks and votes are in the record that goes
with every vote; the vote is published after the record is stored.

Source: Buchman, Kwon, Milosevic, "The latest gossip on BFT consensus", algorithm 1; the arrows
below name its lines. Differences: votes are weighted by slots; a jump looks at the round that
f+1 slots have reached at least; a block that a quorum has prevoted for counts as valid, because
an honest one among them has checked it, while our own head may have moved to another branch.
Evidence of equivocation is not collected yet: the vote book sees both votes.
"""

from enum import Enum
from typing import Final

from node.blocks.validators import Validators
from node.policy import Policy
from node.validator.macro_events import (
    CastVote,
    CheckContent,
    ContentChecked,
    ContentCreated,
    CreateContent,
    DeadlinePassed,
    Decide,
    Halted,
    MacroEffect,
    MacroEvent,
    ParentReached,
    ProposalArrived,
    ProposalSigned,
    PublishProposal,
    Repeat,
    SignProposal,
    VoteArrived,
)
from node.validator.macro_timeouts import MacroTimeouts
from node.validator.macro_values import MacroRecord, OwnVote, Polka, SignedProposal
from node.validator.proposal_book import ProposalBook
from node.validator.vote_book import VoteBook
from protocols.messages.votes import Vote, VoteKind, VoteMessage
from protocols.types import Hash32, Height

ROUNDS_BEHIND: Final = 4
"""Older votes are forgotten, except those that a lock or a proposal refers to. Validators are one
round apart when all messages arrive; 4 leaves room for lost ones."""

ROUNDS_AHEAD: Final = 4
"""Newer votes are not kept: to know that their voter is there is enough to follow it."""


class Step(Enum):
    """Where a validator is within a round."""

    PROPOSE = "propose"
    PREVOTE = "prevote"
    PRECOMMIT = "precommit"


class MacroMachine:
    """One validator's part in agreeing on one macro block."""

    def __init__(
        self,
        *,
        number: Height,
        validators: Validators,
        own_index: int,
        policy: Policy,
        timeouts: MacroTimeouts,
        restored: MacroRecord | None = None,
    ) -> None:
        self.number: Final = number
        self._own_index = own_index
        self._timeouts = timeouts
        self._votes = VoteBook(validators, quorum=policy.quorum, f_plus_one=policy.f_plus_one)
        self._proposals = ProposalBook()
        self._effects: list[MacroEffect] = []
        self._parent: ParentReached | None = None
        self._round: int | None = None
        self._first_round = 0
        self._step = Step.PROPOSE
        self._is_decided = False
        self._own_votes: tuple[OwnVote, ...] = ()
        self._own_proposal: SignedProposal | None = None
        self._locked: Polka | None = None
        self._valid: Polka | None = None
        self._valid_blocks: set[Hash32] = set()
        self._checks: dict[tuple[int, Hash32], bool | None] = {}
        self._step_deadline: float | None = None
        self._round_deadline: float | None = None
        self._repeat_at: float | None = None
        if restored is not None:
            self._restore(restored)

    @property
    def round(self) -> int | None:
        """Current round, or None before the first."""
        return self._round

    @property
    def is_decided(self) -> bool:
        """Whether a quorum of precommits has been seen."""
        return self._is_decided

    @property
    def kept(self) -> int:
        """Votes' rounds and proposals in memory, for tests of the bounds."""
        return len(self._votes.rounds) + len(self._proposals) + len(self._checks)

    def handle(self, event: MacroEvent, now: float) -> list[MacroEffect]:
        """Apply one event and return what to do about it, in order.

        Args:
            event: What happened.
            now: Monotonic clock, seconds. Must never go backwards between calls.
        """
        if self._is_decided:
            return []
        self._apply(event)
        while self._fire_one_rule(now):
            pass
        effects, self._effects = self._effects, []
        return effects

    def next_deadline(self) -> float | None:
        """Clock time at which to pass `DeadlinePassed`; None while halted or decided."""
        if self._is_decided or self._parent is None:
            return None
        if self._round is None:
            return self._parent.opens_at
        deadlines = (self._step_deadline, self._round_deadline, self._repeat_at)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def _apply(self, event: MacroEvent) -> None:
        match event:
            case ParentReached():
                self._on_parent_reached(event)
            case Halted():
                self._parent = None
            case ProposalArrived(proposal):
                self._on_proposal_arrived(proposal)
            case VoteArrived(vote):
                self._on_vote_arrived(vote)
            case ContentCreated() | ContentChecked() | ProposalSigned():
                self._on_answer(event)
            case DeadlinePassed():
                pass

    def _on_answer(self, event: ContentCreated | ContentChecked | ProposalSigned) -> None:
        match event:
            case ContentCreated(round_, content):
                if round_ == self._round and self._step is Step.PROPOSE:
                    self._valid_blocks.add(content.hash)
                    self._effects.append(SignProposal(round_, None, content))
            case ContentChecked(round_, block, is_valid):
                self._checks[round_, block] = is_valid
                if is_valid:
                    self._valid_blocks.add(block)
            case ProposalSigned(proposal):
                self._on_proposal_signed(proposal)

    def _on_parent_reached(self, parent: ParentReached) -> None:
        """Halted -> active, or on top of another parent: what was checked must be checked anew."""
        if self._parent is None or self._parent.parent != parent.parent:
            self._valid_blocks.clear()
            self._checks.clear()
            self._proposals.drop_strangers(parent.proposer_of)
        self._parent = parent

    def _on_proposal_arrived(self, proposal: SignedProposal) -> None:
        """Keep it if its round is near and its signer proposes there, or if votes ask for it."""
        if self._is_wanted(proposal.hash):
            self._proposals.add_content(proposal)
        if proposal.round not in self._near_rounds():
            return
        signer = proposal.message.proposer
        if self._parent is None or self._parent.proposer_of(proposal.round) == signer:
            self._proposals.add(proposal)

    def _on_vote_arrived(self, vote: Vote) -> None:
        if vote.round in self._kept_rounds():
            is_known = vote.block is None or self._known(vote.block) is not None
            self._votes.add(vote, is_known=is_known)
        else:
            self._votes.note_round(vote.validator, vote.round)

    def _on_proposal_signed(self, proposal: SignedProposal) -> None:
        if proposal.round == self._round and self._own_proposal is None:
            self._own_proposal = proposal
            self._proposals.add(proposal)
            self._effects.append(PublishProposal(proposal, self._record()))

    def _fire_one_rule(self, now: float) -> bool:
        if self._is_decided:
            return False
        if self._decide():
            return True
        if self._parent is None:
            return False
        if self._start_or_jump(now):
            return True
        if self._round is None:
            return False
        return (
            self._prevote_for_proposal(self._round, now)
            or self._take_polka(self._round, now)
            or self._precommit_nil(self._round, now)
            or self._start_timers(self._round, now)
            or self._expire(self._round, now)
            or self._repeat(self._round, now)
        )

    def _decide(self) -> bool:
        """Any -> DECIDED: a quorum of precommits for a block that we know (line 49)."""
        for round_ in self._votes.rounds:
            block = self._votes.quorum_block(round_, VoteKind.PRECOMMIT)
            proposal = None if block is None else self._known(block)
            if proposal is not None:
                signatures = self._votes.signatures(round_, VoteKind.PRECOMMIT, proposal.hash)
                self._effects.append(Decide(proposal.content, round_, signatures))
                self._is_decided = True
                return True
        return False

    def _start_or_jump(self, now: float) -> bool:
        """WAITING -> PROPOSE in time; any -> PROPOSE of a round that f+1 slots are in (line 55)."""
        others = self._votes.round_of_f_plus_one()
        if self._round is None:
            if others is None and (self._parent is None or now < self._parent.opens_at):
                return False
            self._enter_round(max(self._first_round, others or 0), now)
            return True
        if others is None or others <= self._round:
            return False
        self._enter_round(others, now)
        return True

    def _enter_round(self, round_: int, now: float) -> None:
        """Any -> PROPOSE (line 11), or where a restart left this round."""
        self._round = round_
        self._round_deadline = None
        self._repeat_at = now + self._timeouts.repeat_s
        self._forget_old_rounds()
        if self._own_proposal is not None:
            self._proposals.add(self._own_proposal)
        voted = {vote.kind for vote in self._own_votes if vote.round == round_}
        if voted:
            self._step = Step.PRECOMMIT if VoteKind.PRECOMMIT in voted else Step.PREVOTE
            self._step_deadline = None
        else:
            self._step = Step.PROPOSE
            self._step_deadline = now + self._timeouts.propose(round_)
        if voted or self._own_proposal is not None:
            # Restarted in this round. Our messages may never have left, and our book is empty.
            self._repeat_at = now
        elif self._is_proposer(round_):
            self._propose(round_)

    def _propose(self, round_: int) -> None:
        """Propose what could still be decided, or a new block (line 14)."""
        if self._valid is not None:
            content = self._valid.proposal.content
            self._effects.append(SignProposal(round_, self._valid.round, content))
        else:
            self._effects.append(CreateContent(round_))

    def _prevote_for_proposal(self, round_: int, now: float) -> bool:
        """PROPOSE -> PREVOTE, for the proposal or for nil (lines 22 and 28)."""
        proposal = self._proposals.at(round_)
        if self._step is not Step.PROPOSE or proposal is None:
            return False
        older = proposal.valid_round
        if older is not None and not self._votes.has_quorum(older, VoteKind.PREVOTE, proposal.hash):
            return False
        is_valid = self._permits(proposal) and self._is_valid(round_, proposal)
        if is_valid is None:
            return False
        self._cast(VoteKind.PREVOTE, round_, proposal.hash if is_valid else None, now)
        return True

    def _take_polka(self, round_: int, now: float) -> bool:
        """PREVOTE -> PRECOMMIT: lock on a block with a quorum of prevotes (line 36)."""
        if self._step is Step.PROPOSE or (self._valid and self._valid.round == round_):
            return False
        block = self._votes.quorum_block(round_, VoteKind.PREVOTE)
        proposal = None if block is None else self._known(block)
        if proposal is None:
            return False
        prevotes = self._votes.signatures(round_, VoteKind.PREVOTE, proposal.hash)
        self._valid = Polka(round_, proposal, prevotes)
        if self._step is Step.PREVOTE:
            self._locked = self._valid
            self._cast(VoteKind.PRECOMMIT, round_, proposal.hash, now)
        return True

    def _precommit_nil(self, round_: int, now: float) -> bool:
        """PREVOTE -> PRECOMMIT: a quorum wants none of it (line 44)."""
        if self._step is not Step.PREVOTE:
            return False
        if not self._votes.has_quorum(round_, VoteKind.PREVOTE, None):
            return False
        self._cast(VoteKind.PRECOMMIT, round_, None, now)
        return True

    def _start_timers(self, round_: int, now: float) -> bool:
        """A quorum has voted: wait for the rest only so long (lines 34 and 47)."""
        waits = self._step is Step.PREVOTE and self._step_deadline is None
        if waits and self._votes.has_any_quorum(round_, VoteKind.PREVOTE):
            self._step_deadline = now + self._timeouts.vote(round_)
            return True
        if self._round_deadline is None and self._votes.has_any_quorum(round_, VoteKind.PRECOMMIT):
            self._round_deadline = now + self._timeouts.vote(round_)
            return True
        return False

    def _expire(self, round_: int, now: float) -> bool:
        """A timeout ends the step with a vote for nil, or the round (lines 57, 61 and 65)."""
        if self._round_deadline is not None and self._round_deadline <= now:
            self._enter_round(round_ + 1, now)
            return True
        if self._step_deadline is None or now < self._step_deadline:
            return False
        is_first = self._step is Step.PROPOSE
        self._cast(VoteKind.PREVOTE if is_first else VoteKind.PRECOMMIT, round_, None, now)
        return True

    def _repeat(self, round_: int, now: float) -> bool:
        """Publish again what others may have missed."""
        if self._repeat_at is None or now < self._repeat_at:
            return False
        self._repeat_at = now + self._timeouts.repeat_s
        repeat = Repeat(self._own_votes, self._messages_to_repeat(round_))
        if repeat.own_votes or repeat.messages:
            self._effects.append(repeat)
        return True

    def _cast(self, kind: VoteKind, round_: int, block: Hash32 | None, now: float) -> None:
        """Vote once in a round and kind, and move on to the next step."""
        newest = (vote for vote in self._own_votes if vote.round >= round_ - 1)
        vote = OwnVote(kind, round_, block)
        self._own_votes = (*newest, vote)
        assert len({(v.kind, v.round) for v in self._own_votes}) == len(self._own_votes)
        self._step = Step.PREVOTE if kind is VoteKind.PREVOTE else Step.PRECOMMIT
        self._step_deadline = None
        if self._repeat_at is not None and self._repeat_at > now:
            self._repeat_at = now + self._timeouts.repeat_s
        self._effects.append(CastVote(vote, self._record()))

    def _permits(self, proposal: SignedProposal) -> bool:
        """Tell whether our lock lets us prevote for it."""
        locked, older = self._locked, proposal.valid_round
        if locked is None or locked.hash == proposal.hash:
            return True
        return older is not None and locked.round <= older

    def _is_valid(self, round_: int, proposal: SignedProposal) -> bool | None:
        """Tell whether a block is valid; None while it is being checked or cannot be."""
        block = proposal.hash
        if block in self._valid_blocks or self._votes.has_prevote_quorum(block):
            return True
        key = (round_, block)
        if key not in self._checks:
            # Its parent may be another block than our head, and as good.
            self._checks[key] = None
            self._effects.append(CheckContent(round_, proposal.content))
        return self._checks[key]

    def _is_proposer(self, round_: int) -> bool:
        return self._parent is not None and self._parent.proposer_of(round_) == self._own_index

    def _known(self, block: Hash32) -> SignedProposal | None:
        """Return the proposal of a block from wherever it is kept."""
        for polka in (self._valid, self._locked):
            if polka is not None and polka.hash == block:
                return polka.proposal
        return self._proposals.of(block)

    def _is_wanted(self, block: Hash32) -> bool:
        """Tell whether honest votes refer to a block that we do not know."""
        return self._votes.has_honest_vote(block) and self._known(block) is None

    def _messages_to_repeat(self, round_: int) -> tuple[VoteMessage, ...]:
        """Return the proposals that we stand behind, and the prevotes that our own refers to."""
        current = self._proposals.at(round_)
        backed = {vote.block for vote in self._own_votes}
        messages: list[VoteMessage] = []
        if current is not None and (current is self._own_proposal or current.hash in backed):
            messages.append(current.message)
        if self._valid is not None and self._valid.proposal is not current:
            messages.append(self._valid.proposal.message)
        if self._valid is not None and self._is_proposer(round_):
            messages += self._prevotes_of(self._valid)
        return tuple(messages)

    def _prevotes_of(self, polka: Polka) -> list[Vote]:
        return [
            Vote(
                kind=VoteKind.PREVOTE,
                number=self.number,
                round=polka.round,
                block=polka.hash,
                validator=validator,
                signature=signature,
            )
            for validator, signature in polka.prevotes
        ]

    def _near_rounds(self) -> range:
        current = self._first_round if self._round is None else self._round
        return range(max(current - ROUNDS_BEHIND, 0), current + ROUNDS_AHEAD + 1)

    def _kept_rounds(self) -> set[int]:
        polkas = {polka.round for polka in (self._locked, self._valid) if polka is not None}
        return {*self._near_rounds(), *self._proposals.valid_rounds(), *polkas}

    def _forget_old_rounds(self) -> None:
        rounds = self._near_rounds()
        wanted = {
            block
            for round_ in self._votes.rounds
            for kind in VoteKind
            if (block := self._votes.quorum_block(round_, kind)) is not None
        }
        self._proposals.prune(rounds, wanted)
        self._votes.prune(self._kept_rounds())
        self._checks = {key: ok for key, ok in self._checks.items() if key[0] in rounds}
        if self._own_proposal is not None and self._own_proposal.round != self._round:
            self._own_proposal = None

    def _record(self) -> MacroRecord:
        assert self._round is not None
        return MacroRecord(
            number=self.number,
            round=self._round,
            votes=self._own_votes,
            proposal=self._own_proposal,
            locked=self._locked,
            valid=self._valid,
        )

    def _restore(self, record: MacroRecord) -> None:
        """Go on where a stored record ends; the first round is that of the record."""
        assert record.number == self.number
        self._first_round = record.round
        self._own_votes = record.votes
        self._own_proposal = record.proposal
        self._locked = record.locked
        self._valid = record.valid
        for polka in (record.locked, record.valid):
            for vote in () if polka is None else self._prevotes_of(polka):
                self._votes.add(vote, is_known=True)
