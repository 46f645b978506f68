"""Behaviours 20 to 23 as they look from outside: blocks of forks and bad blocks over gossip.

The rules themselves are the chain's and are tested there.
"""

from dataclasses import replace
from typing import Any

import pytest

from node.blocks.body import MicroBody
from node.chain.results import BlockError, EquivocationFound
from node.net.network import Verdict
from node.sync.inputs import ChainChanged
from node.sync.live.config import QueueConfig
from node.sync.live.events import AcceptedAnnouncedBlock, AcceptedBufferedBlock, RejectedBlock
from tests.build.blocks import digest, transaction
from tests.build.chain import ChainBuilder
from tests.build.live import ACCEPT, IGNORE, answer_polls, block, live, live_events
from tests.build.sync import ALICE, BOB, SyncHarness, short_batches


def fork_at(harness: SyncHarness, number: int) -> ChainBuilder:
    """Return a builder that goes on from a block of the harness's branch."""
    main = harness.builder
    return main.fork_from(main.block_at(number).hash if number else main.genesis.hash)


def test_b20_skip_block_of_the_same_height_wins() -> None:
    harness = live(known=3)
    skip = fork_at(harness, 2).skip()

    messages = harness.announce(skip)
    harness.settle()

    assert harness.chain.head.hash == skip.hash
    assert harness.verdicts_of(messages) == ACCEPT
    assert live_events(harness) == [AcceptedAnnouncedBlock(skip.hash)]


def test_b20_normal_block_beside_a_skip_block_is_ignored() -> None:
    harness = live(known=2)
    harness.push_elsewhere([fork_at(harness, 2).skip()])
    head = harness.chain.head.hash

    messages = harness.announce(block(harness, 3))
    harness.settle()

    assert harness.chain.head.hash == head
    assert harness.verdicts_of(messages) == IGNORE
    assert live_events(harness) == []


@pytest.mark.parametrize("shuffled", [False, True])
def test_b20_earlier_skip_wins_even_when_its_branch_is_shorter(shuffled: bool) -> None:
    harness = live(known=2)
    late, early = fork_at(harness, 2), fork_at(harness, 2)
    late.micro()
    late.skip()
    late.extend(3)
    early.skip()
    early.micro()
    for each in late.blocks[2:]:
        harness.announce(each)
    harness.settle()

    for each in early.blocks[:1:-1] if shuffled else early.blocks[2:]:
        harness.announce(each, BOB)
    harness.settle()

    assert harness.chain.head.hash == early.head.hash
    assert harness.height == 4


def test_b20_inferior_fork_wins_with_a_macro_block() -> None:
    """Micro blocks against an earlier skip cannot win; the macro block above them does."""
    harness = SyncHarness(short_batches(20), known=0)
    harness.join_live(ALICE)
    answer_polls(harness)
    ours = fork_at(harness, 0)
    harness.push_elsewhere([ours.skip()])

    messages = [each for b in harness.builder.blocks[:4] for each in announce(harness, b)]

    assert harness.chain.head.hash == block(harness, 4).hash
    assert harness.chain.head.state_root == harness.builder.block_at(4).header.state_root
    assert [harness.verdicts[each] for each in messages[-2:]] == [Verdict.ACCEPT, Verdict.ACCEPT]


def announce(harness: SyncHarness, made: Any) -> tuple[Any, ...]:
    messages = harness.announce(made)
    harness.settle()
    return messages


def test_b21_fork_below_the_last_macro_block_is_ignored() -> None:
    harness = SyncHarness(short_batches(20), known=9)
    harness.join_live(ALICE)
    fork = fork_at(harness, 6)

    stored_parent = announce(harness, fork.micro())
    above = announce(harness, fork.macro())

    assert harness.verdicts_of(stored_parent + above) == IGNORE
    assert harness.height == 9
    assert live_events(harness) == []


def test_b21_orphan_grandchild_is_accepted_after_its_parents() -> None:
    harness = live()

    third = harness.announce(block(harness, 3))
    second = harness.announce(block(harness, 2))
    first = harness.announce(block(harness, 1))
    harness.settle()

    assert harness.height == 3
    assert harness.verdicts_of(first + second + third) == ACCEPT
    assert live_events(harness)[1:] == [
        AcceptedBufferedBlock(block(harness, 2).hash, 1),
        AcceptedBufferedBlock(block(harness, 3).hash, 0),
    ]


WRONG_FIELDS: dict[str, tuple[dict[str, Any], BlockError]] = {
    "time": ({"timestamp": 0}, BlockError.WRONG_TIMESTAMP),
    "seed": ({"seed": bytes(80)}, BlockError.WRONG_SEED),
    "state root": ({"state_root": digest("wrong")}, BlockError.WRONG_STATE_ROOT),
    "diff root": ({"diff_root": digest("wrong")}, BlockError.WRONG_DIFF_ROOT),
    "history root": ({"history_root": digest("wrong")}, BlockError.WRONG_HISTORY_ROOT),
    "transaction": (
        {"body": MicroBody(transactions=(transaction(network=2),))},
        BlockError.INVALID_TRANSACTION,
    ),
}


@pytest.mark.parametrize("kind", WRONG_FIELDS)
def test_b22_one_wrong_field_is_that_named_error(kind: str) -> None:
    fields, error = WRONG_FIELDS[kind]
    harness = live(known=2)
    fork = fork_at(harness, 2)
    wrong = fork.changed(fork.make_micro(), **fields)

    messages = announce(harness, wrong)

    assert harness.height == 2
    assert live_events(harness) == [RejectedBlock(wrong.hash, error)]
    assert {harness.verdicts[each] for each in messages} == {Verdict.IGNORE, Verdict.REJECT}
    assert not harness.chain.contains(wrong.hash)


@pytest.mark.parametrize(
    ("number", "fields"),
    [
        (3, {"network": 2}),
        (3, {"version": 9}),
        (4, {"parent_election": digest("wrong")}),
        (4, {"round": 7}),
    ],
)
def test_b22_wrong_header_is_rejected(number: int, fields: dict[str, Any]) -> None:
    harness = SyncHarness(short_batches(20), known=number - 1)
    harness.join_live(ALICE)
    answer_polls(harness)
    harness.take_events()
    fork = fork_at(harness, number - 1)
    made = fork.make_macro() if number == 4 else fork.make_micro()
    wrong = fork.changed(made, **fields)

    (header, *_) = announce(harness, wrong)

    assert harness.height == number - 1
    assert harness.verdicts[header] is Verdict.REJECT
    assert [type(event) for event in live_events(harness)] == [RejectedBlock]


def test_b22_wrong_number_with_a_known_parent() -> None:
    """The parent is known, so the block is pushed at once, and refused for its number."""
    harness = live(known=2, config=replace(QueueConfig(include_body=True), window_ahead_max=50))
    fork = fork_at(harness, 2)
    wrong = fork.changed(fork.make_micro(), number=5)

    announce(harness, wrong)

    assert live_events(harness) == [RejectedBlock(wrong.hash, BlockError.WRONG_NUMBER)]


def test_b23_two_blocks_of_one_producer_are_evidence_and_are_processed() -> None:
    harness = live(known=2)
    fork = fork_at(harness, 2)
    other = fork.micro()
    announce(harness, block(harness, 3))
    changes: list[object] = []
    feed = harness.feed

    def note(event: Any) -> Any:
        if isinstance(event, ChainChanged):
            changes.extend(event.events)
        return feed(event)

    harness.feed = note  # type: ignore[method-assign]
    messages = announce(harness, other)

    (found,) = (change for change in changes if isinstance(change, EquivocationFound))
    assert {found.proof.header1.hash, found.proof.header2.hash} == {
        block(harness, 3).hash,
        other.hash,
    }
    assert harness.chain.contains(other.hash)
    assert harness.verdicts_of(messages) == IGNORE
