"""What the driver of a validator does for both of its machines."""

from collections.abc import Callable
from functools import partial
from typing import ParamSpec, TypeVar

import structlog
import trio

from node.blocks.block import Block
from node.chain.results import Orphan, Pushed, PushOutcome
from node.net.network import Network
from node.services.block_publisher import publish_block
from node.services.chain_writer import ChainWriter
from node.services.sync_journal import outcome_of
from node.services.workers import carry_out
from node.validator.signer import Signer
from protocols.ids import Topic
from protocols.messages.votes import VoteMessage

log = structlog.get_logger("validator")

ParametersT = ParamSpec("ParametersT")
ResultT = TypeVar("ResultT")


class ValidatorWork:
    """Signing, pushing and publishing."""

    def __init__(
        self, *, signer: Signer, writer: ChainWriter, network: Network, in_thread: bool
    ) -> None:
        """Prepare.

        Args:
            signer: Makes what is published.
            writer: Of the signer's chain.
            network: Where it is published.
            in_thread: Compute in worker threads. False in virtual time, whose clock does not wait
                for threads.
        """
        self.signer = signer
        self._writer = writer
        self._network = network
        self._in_thread = in_thread

    async def compute(
        self,
        work: Callable[ParametersT, ResultT],
        *arguments: ParametersT.args,
        **keywords: ParametersT.kwargs,
    ) -> ResultT:
        """Do work of the signer off the trio thread. Cancelled, the work still ends first."""
        return await carry_out(partial(work, *arguments, **keywords), in_thread=self._in_thread)

    async def publish(self, message: VoteMessage) -> None:
        """Publish a message of ours on the VOTES topic."""
        await self._network.publish(Topic.VOTES, message.encode())

    async def push_and_publish(self, block: Block) -> bool:
        """Push a block of ours; announce it and return True if it is the new head."""
        began = trio.current_time()
        (result,) = await self._writer.push([block])
        log.debug(
            "own_block_pushed",
            number=block.number,
            block=block.hash,
            outcome=outcome_of(result),
            seconds=round(trio.current_time() - began, 6),
        )
        if isinstance(result, Pushed):
            if result.outcome in (PushOutcome.EXTENDED, PushOutcome.REBRANCHED):
                await publish_block(self._network, block)
                return True
            return False
        # An orphan's parent was taken away by a rebranch meanwhile. The rest is our own mistake.
        if not isinstance(result, Orphan):
            log.error("own_block_refused", number=block.number, reason=repr(result))
        return False
