"""Carries out what the micro machine of a validator decides."""

from collections import deque
from typing import Final

import structlog
import trio

from node.accounts.transaction import Transaction
from node.blocks.validators import Validators
from node.chain.proposals import transactions_room
from node.policy import Policy
from node.services.validator_work import ValidatorWork
from node.validator.mempool import Mempool
from node.validator.micro_machine import (
    BuildSkipBlock,
    CastSkipVote,
    DeadlinePassed,
    MicroEffect,
    MicroEvent,
    MicroMachine,
    ProduceBlock,
    SkipVoteArrived,
    Turn,
)

log = structlog.get_logger("validator")


class MicroProducer:
    """A micro machine and its hands. Used by one task."""

    def __init__(self, work: ValidatorWork, policy: Policy, mempool: Mempool | None) -> None:
        self._work = work
        self._machine = MicroMachine(policy)
        self._mempool = mempool
        self._room_bytes: Final = transactions_room(policy)
        self._own_index = 0
        self.produced = 0
        """Blocks produced since the start."""
        self.skipped = 0
        """Skip blocks built since the start."""

    def enter_batch(self, validators: Validators, own_index: int) -> None:
        """Count the votes of these validators from now on; we are the one at `own_index`."""
        self._own_index = own_index
        self._machine.use_validators(validators)

    def next_deadline(self) -> float | None:
        """Clock time at which to call `pass_deadline`."""
        return self._machine.next_deadline()

    async def pass_deadline(self) -> None:
        """Act on a deadline that has come."""
        deadline = self._machine.next_deadline()
        if deadline is not None and deadline <= trio.current_time():
            await self.feed(DeadlinePassed())

    async def feed(self, event: MicroEvent) -> None:
        """Pass an event on, and carry out what follows from it, and from that."""
        events = deque([event])
        while events:
            for effect in self._machine.handle(events.popleft(), trio.current_time()):
                events.extend(await self._perform(effect))

    async def _perform(self, effect: MicroEffect) -> tuple[MicroEvent, ...]:
        match effect:
            case ProduceBlock(turn):
                await self._produce(turn)
                return ()
            case CastSkipVote(turn):
                vote = await self._work.compute(self._work.signer.skip_vote, turn, self._own_index)
                await self._work.publish(vote)
                return (SkipVoteArrived(vote),)
            case BuildSkipBlock(turn, votes):
                await self._build_skip_block(turn, votes)
                return ()

    async def _produce(self, turn: Turn) -> None:
        waiting: tuple[Transaction, ...] = ()
        if self._mempool is not None:
            waiting = self._mempool.select(max_bytes=self._room_bytes)
        made = await self._work.compute(self._work.signer.micro_block, turn, waiting)
        if made is None:
            return
        if self._mempool is not None:
            # They fit and were in time: somebody else's spending has made them impossible.
            self._mempool.remove(made.left_out)
        if await self._work.push_and_publish(made.block):
            self.produced += 1

    async def _build_skip_block(self, turn: Turn, votes: tuple[tuple[int, bytes], ...]) -> None:
        block = await self._work.compute(self._work.signer.skip_block, turn, votes)
        if block is not None and await self._work.push_and_publish(block):
            self.skipped += 1
            log.info("producer_skipped", number=turn.number)
