"""A harness whose only peer is live, and what tests of the live sync ask of it."""

from node.blocks.block import Block
from node.net.network import MessageId, Verdict
from node.sync.effects import ConsensusEstablished, ConsensusLost, SyncEvent
from node.sync.live.config import QueueConfig
from node.sync.tickets import Asker
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import PeerId
from tests.build.sync import ALICE, BOB, SyncHarness, branch, head_of

ACCEPT, IGNORE, REJECT = {Verdict.ACCEPT}, {Verdict.IGNORE}, {Verdict.REJECT}
CONFIG = QueueConfig(include_body=True)


def live(length: int = 20, *, known: int = 0, config: QueueConfig = CONFIG) -> SyncHarness:
    """Return a harness with one live peer, alice, and nothing else under way."""
    harness = SyncHarness(branch(length), config=config, known=known)
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.take_events()
    return harness


def answer_polls(harness: SyncHarness) -> None:
    """Let every polled peer agree with us."""
    for sent in harness.open_requests(Asker.POLL_HEAD):
        harness.answer_head(sent.peer, head_of(harness.chain))


def block(harness: SyncHarness, number: int) -> Block:
    """Return a block of the harness's branch."""
    return harness.builder.block_at(number)


def live_events(harness: SyncHarness) -> list[SyncEvent]:
    """Return the events since the last call, without those of consensus."""
    consensus = (ConsensusEstablished, ConsensusLost)
    return [event for event in harness.take_events() if not isinstance(event, consensus)]


def missing_of(harness: SyncHarness) -> MissingBlocksRequest:
    """Return what the one open request for missing blocks asks for."""
    request = harness.missing_request().request
    assert isinstance(request, MissingBlocksRequest)
    return request


def gaps(harness: SyncHarness, count: int, peer: PeerId = BOB) -> list[MessageId]:
    """Announce blocks of so many branches, each with a parent that is missing."""
    messages: list[MessageId] = []
    for _ in range(count):
        fork = harness.builder.fork_from(harness.builder.genesis.hash)
        messages += harness.announce(fork.extend(2)[1], peer)
    return messages
