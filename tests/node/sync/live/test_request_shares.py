"""No peer can hold up what others announce: shares of the places, blame, slow peers last."""

import pytest

from node.chain.results import Orphan
from node.errors import Fault
from node.net.network import Verdict
from node.sync.effects import SendRequest
from node.sync.inputs import PushFinished
from node.sync.live.block_buffer import SourcedBlock
from node.sync.live.block_queue import BlockQueue, FindMissing
from node.sync.live.config import QueueConfig
from node.sync.tickets import Asker
from protocols.messages.missing_blocks import MissingBlocksRequest
from protocols.status import ResponseStatus
from protocols.types import Direction, Hash32, PeerId
from tests.build.live import CONFIG, answer_polls, block, gaps, live, missing_of
from tests.build.sync import ALICE, BOB, CAROL, SyncHarness, short_batches


def test_one_peer_holds_two_places() -> None:
    harness = live()
    gaps(harness, 3, BOB)
    assert len(harness.open_requests(Asker.MISSING)) == 2

    harness.announce(block(harness, 3), ALICE)

    assert len(harness.open_requests(Asker.MISSING)) == 3
    assert harness.machine.status.live.requests == 4


def test_what_is_over_the_share_of_its_peer_is_turned_away() -> None:
    harness = live()
    gaps(harness, CONFIG.lookups_per_peer // 2, BOB)
    gaps_above(harness, CONFIG.lookups_per_peer // 2, BOB)

    late = harness.announce(block(harness, 3), BOB)

    assert harness.verdicts_of(late) == {Verdict.IGNORE}
    assert harness.reports == []
    assert harness.machine.status.live.buffered == CONFIG.lookups_per_peer
    others = harness.announce(block(harness, 3), ALICE)
    assert harness.verdicts_of(others) == {None}
    assert harness.machine.status.live.requests == CONFIG.lookups_per_peer + 1


def test_turning_a_block_away_spares_what_others_have_above_it() -> None:
    """A liar that brings a good block must not throw out with it what stands on it."""
    harness = live()
    gaps(harness, CONFIG.lookups_per_peer // 2, BOB)
    gaps_above(harness, CONFIG.lookups_per_peer // 2, BOB)
    waiting = harness.announce(block(harness, 6), ALICE)
    sent = harness.open_requests(Asker.MISSING)[-1]
    assert targets_of([sent]) == [block(harness, 5).hash]

    turned_away = harness.announce(block(harness, 5), BOB)

    assert harness.verdicts_of(turned_away) == {Verdict.IGNORE}
    assert harness.verdicts_of(waiting) == {None}
    assert sent.id in harness.requests
    harness.answer(sent, harness.builder.blocks[:5])
    harness.pass_time(1.1)
    harness.settle()
    assert harness.height == 6


def test_what_others_have_above_a_block_that_is_turned_away_is_looked_for_anew() -> None:
    """It was not looked for while it was buffered itself."""
    harness = live()
    queue = BlockQueue(harness.chain, CONFIG, live_peers=())
    lower, upper, highest = (
        SourcedBlock(block=block(harness, number), peer=peer)
        for number, peer in ((3, BOB), (4, ALICE), (5, CAROL))
    )
    assert queue.add(lower) == [
        FindMissing(block(harness, 2).hash, BOB, lower.block.hash),
    ]
    queue.add(upper)
    queue.add(highest)

    outputs = queue.turn_away(lower.block.hash)

    assert outputs == [FindMissing(lower.block.hash, ALICE, upper.block.hash)]
    assert queue.turn_away(upper.block.hash) == [
        FindMissing(upper.block.hash, CAROL, highest.block.hash)
    ]
    assert queue.turn_away(highest.block.hash) == []
    assert queue.buffered == 0


def gaps_above(harness: SyncHarness, count: int, peer: PeerId) -> None:
    """Announce so many blocks more, one higher, as only five of one height are kept."""
    for _ in range(count):
        fork = harness.builder.fork_from(harness.builder.genesis.hash)
        harness.announce(fork.extend(3)[2], peer)


def targets_of(requests: list[SendRequest]) -> list[Hash32]:
    """Return what requests for missing blocks ask for."""
    return [
        sent.request.target for sent in requests if isinstance(sent.request, MissingBlocksRequest)
    ]


def test_slow_peer_is_asked_after_the_others() -> None:
    harness = live()
    harness.join_live(BOB)
    answer_polls(harness)
    for _ in range(CONFIG.slow_answers):
        gaps(harness, 1, ALICE)
        sent = harness.missing_request()
        assert sent.peer == ALICE
        harness.pass_time(9.9)
        harness.refuse(sent, ResponseStatus.TARGET_NOT_FOUND)
        while harness.open_requests(Asker.MISSING):
            harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
            harness.pass_time(0.6)

    harness.announce(block(harness, 3), ALICE)

    assert harness.missing_request().peer == BOB
    harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
    assert harness.missing_request().peer == ALICE


@pytest.mark.parametrize("ending", ["late", "needless", "failed"])
def test_every_long_wait_counts_however_it_ends(ending: str) -> None:
    harness = live()
    harness.join_live(BOB)
    for number in range(1, CONFIG.slow_answers + 1):
        harness.announce(block(harness, 3 * number), ALICE)
        sent = harness.missing_request()
        assert sent.peer == ALICE
        harness.pass_time(10.0 if ending == "late" else 9.0)
        if ending == "failed":
            harness.fail(sent.id)
        if ending == "needless":
            for lower in harness.builder.blocks[harness.height : 3 * number - 1]:
                harness.push_beside(lower)
        else:
            harness.serve(harness.missing_request(), harness.builder.chain)
        harness.settle()
        assert harness.height == 3 * number

    harness.announce(block(harness, 3 * CONFIG.slow_answers + 3), ALICE)

    assert harness.missing_request().peer == BOB


def test_slow_peer_on_a_fork_is_not_asked_backward_either() -> None:
    harness = live()
    harness.join_live(BOB, CAROL)
    harness.announce(block(harness, 3), ALICE)

    for _ in range(CONFIG.slow_answers):
        assert harness.missing_request().peer == ALICE
        harness.pass_time(9.0)
        harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_ON_MAIN_CHAIN)

    assert harness.missing_request().peer in {BOB, CAROL}
    assert missing_of(harness).direction is Direction.FORWARD


def test_all_who_announced_descendants_pay_for_a_lookup_in_vain() -> None:
    harness = live()
    harness.join_live(BOB)
    harness.announce(block(harness, 3), ALICE)
    harness.announce(block(harness, 4), CAROL)

    while harness.open_requests(Asker.MISSING):
        harness.refuse(harness.missing_request(), ResponseStatus.TARGET_NOT_FOUND)
        harness.pass_time(0.6)

    assert harness.reports == [(ALICE, Fault.MISSING_PARENT), (CAROL, Fault.MISSING_PARENT)]


def test_follow_ups_that_lead_nowhere_cost_those_who_announced_the_end() -> None:
    harness = SyncHarness(
        short_batches(44), config=QueueConfig(include_body=True, window_ahead_max=8)
    )
    harness.join_live(ALICE)
    answer_polls(harness)
    blocks = list(harness.builder.blocks)
    fork = harness.builder.fork_from(harness.builder.genesis.hash)
    messages = harness.announce(fork.extend(7)[6], BOB)

    while harness.open_requests(Asker.MISSING):
        harness.answer(harness.missing_request(), blocks[:4])
        del blocks[:4]
        while harness.checks:
            harness.work()
        while harness.pushes:
            push = harness.pushes.popleft()
            harness.feed(PushFinished(push.id, (Orphan(push.blocks[0].parent_hash),)))

    assert blocks
    assert harness.verdicts_of(messages) == {Verdict.IGNORE}
    assert harness.reports == [(BOB, Fault.MISSING_PARENT)]
