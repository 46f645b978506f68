"""Behaviour 26: whatever peers send, everything stays under its cap and nothing is forgotten."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.blocks.block import Block
from node.blocks.body import Body
from node.blocks.justification import ProducerSignature
from node.net.network import Verdict
from node.profiles import MacroSyncKind
from node.sync.effects import Request, SendRequest
from node.sync.inputs import BatchSetArrived
from node.sync.live.config import QueueConfig
from node.sync.macro.history_limits import DEFAULT_LIMITS
from node.sync.peers import PeerList
from node.sync.tickets import Asker
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.messages.batch_set import BatchSetRequest
from protocols.messages.block import BlockRequest
from protocols.messages.macro_chain import Checkpoint
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder
from tests.build.sync import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    SyncHarness,
    head_of,
    short_batches,
)

PEERS = (ALICE, BOB, CAROL, DAVE)
LENGTH = 22
FORK_LENGTH = 6

CONFIG = QueueConfig(
    include_body=True,
    buffer_max=6,
    buffer_max_bytes=4000,
    window_ahead_max=8,
    tolerate_past_max=4,
    blocks_per_peer_and_height=2,
    copies_per_block=2,
    messages_per_block=4,
    requests_in_flight=2,
    lookups_per_peer=2,
    assembly_max=4,
    assembly_max_bytes=1500,
    body_fetches_in_flight=3,
    held_max=2,
    held_max_bytes=1200,
)
"""Small enough that a few dozen steps run into every bound."""


@cache
def blocks() -> tuple[Block, ...]:
    """Return blocks of a branch and of two forks, and spoilt copies of some."""
    main = short_batches(LENGTH)
    pool = list(main.blocks)
    for start in (2, 9):
        fork = main.fork_from(main.block_at(start).hash)
        for _ in range(FORK_LENGTH - 1):
            pool += fork.extend()
        pool.append(fork.skip() if not fork.chain.policy.is_macro(fork.next_height) else pool[-1])
    pool += _spoilt(main)
    return tuple(pool)


def _spoilt(main: ChainBuilder) -> list[Block]:
    forged = ProducerSignature(bytes(64))
    bad = []
    for number in (1, 2, 3, 5, 6, 9, 10):
        good = main.block_at(number)
        bad.append(Block(good.header, forged, good.body))
        fork = main.fork_from(good.parent_hash)
        bad.append(fork.changed(good, state_root=main.genesis.hash))
        bad.append(fork.changed(good, timestamp=good.header.timestamp + 10**12))
        bad.append(fork.changed(good, number=number + 20))
        bad.append(Block(replace(good.header, network=9), good.justification, good.body))
    return bad


@cache
def other_body() -> Body:
    """Return a body that belongs to none of the blocks."""
    main = short_batches(LENGTH)
    body = main.fork_from(main.genesis.hash).make_micro([transaction(nonce=77)]).body
    assert body is not None
    return body


POOL = st.integers(0, len(blocks()) - 1).map(lambda index: blocks()[index])
PEER = st.sampled_from(PEERS)


class SyncMachine(RuleBasedStateMachine):
    """Feeds anything at any moment."""

    kind = MacroSyncKind.HISTORY

    @initialize()
    def start(self) -> None:
        config = replace(CONFIG, include_body=self.kind is MacroSyncKind.HISTORY)
        self.harness = SyncHarness(
            short_batches(LENGTH), config=config, min_peers=2, kind=self.kind
        )
        self.online: set[PeerId] = set()

    @rule(peer=PEER, known=st.integers(0, LENGTH))
    def join(self, peer: PeerId, known: int) -> None:
        """Connect a peer that says that it has so many blocks."""
        if peer in self.online:
            return
        self.online.add(peer)
        self.harness.join(peer)
        server = _server(known)
        self.harness.answer_head(peer, head_of(server.chain))

    @rule(peer=PEER)
    def leave(self, peer: PeerId) -> None:
        self.online.discard(peer)
        self.harness.leave(peer)

    @rule(block=POOL, peer=PEER)
    def announce_header(self, block: Block, peer: PeerId) -> None:
        self.harness.announce_header(block, peer)

    @rule(block=POOL, peer=PEER)
    def announce_body(self, block: Block, peer: PeerId) -> None:
        self.harness.announce_body(block, peer)

    @rule(block=POOL, peer=PEER)
    def announce_wrong_body(self, block: Block, peer: PeerId) -> None:
        spoilt = Block(block.header, block.justification, other_body())
        self.harness.announce_body(spoilt, peer)

    @rule(numbers=st.lists(st.integers(1, LENGTH), max_size=5), peer=PEER)
    def announce_several(self, numbers: list[int], peer: PeerId) -> None:
        for number in numbers:
            self.harness.announce(blocks()[number - 1], peer)

    @rule(block=POOL, peer=PEER)
    def learn(self, block: Block, peer: PeerId) -> None:
        self.harness.learn(block, peer)

    @rule(pick=st.integers(0, 20), known=st.integers(0, LENGTH))
    def answer_honestly(self, pick: int, known: int) -> None:
        if self.harness.requests:
            sent = list(self.harness.requests.values())[pick % len(self.harness.requests)]
            self.harness.serve(sent, _server(known).chain)

    @rule(pick=st.integers(0, 20), answer=st.lists(POOL, max_size=6))
    def answer_anything(self, pick: int, answer: list[Block]) -> None:
        open_ = self._asked_for(BlockRequest, MissingBlocksRequest)
        if open_:
            self.harness.answer(open_[pick % len(open_)], answer)

    @rule(pick=st.integers(0, 20), answer=st.lists(st.tuples(POOL, st.integers(0, 9)), max_size=4))
    def answer_any_batches(self, pick: int, answer: list[tuple[Block, int]]) -> None:
        open_ = self._asked_for(BatchSetRequest)
        if open_:
            sent = open_[pick % len(open_)]
            self.harness.bring(BatchSetArrived(sent.id, tuple(answer), 1000))

    def _asked_for(self, *kinds: type[Request]) -> list[SendRequest]:
        """Return the open requests of these kinds.

        An answer is always of its question's kind: whatever a peer sends is decoded as that, or
        fails. So machines may assert it.
        """
        return [each for each in self.harness.requests.values() if isinstance(each.request, kinds)]

    @rule(peer=PEER, numbers=st.lists(st.integers(1, 30), max_size=3), newest=st.integers(0, 30))
    def claim_anything(self, peer: PeerId, numbers: list[int], newest: int) -> None:
        for sent in self.harness.open_requests(Asker.MACRO_CHAIN, peer)[:1]:
            hashes = [blocks()[number % len(blocks())].hash for number in (*numbers, newest)]
            checkpoint = Checkpoint(newest, hashes[-1]) if newest else None
            self.harness.claim(sent.peer, *hashes[:-1], checkpoint=checkpoint)

    @rule(pick=st.integers(0, 20), status=st.sampled_from(list(ResponseStatus)[1:]))
    def refuse(self, pick: int, status: ResponseStatus) -> None:
        if self.harness.requests:
            sent = list(self.harness.requests.values())[pick % len(self.harness.requests)]
            self.harness.refuse(sent, status)

    @rule()
    def push_beside(self) -> None:
        """A validator beside us pushes the next block of the branch, if it fits."""
        harness = self.harness
        height = harness.chain.head.number
        if height < LENGTH and harness.chain.head.hash == (
            blocks()[height - 1].hash if height else harness.chain.genesis
        ):
            harness.push_beside(blocks()[height])

    @rule()
    def work(self) -> None:
        harness = self.harness
        if harness.pushes or harness.checks or harness.adoptions:
            harness.work()

    @rule(seconds=st.floats(0, 15))
    def pass_time(self, seconds: float) -> None:
        self.harness.pass_time(seconds)
        self.harness.clock.ms += int(seconds * 1000)

    @invariant()
    def everything_is_under_its_cap(self) -> None:
        status = self.harness.machine.status
        live = status.live
        assert live.buffered <= CONFIG.buffer_max
        assert live.buffered_bytes <= CONFIG.buffer_max_bytes
        assert live.assembling <= CONFIG.assembly_max
        assert live.assembling_bytes <= CONFIG.assembly_max_bytes
        assert live.body_fetches <= CONFIG.body_fetches_in_flight
        assert max(_open_by_peer(self.harness, Asker.BODY), default=0) <= 2
        assert live.held <= CONFIG.held_max
        assert live.held_bytes <= CONFIG.held_max_bytes
        assert live.requests <= CONFIG.buffer_max
        assert live.requests_in_flight <= CONFIG.requests_in_flight
        lookups = list(self.harness.machine._live._requests._lookups)
        begun = Counter(lookup.announcers[0] for lookup in lookups)
        assert max(begun.values(), default=0) <= CONFIG.lookups_per_peer
        placed = Counter(lookup.place_of for lookup in lookups if lookup.place_of is not None)
        assert max(placed.values(), default=0) <= CONFIG.places_per_peer
        assert status.held_bytes <= DEFAULT_LIMITS.content_bytes + MAX_RESPONSE_BYTES
        assert len(self.harness.pushes) <= 2
        assert len(self.harness.adoptions) <= 1

    @invariant()
    def every_connected_peer_is_in_one_list(self) -> None:
        lists = self.harness.machine.status.peers
        members = [peer for which in PeerList for peer in lists[which]]
        assert sorted(members) == sorted(self.online)

    @invariant()
    def nobody_waits_for_a_block_that_nobody_looks_for(self) -> None:
        live = self.harness.machine._live
        for entry in live._queue._buffer:
            target = live._queue._buffer.earliest_missing(entry.block)
            is_coming = {target, entry.block.hash} & live._queue._pushing.keys()
            assert is_coming or target in live._requests.targets, entry.block.number

    @invariant()
    def each_peer_has_one_copy_of_a_buffered_block(self) -> None:
        for entry in self.harness.machine._live._queue._buffer:
            peers = [copy.peer for copy in entry.copies]
            assert len(set(peers)) == len(peers) <= CONFIG.copies_per_block

    @invariant()
    def no_deadline_has_passed(self) -> None:
        """What waits for an answer must not keep the driver awake."""
        deadline = self.harness.machine.next_deadline()
        assert deadline is None or deadline > self.harness.now

    @invariant()
    def open_requests_have_deadlines(self) -> None:
        has_work = self.harness.pushes or self.harness.adoptions
        if self.harness.requests and not has_work:
            assert self.harness.machine.next_deadline() is not None

    def teardown(self) -> None:
        """When all is over, every message has its one verdict and nothing is left."""
        if not hasattr(self, "harness"):
            return
        harness = self.harness
        for peer in PEERS:
            harness.leave(peer)
        for _ in range(4):
            harness.settle()
            for ticket in list(harness.requests):
                harness.fail(ticket)
            harness.pass_time(10.0)
        live = harness.machine.status.live
        assert (live.buffered, live.requests, live.pending_pushes) == (0, 0, 0)
        assert (live.assembling, live.held, live.pushing) == (0, 0, 0)
        assert set(harness.verdicts) == set(harness.announced)
        assert set(harness.verdicts.values()) <= set(Verdict)
        assert harness.requests == {}


def _open_by_peer(harness: SyncHarness, asker: Asker) -> Iterable[int]:
    return Counter(sent.peer for sent in harness.open_requests(asker)).values()


@cache
def _server(known: int) -> ChainBuilder:
    """Return a node with that many blocks of the branch."""
    main = short_batches(LENGTH)
    return main.fork_from(main.block_at(known).hash if known else main.genesis.hash)


class LightMachine(SyncMachine):
    """The same for a Light node."""

    kind = MacroSyncKind.LIGHT


class PicoMachine(SyncMachine):
    """The same for a Pico."""

    kind = MacroSyncKind.PICO


TestSyncMachine = SyncMachine.TestCase
TestLightMachine = LightMachine.TestCase
TestPicoMachine = PicoMachine.TestCase
for _case in (TestSyncMachine, TestLightMachine, TestPicoMachine):
    _case.settings = settings(stateful_step_count=60)
