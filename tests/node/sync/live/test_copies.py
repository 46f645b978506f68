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
from tests.build.fetched import fetched_batches
from tests.build.live import ACCEPT, IGNORE, REJECT, block, live, live_events, missing_of
from tests.build.sync import (
    ALICE,
    BOB,
    CAROL,
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


def test_one_peer_has_one_forged_copy_of_a_block_that_is_pushed() -> None:
    """Each would be a push of its own; the others' copies have their turn all the same."""
    harness = live()
    good = block(harness, 1)
    forged = [forged_by(good, number) for number in range(4)]
    first = harness.announce(forged[0], BOB)
    late = [harness.announce_header(each, BOB) for each in forged[1:]]
    other = harness.announce_header(forged[1], CAROL)
    last = [harness.announce_header(each, CAROL) for each in forged[2:]]
    honest = harness.announce_header(good)

    assert harness.verdicts_of([*late, *last]) == IGNORE
    harness.settle()

    assert harness.height == 1
    assert harness.pushed == [good.hash] * 3
    assert harness.verdicts_of([first[0], other]) == REJECT
    assert harness.verdicts_of([honest]) == ACCEPT


def test_a_peer_may_announce_again_what_is_being_pushed() -> None:
    harness = live()
    messages = harness.announce(block(harness, 1)) + harness.announce(block(harness, 1))
    assert harness.verdicts_of(messages) == {None}

    harness.settle()

    assert harness.verdicts_of(messages) == ACCEPT


def test_forged_copies_of_a_buffered_block_leave_room_for_the_good_one() -> None:
    harness = live()
    good = block(harness, 2)
    harness.announce(forged_by(good, 0), BOB)
    late = [harness.announce_header(forged_by(good, number), BOB) for number in range(1, 5)]
    honest = harness.announce_header(good, CAROL)

    assert harness.verdicts_of(late) == IGNORE
    harness.answer(harness.missing_request(), [block(harness, 1)])
    harness.settle()

    assert harness.height == 2
    assert harness.verdicts_of([honest]) == ACCEPT


def forged_by(good: Block, number: int) -> Block:
    """Return a copy of a block with a signature of nobody's."""
    return Block(good.header, ProducerSignature(number.to_bytes(64, "big")), good.body)


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


def test_adopted_batches_free_the_buffer() -> None:
    """What waits above the macro block of a batch that a history sync has fetched goes on."""
    length = LONG_BATCHES.batch_length
    harness = live(length + 1)
    messages = harness.announce(block(harness, length + 1))
    (adopted,) = harness.chain.adopt_batches(fetched_batches(harness.builder.blocks[:length]))
    assert isinstance(adopted, Pushed)
    harness.feed(ChainChanged(adopted.events))
    harness.settle()

    assert harness.height == length + 1
    assert harness.verdicts_of(messages) == ACCEPT


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
