"""Carries out what the macro machine of a validator decides."""

from collections import deque

import structlog
import trio

from node.blocks.block import Block
from node.services.validator_work import ValidatorWork
from node.validator.macro_events import (
    CastVote,
    CheckContent,
    ContentChecked,
    ContentCreated,
    CreateContent,
    DeadlinePassed,
    Decide,
    MacroEffect,
    MacroEvent,
    ProposalSigned,
    PublishProposal,
    Repeat,
    SignProposal,
    VoteArrived,
)
from node.validator.macro_machine import MacroMachine
from node.validator.macro_values import OwnVote
from node.validator.signer import Signer
from protocols.types import Height

log = structlog.get_logger("validator")


class MacroVoter:
    """The macro machine of one height and its hands. Used by one task."""

    def __init__(self, work: ValidatorWork, machine: MacroMachine, own_index: int) -> None:
        self._work = work
        self._machine = machine
        self._own_index = own_index
        self.decided: Block | None = None
        """The final block, once a quorum of precommits has been seen. Nobody has pushed it yet."""

    @property
    def number(self) -> Height:
        """Height that is voted on."""
        return self._machine.number

    @property
    def round(self) -> int | None:
        """Current round, or None before the first."""
        return self._machine.round

    def next_deadline(self) -> float | None:
        """Clock time at which to call `pass_deadline`."""
        return self._machine.next_deadline()

    async def pass_deadline(self) -> None:
        """Act on a deadline that has come."""
        deadline = self._machine.next_deadline()
        if deadline is not None and deadline <= trio.current_time():
            await self.feed(DeadlinePassed())

    async def feed(self, event: MacroEvent) -> None:
        """Pass an event on, and carry out what follows from it, and from that.

        Effects are carried out in the order of the machine, answers come after all of them: so
        records reach the disk in the order in which they grew.
        """
        events = deque([event])
        while events:
            for effect in self._machine.handle(events.popleft(), trio.current_time()):
                events.extend(await self._perform(effect))

    async def _perform(self, effect: MacroEffect) -> tuple[MacroEvent, ...]:
        match effect:
            case CreateContent() | CheckContent() | SignProposal():
                return await self._prepare(effect)
            case PublishProposal(proposal, record):
                await self._work.compute(self._signer.store, record)
                await self._work.publish(proposal.message)
                return ()
            case CastVote(vote, record):
                await self._work.compute(self._signer.store, record)
                return (await self._cast(vote),)
            case Repeat(own_votes, messages):
                for message in messages:
                    await self._work.publish(message)
                return tuple([await self._cast(vote) for vote in own_votes])
            case Decide():
                await self._decide(effect)
                return ()

    @property
    def _signer(self) -> Signer:
        return self._work.signer

    async def _prepare(
        self, effect: CreateContent | CheckContent | SignProposal
    ) -> tuple[MacroEvent, ...]:
        """Do work whose result nobody else sees yet."""
        compute = self._work.compute
        match effect:
            case CreateContent(round_):
                created = await compute(self._signer.macro_content, self.number, round_)
                return () if created is None else (ContentCreated(round_, created),)
            case CheckContent(round_, content):
                is_valid = await compute(self._signer.is_valid, content)
                # Without its parent it waits: for the parent as our head, or for the next round.
                return () if is_valid is None else (ContentChecked(round_, content.hash, is_valid),)
            case SignProposal(round_, valid_round, content):
                proposal = await compute(
                    self._signer.proposal, round_, valid_round, content, self._own_index
                )
                return (ProposalSigned(proposal),)

    async def _cast(self, own_vote: OwnVote) -> VoteArrived:
        """Sign and publish a vote that is stored."""
        vote = await self._work.compute(self._signer.vote, self.number, own_vote, self._own_index)
        await self._work.publish(vote)
        return VoteArrived(vote)

    async def _decide(self, effect: Decide) -> None:
        self.decided = await self._work.compute(
            self._signer.macro_block, effect.content, effect.round, effect.precommits
        )
        log.info("macro_block_decided", number=self.number, round=effect.round)
