"""What following the chain and its peers tells: one event for all that one may want to see or plot.

    peer_joined, peer_left         of the network, with the reason why it left
    peer_outdated                  it is not followed any more: far behind, or above us
    blocks_pushed                  a push of the sync: count, last block, outcome, seconds
    blocks_adopted                 the same of blocks that the macro sync has fetched
    block_accepted                 it is on the main chain: announced, or one that was buffered
    missing_blocks_stored          blocks that were asked for are stored
    block_rejected                 a block broke a rule
    rebranched                     another branch is the main chain
    finalized                      a macro block made its batch final
    equivocation_found             a producer signed two blocks of one height
    consensus_established, consensus_lost

`rebranched` and `equivocation_found` are for operators, all others are of level debug. Seconds
count from when a push was wanted: it may have waited for another one. `request_sent`,
`request_answered`, `request_failed` and `request_cancelled` are told where peers are asked.
"""

from collections.abc import Sequence

import structlog

from node.blocks.block import Block
from node.chain.results import (
    ChainEvent,
    EquivocationFound,
    Finalized,
    InvalidBlock,
    Pushed,
    PushResult,
    Rebranched,
)
from node.net.network import NetworkEvent, PeerJoined, PeerLeft
from node.sync.effects import (
    AdoptBatches,
    AdoptMacroBlocks,
    ConsensusEstablished,
    ConsensusLost,
    PushBlocks,
    SyncEvent,
)
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    Ahead,
    Behind,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from protocols.types import Hash32

log = structlog.get_logger("sync")


def note_peer(event: NetworkEvent) -> None:
    """Tell of a peer that has come or gone."""
    match event:
        case PeerJoined(peer, hello):
            log.debug("peer_joined", peer=peer, height=hello.head_number, agent=hello.agent)
        case PeerLeft(peer, reason):
            log.debug("peer_left", peer=peer, reason=reason.value)


def note_push(push: PushBlocks, results: Sequence[PushResult], seconds: float) -> None:
    """Tell of a push that has ended."""
    source = "announced" if push.headers or push.bodies else "fetched"
    _note_blocks("blocks_pushed", source, push.blocks, results, seconds)


def note_adoption(
    effect: AdoptMacroBlocks | AdoptBatches, results: Sequence[PushResult], seconds: float
) -> None:
    """Tell of blocks that the macro sync has put on the chain."""
    match effect:
        case AdoptMacroBlocks():
            _note_blocks("blocks_adopted", "macro_blocks", effect.blocks, results, seconds)
        case AdoptBatches():
            blocks = [batch.macro for batch in effect.batches]
            _note_blocks("blocks_adopted", "batches", blocks, results, seconds)


def note_sync(event: SyncEvent) -> None:
    """Tell of what the sync machines tell their consumers."""
    match event:
        case AcceptedAnnouncedBlock(block):
            log.debug("block_accepted", block=block, source="announced")
        case AcceptedBufferedBlock(block, size):
            log.debug("block_accepted", block=block, source="buffered", buffered=size)
        case ReceivedMissingBlocks(blocks):
            log.debug("missing_blocks_stored", count=len(blocks), last=blocks[-1])
        case RejectedBlock(block, error):
            reason = "its branch" if error is None else error.value
            log.debug("block_rejected", block=block, reason=reason)
        case Behind(peer) | Ahead(peer):
            log.debug("peer_outdated", peer=peer, reason=type(event).__name__.lower())
        case ConsensusEstablished():
            log.debug("consensus_established")
        case ConsensusLost():
            log.debug("consensus_lost")


def note_chain(event: ChainEvent) -> None:
    """Tell of what pushes have done to the chain, whoever pushed."""
    match event:
        case Rebranched(reverted, adopted):
            log.info(
                "rebranched",
                old=_last(reverted),
                new=_last(adopted),
                reverted=len(reverted),
                adopted=len(adopted),
            )
        case Finalized(block, number, accepted, rejected):
            log.debug(
                "finalized",
                block=block,
                number=number,
                accepted=len(accepted),
                rejected=len(rejected),
            )
        case EquivocationFound(proof):
            log.info("equivocation_found", number=proof.header1.number)
        case _:
            # That a block is new is told by its push.
            pass


def _last(blocks: Sequence[Hash32]) -> Hash32 | None:
    return blocks[-1] if blocks else None


def _note_blocks(
    event: str,
    source: str,
    blocks: Sequence[Block],
    results: Sequence[PushResult],
    seconds: float,
) -> None:
    log.debug(
        event,
        source=source,
        count=len(blocks),
        number=blocks[-1].number,
        block=blocks[-1].hash,
        # A push ends at the first bad block.
        outcome=outcome_of(results[-1]),
        seconds=round(seconds, 6),
    )


def outcome_of(result: PushResult) -> str:
    """Return what came of a block in a word."""
    match result:
        case Pushed(outcome):
            return outcome.value
        case InvalidBlock(error):
            return error.value
        case other:
            return type(other).__name__.lower()
