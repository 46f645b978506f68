"""Parts of the validator's services that a whole network in `tests/sim` does not show."""

from dataclasses import replace

import trio
from trio.testing import MockClock

from protocols.ids import Topic
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from tests.build.blocks import transaction
from tests.sim.validators import POLICY, Cluster, SimValidator


async def test_in_worker_threads_and_real_time(nursery: trio.Nursery) -> None:
    """What runs inline in virtual time runs in threads in a daemon."""
    policy = replace(POLICY, block_separation_ms=20, producer_timeout_ms=2000)
    cluster = Cluster(None, nursery, 4, policy=policy, in_thread=True)
    await cluster.start()

    await cluster.until(8, within_s=60)

    assert cluster.agree(8)
    cluster.stop()


async def test_header_goes_before_body(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()

    await trio.sleep_until(8.5)

    announced = [each for node in cluster.nodes for each in node.network.announced]
    assert announced
    for (topic, header), (next_topic, body) in zip(announced[::2], announced[1::2], strict=True):
        assert (topic, next_topic) == (Topic.HEADERS, Topic.BODIES)
        block = cluster.nodes[0].chain.header(BodyAnnouncement.decode(body).block)
        assert block is not None
        assert block.encoded == HeaderAnnouncement.decode(header).header
    cluster.stop()


async def test_best_paying_transactions_go_into_the_block(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    sent = [transaction(fee=fee, nonce=fee) for fee in (3, 9, 5)]
    for each in sent:
        assert await cluster.nodes[0].mempool.submit(each) is None

    await trio.sleep_until(3.5)

    included = [t for block in cluster.blocks() for t in getattr(block.body, "transactions", ())]
    assert [each.fee for each in included] == [9, 5, 3]
    cluster.stop()


async def test_a_node_that_is_not_elected_signs_nothing(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its keys are no validator's: it watches."""
    cluster = Cluster(autojump_clock, nursery, 4)
    cluster.nodes.append(SimValidator(cluster, 17))
    await cluster.start(0, 1, 2, 3, 4)

    await trio.sleep_until(9.5)

    watcher = cluster.nodes[4]
    assert watcher.chain.head.number >= 8
    assert watcher.validator.status().index is None
    assert watcher.network.announced == []
    assert watcher.validator.status().produced == 0
    cluster.stop()
