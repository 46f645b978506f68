"""A history sync with its effects carried out by hand, over a real chain.

Requests and adoptions wait until a test answers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from node.blocks.block import Block
from node.blocks.body import MicroBody
from node.chain.chain import Chain
from node.chain.results import Pushed
from node.errors import Fault
from node.sync.effects import AdoptBatches, CancelRequest, ReportPeer, SendRequest
from node.sync.inputs import (
    Answer,
    PushFinished,
)
from node.sync.macro.fetcher import Claim, EndReason, FetcherOutput, Progressed, SourceEnded
from node.sync.macro.history import HistorySync
from node.sync.macro.history_limits import HistoryLimits
from node.sync.tickets import TicketId
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.types import Hash32, Height, PeerId
from tests.build.chain import ChainBuilder, open_chain
from tests.build.history_peers import Answering, claim_of, history, honest

SMALL_LIMITS = HistoryLimits(
    open_epochs=2,
    window_batches=4,
    content_bytes=20_000,
    adopted_batches=2,
    adopted_bytes=8_000,
    chunk_leaves=3,
    headers_in_flight=3,
    leaves_in_flight=3,
)
"""Small enough that a few batches run into every bound."""


@dataclass
class HistoryHarness:
    """A `HistorySync`, and everything that it has asked for and said."""

    builder: ChainBuilder = field(default_factory=history)
    known: Height = 0
    """Blocks that our chain has at the start."""
    limits: HistoryLimits = SMALL_LIMITS

    def __post_init__(self) -> None:
        self.chain = open_chain(self.builder.genesis)
        self.push_elsewhere(self.builder.blocks[: self.known])
        self.machine = HistorySync(self.chain, self.limits)
        self.now = 0.0
        self.requests: dict[TicketId, SendRequest] = {}
        self.adoption: AdoptBatches | None = None
        self.reports: list[tuple[PeerId, Fault]] = []
        self.ended: list[SourceEnded] = []
        self.progressed: list[PeerId] = []
        self.most_bytes = 0
        self.most_requests = 0

    def add(self, *peers: PeerId, claim: Claim | None = None) -> None:
        """Bring sources, which claim the whole chain unless told otherwise."""
        for peer in peers:
            whole = claim_of(self.builder.chain, self.chain.macro_head.number)
            self._note(self.machine.add_source(peer, claim or whole))
        self.step()

    def remove(self, peer: PeerId) -> None:
        """Let a source leave."""
        self._note(self.machine.remove_source(peer))
        self.step()

    def step(self) -> None:
        """Let the machine act."""
        self._note(self.machine.step(self.now))

    def answer(self, answer: Answer | None) -> None:
        """Bring an answer."""
        if answer is None:
            return
        self.requests.pop(answer.id, None)
        self._note(self.machine.answered(answer, self.now))
        self.step()

    def serve(self, sent: SendRequest, answering: Answering = honest) -> None:
        """Answer a request from the chain that was built."""
        self.answer(answering(sent, self.builder.chain))

    def open(self, kind: type, peer: PeerId | None = None) -> list[SendRequest]:
        """Return the open requests of a kind, oldest first."""
        return [
            sent
            for sent in self.requests.values()
            if isinstance(sent.request, kind) and peer in {None, sent.peer}
        ]

    def asked(self, kind: type) -> list[object]:
        """Return what is being asked of a kind, oldest first."""
        return [sent.request for sent in self.open(kind)]

    def ended_for(self, reason: EndReason) -> list[PeerId]:
        """Return the sources that were given back for a reason."""
        return [each.peer for each in self.ended if each.reason is reason]

    def serve_next(self, answering: Answering = honest) -> None:
        """Answer the oldest request."""
        self.serve(next(iter(self.requests.values())), answering)

    def serve_until_adoption(self) -> AdoptBatches:
        """Answer the oldest requests until something is to be adopted; return it."""
        while self.adoption is None:
            self.serve_next()
        return self.adoption

    def serve_kind(self, kind: type, answering: Answering = honest) -> None:
        """Answer the requests of a kind until there are none."""
        while waiting := self.open(kind):
            self.serve(waiting[0], answering)

    def adopt(self) -> None:
        """Carry out the adoption that waits."""
        adoption, self.adoption = self.adoption, None
        assert adoption is not None
        results = self.chain.adopt_batches(adoption.batches)
        self._note(self.machine.adopted(PushFinished(adoption.id, results), self.now))
        self.step()

    def run(self, answering: Answering = honest) -> None:
        """Answer and adopt until there is nothing more to do."""
        while self.requests or self.adoption:
            if self.requests:
                self.serve(next(iter(self.requests.values())), answering)
            else:
                self.adopt()

    def pass_time(self, seconds: float) -> None:
        """Move the clock, waking the machine at each of its deadlines on the way."""
        end = self.now + seconds
        while (deadline := self.machine.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now or not seconds, "a deadline that has passed"
            self.now = max(self.now, deadline)
            self.step()
        self.now = end

    def push_elsewhere(self, blocks: Sequence[Block]) -> None:
        """Let live sync push blocks."""
        for result in self.chain.push(blocks):
            assert isinstance(result, Pushed), result

    @property
    def height(self) -> Height:
        """Height of our macro head."""
        return self.chain.macro_head.number

    @property
    def is_done(self) -> bool:
        """Whether we have all that was built."""
        return self.chain.macro_head.hash == self.builder.chain.macro_head.hash

    def _note(self, outputs: Sequence[FetcherOutput]) -> None:
        for output in outputs:
            match output:
                case SendRequest(ticket):
                    assert ticket not in self.requests
                    self.requests[ticket] = output
                case CancelRequest(ticket):
                    self.requests.pop(ticket, None)
                case AdoptBatches():
                    assert self.adoption is None, "one at a time"
                    self.adoption = output
                case ReportPeer(peer, fault):
                    self.reports.append((peer, fault))
                case SourceEnded():
                    self.ended.append(output)
                case Progressed(peer):
                    self.progressed.append(peer)
                case _:
                    raise AssertionError(f"not for a history sync: {output}")
        self.most_bytes = max(self.most_bytes, self.machine.held_bytes)
        self.most_requests = max(self.most_requests, len(self.requests))


def holds_what_was_built(chain: Chain, builder: ChainBuilder) -> bool:
    """Tell whether a chain has every block up to its macro head, with its body."""
    for block in builder.blocks[: chain.macro_head.number]:
        stored = chain.block(block.hash, with_body=True)
        if stored is None or not chain.is_on_main_chain(block.hash):
            return False
        if isinstance(block.body, MicroBody) and stored.body != block.body:
            return False
    return True


WIDE = HistoryLimits(chunk_leaves=3)
"""Nothing but chunks is bounded in a chain as short as this."""


def started(*peers: PeerId, known: Height = 0, limits: HistoryLimits = WIDE) -> HistoryHarness:
    """Return a harness with sources that claim the whole chain."""
    harness = HistoryHarness(known=known, limits=limits)
    harness.add(*peers)
    return harness


def with_sets(*peers: PeerId, known: Height = 0, limits: HistoryLimits = WIDE) -> HistoryHarness:
    """Return a harness that has the batch sets of all open epochs."""
    harness = started(*peers, known=known, limits=limits)
    harness.serve_kind(BatchSetRequest)
    return harness


def hash_at(height: Height) -> Hash32:
    """Return the hash of a block of `history`."""
    return history().block_at(height).hash


def height_of(request: object) -> Height:
    """Return the height of the macro block that headers are asked for with."""
    assert isinstance(request, MissingBlocksRequest)
    header = history().chain.header(request.target)
    assert header is not None
    return header.number


def leaves(height: Height) -> int:
    """Return the history length at a macro block of `history`."""
    with history().chain.snapshot() as snapshot:
        length = snapshot.history_length(height)
    assert length is not None
    return length
