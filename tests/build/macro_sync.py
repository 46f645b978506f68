"""Chains of several epochs and forgeries of them, for the tests of macro sync."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import QuorumSignature
from node.chain.retention import Retention
from node.profiles import MacroSyncKind
from node.sync.effects import SendRequest
from node.sync.live.config import QueueConfig
from node.sync.macro.target import Target
from node.sync.tickets import Asker
from protocols.messages.block import BlockRequest
from protocols.messages.head import HeadRequest, HeadResponse
from protocols.messages.macro_chain import Checkpoint
from protocols.types import Hash32, PeerId
from tests.build.chain import ChainBuilder
from tests.build.keys import SMALL_POLICY
from tests.build.sync import SyncHarness, short_batches

LIGHT = QueueConfig(include_body=False, window_ahead_max=8, tolerate_past_max=4)
"""Two batches ahead, one behind, of the policy with four blocks in a batch and three batches."""

FULL = replace(LIGHT, include_body=True)
"""The same with bodies."""

EPOCH = SMALL_POLICY.epoch_length
BATCH = SMALL_POLICY.batch_length
LONGEST = 5 * EPOCH + BATCH + 1

DISTANCES = {
    "nothing": 0,
    "one batch": BATCH,
    "two batches": 2 * BATCH,
    "an epoch less one batch": EPOCH - BATCH,
    "an epoch": EPOCH,
    "an epoch and one batch": EPOCH + BATCH,
    "two epochs": 2 * EPOCH,
    "two epochs, a batch and a block": 2 * EPOCH + BATCH + 1,
}
"""How far ahead a peer is, in blocks."""


@cache
def chain_of(height: int) -> ChainBuilder:
    """Return the first so many blocks of the longest chain. Shared: never extend it."""
    main = short_batches(LONGEST)
    if height == LONGEST:
        return main
    return main.fork_from(main.block_at(height).hash if height else main.genesis.hash)


def macro_hashes(builder: ChainBuilder) -> list[Hash32]:
    """Return the hashes of all election blocks of a chain above genesis, ascending."""
    heights = range(EPOCH, builder.head.number + 1, EPOCH)
    return [builder.block_at(height).hash for height in heights]


def checkpoint_of(builder: ChainBuilder) -> Checkpoint | None:
    """Return the newest macro block of a chain, if it is no election block."""
    newest = builder.chain.macro_head
    is_election = SMALL_POLICY.is_election(newest.number)
    return None if is_election else Checkpoint(newest.number, newest.hash)


def full(known: int = 0, *, min_peers: int = 1) -> SyncHarness:
    """Return a Full node with so many blocks and their state."""
    return SyncHarness(
        short_batches(LONGEST),
        config=FULL,
        known=known,
        min_peers=min_peers,
        kind=MacroSyncKind.STATE,
        retention=Retention.WINDOW,
    )


def light(known: int = 0, *, pinned: Target | None = None, min_peers: int = 1) -> SyncHarness:
    """Return a Light node with so many blocks."""
    return SyncHarness(
        short_batches(LONGEST),
        config=LIGHT,
        known=known,
        min_peers=min_peers,
        kind=MacroSyncKind.LIGHT,
        pinned=pinned,
    )


def pico(known: int = 0, *, pinned: Target | None = None, min_peers: int = 1) -> SyncHarness:
    """Return a Pico with so many blocks."""
    return SyncHarness(
        short_batches(LONGEST),
        config=LIGHT,
        known=known,
        min_peers=min_peers,
        kind=MacroSyncKind.PICO,
        pinned=pinned,
    )


def target_of(block: Block) -> Target:
    """Return where a block stands."""
    return Target(block.number, block.hash)


def unsigned(block: Block) -> Block:
    """Return a macro block whose quorum signature is nobody's."""
    proof = block.justification
    assert isinstance(proof, QuorumSignature)
    return Block(block.header, replace(proof, signature=bytes(96)), block.body)


def changed(block: Block, **fields: object) -> Block:
    """Return a macro block with another header, which nobody has signed."""
    header = block.header
    assert isinstance(header, MacroHeader)
    return Block(replace(header, **fields), block.justification, block.body)  # type: ignore[arg-type]


@dataclass
class Forger:
    """A peer with macro blocks of its own."""

    peer: PeerId
    blocks: Sequence[Block]
    """Election blocks, then at most one checkpoint, ascending."""

    def claim(self, harness: SyncHarness) -> None:
        """Say that they are the newest."""
        elections = [each for each in self.blocks if SMALL_POLICY.is_election(each.number)]
        rest = [each for each in self.blocks if not SMALL_POLICY.is_election(each.number)]
        checkpoint = Checkpoint(rest[0].number, rest[0].hash) if rest else None
        hashes = (each.hash for each in elections)
        harness.claim(self.peer, *hashes, checkpoint=checkpoint)

    @property
    def head(self) -> HeadResponse:
        """What it says of its head."""
        last = self.blocks[-1]
        election = [each for each in self.blocks if SMALL_POLICY.is_election(each.number)][-1]
        return HeadResponse(
            number=last.number,
            hash=last.hash,
            macro_number=last.number,
            macro_hash=last.hash,
            election_number=election.number,
            election_hash=election.hash,
        )

    def serve(self, harness: SyncHarness) -> None:
        """Answer all that it has been asked for."""
        for sent in list(harness.requests.values()):
            if sent.peer != self.peer:
                continue
            if isinstance(sent.request, HeadRequest):
                harness.answer_head(self.peer, self.head)
            elif isinstance(sent.request, BlockRequest):
                hash_ = sent.request.hash
                found = [each.without_body() for each in self.blocks if each.hash == hash_]
                if found:
                    harness.answer(sent, found)
                else:
                    harness.fail(sent.id)
            elif sent.id.asker is Asker.MACRO_CHAIN:
                self.claim(harness)
            else:
                harness.fail(sent.id)


def serve_round(harness: SyncHarness, servers: dict[PeerId, ChainBuilder | Forger]) -> bool:
    """Let each peer answer what it has been asked for; tell whether anybody was asked."""
    harness.settle()
    was_asked = False
    for peer, server in servers.items():
        open_ = [sent for sent in harness.requests.values() if sent.peer == peer]
        was_asked |= bool(open_)
        if isinstance(server, Forger):
            server.serve(harness)
            continue
        for sent in open_:
            if sent.id in harness.requests:
                harness.serve(sent, server.chain)
    harness.settle()
    return was_asked


def serve_until_quiet(
    harness: SyncHarness, servers: dict[PeerId, ChainBuilder | Forger], *, seconds: float = 0
) -> None:
    """Serve until nobody is asked any more, and once more after each second."""
    for _ in range(200):
        if not serve_round(harness, servers):
            if seconds <= 0:
                return
            seconds -= 1
            harness.pass_time(1.0)
    raise AssertionError("it never ends")


def macro_block_requests(harness: SyncHarness, peer: PeerId | None = None) -> list[SendRequest]:
    """Return the open requests of the macro sync for a block, oldest first."""
    asked = [
        sent
        for asker in (Asker.MACRO_BLOCK, Asker.PICO)
        for sent in harness.open_requests(asker, peer)
    ]
    return [sent for sent in asked if isinstance(sent.request, BlockRequest)]


def answer_block(harness: SyncHarness, peer: PeerId, block: Block) -> None:
    """Answer the first open block request of a peer with any block."""
    (sent, *_) = macro_block_requests(harness, peer)
    harness.answer(sent, [block])
