"""Moments at which two things meet: pushes and answers, lookups and deadlines, forks."""

from dataclasses import replace
from typing import Any

from node.blocks.block import Block
from node.blocks.header import MacroHeader
from node.blocks.justification import ProducerSignature
from node.chain.results import BlockError
from node.errors import Fault
from node.net.network import Verdict
from node.policy import Policy
from node.sync.effects import CheckQuorum, ReportPeer, SendRequest
from node.sync.inputs import BlocksArrived, DeadlinePassed, PushFinished, QuorumChecked
from node.sync.live.block_requests import Abandoned, BlockRequests
from node.sync.live.config import QueueConfig
from node.sync.live.events import (
    AcceptedBufferedBlock,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.live.peer_row import PeerRow
from node.sync.tickets import Asker, TicketId
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, PeerId
from tests.build.chain import ChainBuilder, open_chain
from tests.build.keys import genesis
from tests.build.live import ACCEPT, answer_polls, block, live, live_events, missing_of
from tests.build.sync import ALICE, BOB, CAROL, DAVE, SyncHarness, short_batches


def test_buffered_block_that_is_also_in_an_answer_is_pushed_once() -> None:
    harness = live()
    fifth = harness.announce(block(harness, 5))
    third = harness.announce(block(harness, 3))
    first, second = harness.open_requests(Asker.MISSING)

    harness.answer(first, harness.builder.blocks[:4])
    assert second.id in harness.requests
    harness.settle()

    assert harness.pushed == [each.hash for each in harness.builder.blocks[:5]]
    assert live_events(harness) == [
        ReceivedMissingBlocks(tuple(each.hash for each in harness.builder.blocks[:4])),
        AcceptedBufferedBlock(block(harness, 5).hash, 0),
    ]
    assert harness.verdicts_of(third + fifth) == ACCEPT
    assert harness.open_requests(Asker.MISSING) == []


def test_invalid_block_in_buffer_and_answer_is_rejected_once() -> None:
    harness = live()
    fork = harness.builder.fork_from(block(harness, 2).hash)
    invalid = fork.changed(fork.make_micro(), state_root=fork.genesis.hash)
    above = fork.changed(invalid, number=4, parent_hash=invalid.hash)
    harness.announce(fork.changed(invalid, number=5, parent_hash=above.hash))
    harness.announce(invalid)
    (first, _) = harness.open_requests(Asker.MISSING)

    harness.answer(first, [*harness.builder.blocks[:2], invalid, above])
    harness.settle()

    rejected = [event for event in harness.events if isinstance(event, RejectedBlock)]
    assert rejected[0] == RejectedBlock(invalid.hash, BlockError.WRONG_STATE_ROOT)
    assert len(rejected) == 2
    assert harness.pushed.count(invalid.hash) == 1


def test_waiting_push_of_a_block_that_is_stored_meanwhile_is_skipped() -> None:
    harness = live()
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    other = fork.micro()
    harness.announce(block(harness, 1))
    waiting = harness.announce(other)

    harness.push_beside(other)
    harness.settle()

    assert harness.pushed == [block(harness, 1).hash]
    assert harness.verdicts_of(waiting) != {None}
    assert harness.chain.contains(other.hash)


def test_forged_copy_that_waits_while_the_good_one_is_stored_is_not_relayed() -> None:
    harness = live()
    good = block(harness, 2)
    forged = Block(good.header, ProducerSignature(bytes(64)), good.body)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.push_elsewhere([block(harness, 1)])
    harness.announce(fork.micro())
    messages = harness.announce(forged)

    harness.push_beside(good)
    harness.settle()

    assert harness.height == 2
    assert [harness.verdicts[each] for each in messages] == [Verdict.IGNORE, Verdict.ACCEPT]


def test_missing_blocks_of_a_fork_are_received_too() -> None:
    harness = live(known=5)
    other = harness.builder.fork_from(block(harness, 4).hash)
    first, second = other.extend(2)
    harness.announce(second)
    harness.answer(harness.missing_request(), [first])
    harness.settle()

    assert live_events(harness)[0] == ReceivedMissingBlocks((first.hash,))
    assert harness.chain.contains(first.hash)


def test_answer_behind_a_late_one_is_used_when_the_late_one_is_given_up() -> None:
    """At the same deadline, not at the next event."""
    config = QueueConfig(include_body=True, delivery_grace_s=100.0)
    harness = live(config=config)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.announce(fork.extend(2)[1])
    harness.announce(block(harness, 2))
    (_, second) = harness.open_requests(Asker.MISSING)
    harness.answer(second, harness.builder.blocks[:1])

    while harness.machine.status.live.requests > 1:
        assert not harness.pushes
        answer_polls(harness)
        deadline = harness.machine.next_deadline()
        assert deadline is not None
        harness.now = deadline
        harness.feed(DeadlinePassed())

    assert [push.blocks for push in harness.pushes] == [(block(harness, 1),)]


def test_results_of_another_push_change_nothing() -> None:
    harness = live()
    harness.announce(block(harness, 1))
    results = harness.chain.push([block(harness, 1)])

    assert harness.feed(PushFinished(TicketId(Asker.LIVE, 99), results)) == []

    assert harness.machine.status.live.pending_pushes == 1


def test_lookups_are_spread_over_the_peers() -> None:
    harness = live()
    harness.join_live(BOB, CAROL)
    for peer in (DAVE, DAVE, PeerId("erin")):
        fork = harness.builder.fork_from(harness.builder.genesis.hash)
        harness.announce(fork.extend(2)[1], peer)

    asked = [sent.peer for sent in harness.open_requests(Asker.MISSING)]

    # Those who announced are not live, so any of the others will do.
    assert sorted(asked) == [ALICE, BOB, CAROL]


def test_after_a_failed_backward_answer_the_next_peer_is_asked_forward() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3), ALICE)

    harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)
    assert missing_of(harness).direction is Direction.BACKWARD
    assert harness.missing_request().peer == ALICE
    harness.refuse(harness.missing_request(), ResponseStatus.BUSY)

    assert harness.missing_request().peer == BOB
    assert missing_of(harness).direction is Direction.FORWARD


def test_backward_answer_that_stops_above_us_costs_nothing() -> None:
    """It ends at a macro block that we do not have: honest, and no use."""
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.announce(block(harness, 7))
    harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)

    harness.answer(harness.missing_request(), harness.builder.blocks[5:2:-1])

    assert harness.reports == []
    assert not harness.pushes


def test_follow_ups_are_bounded_by_the_window() -> None:
    """Whatever is received and not pushed: no chain of answers goes further than two windows."""
    main = short_batches(44)
    chain = open_chain(main.genesis)
    config = QueueConfig(include_body=True, window_ahead_max=8)
    peers = PeerRow(config)
    requests = BlockRequests(chain, config, peers)
    target = main.head.hash
    peers.add(ALICE)
    assert requests.want(target, ALICE)

    taken = 0
    while not requests.overrun():
        (sent, *_) = [each for each in requests.step(0) if isinstance(each, SendRequest)]
        batch = tuple(main.blocks[taken * 4 : taken * 4 + 4])
        (check,) = requests.answered(BlocksArrived(sent.id, batch, 1000), 0)
        requests.checked(_valid(check), 0)
        assert requests.take(0) is not None
        taken += 1

    assert taken == 8 // 4 + 3
    assert requests.overrun() == [target]
    assert requests.give_up(target, 0) == [
        ReportPeer(ALICE, Fault.MISSING_PARENT),
        Abandoned(target),
    ]


def _valid(check: object) -> QuorumChecked:
    assert isinstance(check, CheckQuorum)
    return QuorumChecked(check.id, is_valid=True)


def test_validators_of_the_next_epoch_prove_what_comes_after_an_election() -> None:
    """Two of eight candidates are elected, so epochs have different validators."""
    policy = Policy(
        batch_length=4,
        batches_per_epoch=2,
        slots=2,
        block_separation_ms=1000,
        producer_timeout_ms=4000,
        validity_window_batches=2,
    )
    main = ChainBuilder(genesis(8, policy=policy))
    main.extend(24)
    voters = {_validators_of(main, number) for number in (0, 8, 16)}
    assert len(voters) > 1
    harness = SyncHarness(main)
    harness.join_live(ALICE)
    answer_polls(harness)

    harness.announce(main.block_at(23))
    while harness.open_requests(Asker.MISSING):
        harness.serve(harness.missing_request(), main.chain)
        # The next answer is checked while the batch before it is not pushed yet.
        while harness.checks:
            harness.work()
        if not harness.open_requests(Asker.MISSING):
            harness.settle()

    assert harness.reports == []
    assert harness.height == 23


def _validators_of(main: ChainBuilder, number: int) -> tuple[bytes, ...]:
    header = main.block_at(number).header if number else main.genesis.block().header
    assert isinstance(header, MacroHeader)
    assert header.validators is not None
    return tuple(each.voting_key for each in header.validators)


def test_evicted_ancestor_is_asked_for_again() -> None:
    """What stood on a block that had to go still waits for it, so it is looked for."""
    config = replace(QueueConfig(include_body=True), buffer_max=3)
    harness = live(config=config)
    harness.join_live(BOB)
    harness.announce(block(harness, 5), ALICE)
    harness.announce(block(harness, 6), BOB)
    assert missing_of(harness).target == block(harness, 4).hash

    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.announce(fork.extend(3)[2], ALICE)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    harness.announce(fork.extend(4)[3], ALICE)

    # Alice has the most, and 5 is her furthest from the head.
    targets = {
        sent.request.target
        for sent in harness.open_requests(Asker.MISSING)
        if isinstance(sent.request, MissingBlocksRequest)
    }
    assert block(harness, 5).hash in targets
    assert block(harness, 4).hash not in targets


def test_macro_block_in_buffer_and_answer_is_accepted() -> None:
    """It is final before its push has been reported, and must not be pruned for that."""
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.announce(block(harness, 6))
    (first,) = harness.open_requests(Asker.MISSING)
    macro = harness.announce(block(harness, 4))
    child = harness.announce(block(harness, 5))

    harness.answer(first, harness.builder.blocks[:4])
    harness.settle()

    assert harness.verdicts_of(macro + child) == ACCEPT
    assert harness.height == 6


def test_child_of_a_block_that_was_closed_while_it_was_pushed_is_dropped() -> None:
    harness = SyncHarness(short_batches(20))
    harness.join_live(ALICE)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    first, second = fork.extend(2)
    harness.announce(first)
    messages = harness.announce(second)
    # The chain gets a macro block, and the news of it are still on their way.
    harness.push_elsewhere(harness.builder.blocks[:4])

    push = harness.pushes.popleft()
    harness.feed(PushFinished(push.id, harness.chain.push(push.blocks)))

    assert not harness.pushes
    assert harness.verdicts_of(messages) == {Verdict.IGNORE}


def test_block_stored_without_a_word_frees_what_waits_for_it() -> None:
    """An inferior branch is stored without an event."""
    harness = live()
    harness.announce(block(harness, 2))
    harness.push_elsewhere([block(harness, 1)])

    harness.feed(DeadlinePassed())
    harness.settle()

    assert harness.height == 2
    assert harness.open_requests(Asker.MISSING) == []


def test_held_blocks_are_bounded() -> None:
    size = len(block(live(), 1).header.encoded) + 10
    for bound in ({"held_max": 2}, {"held_max_bytes": 2 * size}):
        settings: dict[str, Any] = {"include_body": True, **bound}
        harness = live(config=QueueConfig(**settings))
        harness.clock.ms = 0

        messages = [harness.announce(block(harness, number)) for number in (1, 2, 3)]

        assert harness.machine.status.live.held == 2
        assert harness.verdicts_of(messages[2]) == {Verdict.IGNORE}
        assert harness.verdicts_of(messages[0] + messages[1]) == {None}


def test_halves_that_wait_are_bounded_by_their_bytes() -> None:
    size = len(block(live(), 1).header.encoded)
    harness = live(config=QueueConfig(include_body=True, assembly_max_bytes=2 * size + 8))

    messages = [harness.announce_header(block(harness, number)) for number in (1, 2, 3)]

    assert harness.machine.status.live.assembling == 2
    assert harness.verdicts_of(messages[:1]) == {Verdict.IGNORE}
