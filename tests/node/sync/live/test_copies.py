"""Beside the numbered behaviours: bad blocks, forged copies, forks, blocks from the future."""

from node.blocks.block import Block
from node.blocks.justification import ProducerSignature
from node.chain.results import BlockError, Pushed
from node.errors import Fault
from node.net.network import Verdict
from node.sync.inputs import ChainChanged
from node.sync.live.events import (
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.tickets import Asker
from protocols.types import Direction
from tests.build.chain import push_one
from tests.build.live import ACCEPT, IGNORE, REJECT, block, live, live_events, missing_of
from tests.build.sync import (
    ALICE,
    BOB,
    LONG_BATCHES,
)


def test_missing_blocks_with_an_invalid_one() -> None:
    """Of [1, 2, 3] with 2 invalid: 1 is adopted, 3 is not pushed, what waits for it goes."""
    harness = live()
    fork = harness.builder.fork_from(block(harness, 1).hash)
    invalid = fork.changed(fork.make_micro(), state_root=fork.genesis.hash)
    above = fork.changed(invalid, number=3, parent_hash=invalid.hash)
    tip = fork.changed(invalid, number=4, parent_hash=above.hash)

    messages = harness.announce(tip, BOB)
    harness.answer(harness.missing_request(), [block(harness, 1), invalid, above])
    harness.settle()

    assert harness.height == 1
    assert harness.pushed == [block(harness, 1).hash, invalid.hash]
    assert live_events(harness) == [
        ReceivedMissingBlocks((block(harness, 1).hash,)),
        RejectedBlock(invalid.hash, BlockError.WRONG_STATE_ROOT),
        RejectedBlock(tip.hash),
    ]
    # What light nodes cannot see costs the sender of the body, not the one of the header.
    assert [harness.verdicts[each] for each in messages] == [Verdict.IGNORE, Verdict.REJECT]
    assert harness.reports == [(ALICE, Fault.INVALID_BLOCK)]


def test_forged_copy_does_not_keep_the_good_one_out() -> None:
    """The hash does not cover the signature: the forged copy comes first, the good one counts."""
    harness = live()
    good = block(harness, 1)
    forged = Block(good.header, ProducerSignature(bytes(64)), good.body)

    first = harness.announce_header(forged, BOB)
    second = harness.announce_header(good)
    body = harness.announce_body(good)
    child = harness.announce(block(harness, 2))
    harness.settle()

    assert harness.height == 2
    assert harness.verdicts_of([first]) == REJECT
    assert harness.verdicts_of([second]) == ACCEPT
    # The body went with the first header. It is what both of them say, so nobody is blamed.
    assert harness.verdicts_of([body]) == IGNORE
    assert harness.verdicts_of(child) == ACCEPT


def test_forged_copy_in_an_answer_spares_the_descendants() -> None:
    harness = live()
    good = block(harness, 1)
    forged = Block(good.header, ProducerSignature(bytes(64)), good.body)

    messages = harness.announce(block(harness, 2))
    harness.answer(harness.missing_request(), [forged])
    harness.settle()

    assert harness.reports == [(ALICE, Fault.INVALID_BLOCK)]
    assert harness.verdicts_of(messages) == IGNORE
    harness.announce(good)
    harness.announce(block(harness, 2))
    harness.settle()
    assert harness.height == 2


def test_blocks_of_a_validator_free_the_buffer() -> None:
    """What somebody else pushes counts as much as what we push."""
    harness = live()
    messages = harness.announce(block(harness, 2))
    own = harness.chain.push([block(harness, 1)])
    assert isinstance(own[0], Pushed)
    harness.feed(ChainChanged(own[0].events))
    harness.settle()

    assert harness.height == 2
    assert harness.verdicts_of(messages) == ACCEPT
    assert harness.open_requests(Asker.MISSING) == []


def test_block_on_a_fork_of_the_answering_peer_is_asked_for_backward() -> None:
    """Forward answers follow the main chain only; what is on a fork comes from the target down."""
    harness = live(known=3)
    fork = harness.builder.fork_from(block(harness, 2).hash)
    server = fork.fork_from(block(harness, 2).hash)
    fork.extend(2)
    server.skip()
    for each in fork.blocks[2:]:
        push_one(server.chain, each)
    tip = fork.micro()

    harness.announce(tip)
    harness.serve(harness.missing_request(), server.chain)
    assert missing_of(harness).direction is Direction.BACKWARD
    assert harness.missing_request().peer == ALICE
    harness.serve(harness.missing_request(), server.chain)
    harness.settle()

    assert harness.chain.head.hash == tip.hash
    assert harness.reports == []


def test_a_block_from_the_future_is_held() -> None:
    harness = live()
    good = block(harness, 1)
    drift = LONG_BATCHES.max_clock_drift_ms
    harness.clock.ms = good.header.timestamp - drift - 3000

    messages = harness.announce(good)
    assert harness.machine.status.live.held == 1
    harness.clock.ms += 3000
    harness.pass_time(3.0)
    harness.settle()

    assert harness.height == 1
    assert harness.verdicts_of(messages) == ACCEPT


def test_a_block_from_the_far_future_is_ignored_in_the_end() -> None:
    harness = live()
    harness.clock.ms = 0

    messages = harness.announce(block(harness, 1))
    harness.pass_time(9.9)
    assert harness.verdicts_of(messages) == {None}
    harness.pass_time(0.2)

    assert harness.verdicts_of(messages) == IGNORE
    assert harness.machine.status.live.held == 0
