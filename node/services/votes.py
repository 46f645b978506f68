"""Reads the VOTES topic on any node: verdicts for gossip, verified messages for the validator."""

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import structlog
import trio

from node.chain.view import ChainView
from node.crypto.bls import KeyCache
from node.gossip.votes import Judgement, Unverified, VoteContent, VoteFilter
from node.net.network import GossipMessage, Network, Verdict
from protocols.ids import Topic

log = structlog.get_logger("votes")

Deliver: TypeAlias = Callable[[VoteContent], Awaitable[None]]
"""Takes a verified message; may wait, which holds the topic back."""


class VotesService:
    """Gives every vote its verdict, one after the other."""

    def __init__(
        self,
        *,
        network: Network,
        chain: ChainView,
        keys: KeyCache,
        deliver: Deliver | None,
        in_thread: bool,
    ) -> None:
        """Subscribe. Before the network runs.

        Args:
            network: Whose topic is read.
            chain: Says which validators vote now.
            keys: Decoded voting keys.
            deliver: Where accepted messages go, if this node is a validator.
            in_thread: Check signatures in a worker thread. False in virtual time.
        """
        self._network = network
        self._filter = VoteFilter(chain)
        self._keys = keys
        self._deliver = deliver
        self._in_thread = in_thread
        self._messages = network.subscribe(Topic.VOTES)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Judge messages until cancelled; then the current one gets no verdict."""
        task_status.started()
        async for message in self._messages:
            judgement = await self._judge(message)
            self._network.resolve(message.id, judgement.verdict)
            if judgement.verdict is Verdict.REJECT:
                log.debug("vote_rejected", peer=message.sender)
            if judgement.content is not None and self._deliver is not None:
                await self._deliver(judgement.content)

    async def _judge(self, message: GossipMessage) -> Judgement:
        screened = self._filter.screen(message.payload, message.sender, trio.current_time())
        if isinstance(screened, Judgement):
            return screened
        is_signed = await self._verify(screened)
        return self._filter.conclude(screened, trio.current_time(), is_signed=is_signed)

    async def _verify(self, unverified: Unverified) -> bool:
        if self._in_thread:
            return await trio.to_thread.run_sync(unverified.is_signed, self._keys)
        return unverified.is_signed(self._keys)
