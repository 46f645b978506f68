"""Fills and empties the mempool: gossip and clients of ours on one side, the chain on the other.

Only on nodes that keep state.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import structlog
import trio

from node.accounts.transaction import Transaction
from node.blocks.body import EMPTY_MICRO_BODY, MicroBody, decode_body
from node.blocks.header import Header, MicroHeader
from node.blocks.slices import transaction_hashes
from node.chain.chain import Chain
from node.chain.results import (
    ChainEvent,
    EpochFinalized,
    EquivocationFound,
    Extended,
    Finalized,
    HistoryAdopted,
    Rebranched,
    Stored,
)
from node.errors import NoStateError
from node.gossip.transactions import (
    TRANSACTIONS_PER_PEER,
    Judgement,
    Refusal,
    admit,
    judge_transaction,
)
from node.net.network import GossipMessage, Network, Verdict
from node.services.chain_writer import ChainWriter
from node.validator.mempool import Mempool, MempoolLimits
from protocols.ids import Topic
from protocols.rate_limit import RateLimiter
from protocols.types import Hash32, Height, PeerId

log = structlog.get_logger("mempool")

MAX_PEERS: Final = 1024
"""Peers remembered for their rate: more than can be connected."""


class MempoolService:
    """The mempool of one node. Its changes never wait, so its tasks need no lock."""

    def __init__(
        self,
        *,
        network: Network,
        chain: Chain,
        writer: ChainWriter,
        limits: MempoolLimits | None = None,
    ) -> None:
        """Subscribe. Before the network runs."""
        self._network = network
        self._chain = chain
        self.mempool: Final = Mempool(
            validity_window_blocks=chain.policy.validity_window_blocks, limits=limits
        )
        self.mempool.on_head(chain.head.number)
        self._included: dict[Hash32, bytes] = {}
        """Bodies of blocks above the last macro block, which may still be reverted. By then their
        block may be deleted. Encoded, because almost none ever is."""
        self._events = writer.subscribe()
        self._messages = network.subscribe(Topic.TRANSACTIONS)
        self._peers: RateLimiter[PeerId] = RateLimiter(TRANSACTIONS_PER_PEER, max_keys=MAX_PEERS)

    async def submit(self, transaction: Transaction) -> Refusal | None:
        """Take a transaction of a client and announce it, or say why not.

        Cancelled, it may wait here without having been announced.
        """
        try:
            refusal = admit(transaction, self._chain, self.mempool)
        except NoStateError:
            return Refusal.NO_STATE
        if refusal is None:
            await self._network.publish(Topic.TRANSACTIONS, transaction.encode())
        return refusal

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow gossip and chain until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._follow_chain)
            task_status.started()
            async for message in self._messages:
                judgement = self._judge(message)
                self._network.resolve(message.id, judgement.verdict)
                if judgement.verdict is Verdict.REJECT:
                    reason = judgement.refusal or "malformed"
                    log.debug("transaction_rejected", peer=message.sender, reason=str(reason))

    def _judge(self, message: GossipMessage) -> Judgement:
        if not self._peers.take(message.sender, trio.current_time()):
            return Judgement(Verdict.IGNORE)
        try:
            return judge_transaction(message.payload, self._chain, self.mempool)
        except NoStateError:
            return Judgement(Verdict.IGNORE, Refusal.NO_STATE)

    async def _follow_chain(self) -> None:
        async for event in self._events:
            self._on_chain_event(event)

    def _on_chain_event(self, event: ChainEvent) -> None:
        match event:
            case Extended(block):
                self._on_adopted([block])
            case Rebranched(reverted, adopted):
                self._on_reverted(reverted)
                self._on_adopted(adopted)
            case HistoryAdopted(first, last):
                # Which of ours are in it comes out when they are removed again.
                self._on_reverted(tuple(self._included))
                self._on_adopted(self._main_chain(first, last))
            case Finalized():
                self._included.clear()
            case Stored() | EpochFinalized() | EquivocationFound():
                pass

    def _on_adopted(self, blocks: Iterable[Hash32]) -> None:
        for block in blocks:
            self._take_in(block)
        self.mempool.on_head(self._chain.head.number)

    def _take_in(self, block: Hash32) -> None:
        """Let what a block has wait no longer, and keep what may have to wait again.

        While we catch up there is neither, and reading every body a second time costs more than all
        else that follows a push.
        """
        header = self._chain.header(block)
        # A later event may have closed its branch, and deleted it.
        if header is None or not _has_transactions(header):
            return
        is_final = header.number <= self._chain.macro_head.number
        if is_final and not len(self.mempool):
            return
        body = self._chain.body_bytes(block)
        if body is None:
            return
        if len(self.mempool):
            self.mempool.remove(transaction_hashes(body))
        if not is_final:
            self._included[block] = body

    def _on_reverted(self, blocks: Iterable[Hash32]) -> None:
        """Let them wait again. Whether they are still affordable shows when a block is made."""
        for block in blocks:
            for transaction in self._reverted(block):
                self.mempool.add(transaction)

    def _reverted(self, block: Hash32) -> tuple[Transaction, ...]:
        encoded = self._included.pop(block, None)
        body = None if encoded is None else decode_body(encoded)
        return body.transactions if isinstance(body, MicroBody) else ()

    def _main_chain(self, first: Height, last: Height) -> Iterator[Hash32]:
        for height in range(first, last + 1):
            if (block := self._chain.hash_at(height)) is not None:
                yield block


def _has_transactions(header: Header) -> bool:
    is_micro = isinstance(header, MicroHeader)
    return is_micro and header.body_root != EMPTY_MICRO_BODY.root
