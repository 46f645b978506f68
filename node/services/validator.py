"""Drives one validator: feeds its two machines and does what they say.

    chain events --> wake-up --+
    votes, verified -----------+--> inbox --> machine --> sign, push, publish --> answer --> machine

Only the task in `run` touches the machines. It reads the head itself after every event, so that a
wake-up may be lost in a full inbox without harm, and the writer never waits for this task.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import trio

from node.chain.chain import Chain
from node.clock import WallClock
from node.gossip.votes import VoteContent
from node.keys import NodeKeys
from node.net.network import Network
from node.services.chain_writer import ChainWriter
from node.services.macro_voter import MacroVoter
from node.services.micro_producer import MicroProducer
from node.services.validator_work import ValidatorWork
from node.storage.store import Store
from node.validator import macro_events as macro
from node.validator import micro_machine as micro
from node.validator.macro_machine import MacroMachine
from node.validator.macro_timeouts import MacroTimeouts
from node.validator.macro_values import SignedProposal
from node.validator.mempool import Mempool
from node.validator.position import Position
from node.validator.signed_store import SignedStore
from node.validator.signer import Signer
from protocols.messages.votes import SkipVote, Vote
from protocols.types import Hash32

INBOX_SIZE: Final = 1024
"""Votes of 512 validators at once; whoever delivers more waits, and gossip ignores the rest."""

CONSENSUS_POLL_S: Final = 0.5
"""How late a change of consensus may be noticed: short beside the seconds it takes to change."""


@dataclass(frozen=True, slots=True)
class _WakeUp:
    """The chain has changed."""


_Item: TypeAlias = VoteContent | _WakeUp


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidatorStatus:
    """What a validator tells of itself."""

    index: int | None
    """Position among the validators of the epoch; None while it is not elected."""
    macro_round: int | None
    """Round of the next macro block; None while it is not voted on."""
    produced: int
    """Blocks produced since the start."""
    skipped: int
    """Skip blocks built since the start."""


class ValidatorService:
    """One validator. Its votes service hands verified messages to `deliver`."""

    def __init__(
        self,
        *,
        chain: Chain,
        writer: ChainWriter,
        network: Network,
        keys: NodeKeys,
        store: Store,
        clock: WallClock,
        is_established: Callable[[], bool],
        mempool: Mempool | None,
        in_thread: bool,
    ) -> None:
        """Prepare; nothing is signed before `run`.

        Args:
            chain: With state.
            writer: Of that chain.
            network: Where votes and blocks are published.
            keys: Of the validator.
            store: Where its votes are noted.
            clock: For timestamps.
            is_established: Whether consensus is: nothing is signed otherwise.
            mempool: Where transactions wait, if they are gathered.
            in_thread: Sign and execute in worker threads. False in virtual time, whose clock does
                not wait for threads.
        """
        self._chain = chain
        self._public_key: Final = keys.signing.public_key
        self._clock = clock
        self._is_established = is_established
        signer = Signer(chain=chain, keys=keys, signed=SignedStore(store), clock=clock)
        self._work = ValidatorWork(
            signer=signer, writer=writer, network=network, in_thread=in_thread
        )
        self._producer = MicroProducer(self._work, chain.policy, mempool)
        self._voter: MacroVoter | None = None
        self._own_index: int | None = None
        self._batch: Hash32 | None = None
        self._told: tuple[Hash32, bool] | None = None
        self._events = writer.subscribe()
        self._inbox_sender, self._inbox = trio.open_memory_channel[_Item](INBOX_SIZE)

    def status(self) -> ValidatorStatus:
        """Return what the validator is doing."""
        return ValidatorStatus(
            index=self._own_index,
            macro_round=None if self._voter is None else self._voter.round,
            produced=self._producer.produced,
            skipped=self._producer.skipped,
        )

    async def deliver(self, content: VoteContent) -> None:
        """Hand over a verified message of the VOTES topic. Waits while the inbox is full."""
        await self._inbox_sender.send(content)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Take part until cancelled. Whatever has been published by then is stored.

        Raises:
            DataFolderError: What was signed before cannot be read.
            StorageError: The disk refused to note what was to be signed.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._watch_chain)
            task_status.started()
            while True:
                await self._follow_head()
                await self._producer.pass_deadline()
                if self._voter is not None:
                    await self._voter.pass_deadline()
                item = await self._next_item()
                if item is not None and not isinstance(item, _WakeUp):
                    await self._on_content(item)

    async def _watch_chain(self) -> None:
        """Wake the driver up. It never waits, so that a push of the driver cannot wait for it."""
        async for _ in self._events:
            try:
                self._inbox_sender.send_nowait(_WakeUp())
            except trio.WouldBlock:
                # The inbox is full of things after each of which the driver reads the head.
                continue

    async def _next_item(self) -> _Item | None:
        """Wait for a message or wake-up, or return None when a deadline or poll is due."""
        poll_at = trio.current_time() + CONSENSUS_POLL_S
        with trio.move_on_at(min([poll_at, *self._deadlines()])):
            return await self._inbox.receive()
        return None

    def _deadlines(self) -> Iterator[float]:
        for machine in (self._producer, self._voter):
            deadline = None if machine is None else machine.next_deadline()
            if deadline is not None:
                yield deadline

    async def _on_content(self, content: VoteContent) -> None:
        match content:
            case SkipVote():
                await self._producer.feed(micro.SkipVoteArrived(content))
            case Vote():
                await self._feed_voter(content.number, macro.VoteArrived(content))
            case SignedProposal():
                number = content.content.header.number
                await self._feed_voter(number, macro.ProposalArrived(content))

    async def _feed_voter(self, number: int, event: macro.MacroEvent) -> None:
        # The filter let the message pass on an older head, perhaps.
        if self._voter is not None and self._voter.number == number:
            await self._voter.feed(event)
            await self._push_decided()

    async def _follow_head(self) -> None:
        """Tell the machines where the head is, if it or consensus has changed."""
        await self._push_decided()
        position = Position.of(self._chain)
        if position.macro.hash != self._batch:
            await self._enter_batch(position)
        is_active = self._own_index is not None and self._is_established()
        if self._told == (position.head.hash, is_active):
            return
        self._told = (position.head.hash, is_active)
        if not is_active or position.is_macro_next:
            await self._producer.feed(micro.Halted())
        if self._voter is not None and not (is_active and position.is_macro_next):
            await self._voter.feed(macro.Halted())
        if is_active:
            await self._take_turn(position)

    async def _enter_batch(self, position: Position) -> None:
        """Start on a batch, where a restart may have left its votes."""
        self._batch = position.macro.hash
        self._own_index = position.validators.index_of(self._public_key)
        self._voter = None
        if self._own_index is None:
            return
        self._producer.enter_batch(position.validators, self._own_index)
        number = position.macro_number
        machine = MacroMachine(
            number=number,
            validators=position.validators,
            own_index=self._own_index,
            policy=position.policy,
            timeouts=MacroTimeouts.of(position.policy),
            restored=await self._work.compute(self._work.signer.macro_record, number),
        )
        self._voter = MacroVoter(self._work, machine, self._own_index)

    async def _take_turn(self, position: Position) -> None:
        """Start the turn of the block above the head."""
        head = position.head
        # A parent of the future says that somebody's clock is wrong. Waiting for that time would
        # stop the chain; and timestamps that only count on keep their distance to the clock.
        age_s = max(0, self._clock.now_ms() - head.timestamp) / 1000
        parent_at = trio.current_time() - age_s
        if position.is_macro_next:
            opens_at = parent_at + position.policy.block_separation_ms / 1000
            event = macro.ParentReached(head.hash, opens_at, position.proposers())
            await self._feed_voter(position.next_number, event)
            return
        turn = micro.Turn(
            number=position.next_number,
            parent=head.hash,
            parent_seed=head.seed,
            parent_at=parent_at,
            is_ours=position.producer() == self._own_index,
        )
        await self._producer.feed(micro.TurnStarted(turn))

    async def _push_decided(self) -> None:
        """Push the macro block that was decided; later, if its parent is not here yet."""
        voter = self._voter
        if voter is None or voter.decided is None:
            return
        if self._chain.contains(voter.decided.parent_hash):
            block, voter.decided = voter.decided, None
            await self._work.push_and_publish(block)
