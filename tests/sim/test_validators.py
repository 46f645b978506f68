"""Whole validators on a simulated network: who makes blocks, who is skipped, what is final."""

from collections import defaultdict
from dataclasses import dataclass, replace
from random import Random

import pytest
import trio
from trio.testing import MockClock

from node.blocks.header import MacroHeader
from node.blocks.justification import ProducerSignature
from node.crypto import ed25519
from node.net.hub import LinkConditions
from node.net.simulated import simulated_address
from node.services.clock import VirtualClock
from protocols.messages.votes import Vote
from tests.build.blocks import transaction
from tests.build.chain import ChainBuilder
from tests.build.keys import address
from tests.build.turns import next_owner
from tests.sim.validators import POLICY, Cluster

SEVEN = replace(POLICY, slots=28)
"""Seven validators with four slots each, more or less; the quorum is 19."""


def assert_no_contradiction(cluster: Cluster) -> None:
    """Nobody has ever voted twice in one round and kind."""
    blocks = defaultdict(set)
    for message in cluster.published:
        if isinstance(message, Vote):
            key = (message.number, message.kind, message.round, message.validator)
            blocks[key].add((message.block, message.signature))
    assert {key: seen for key, seen in blocks.items() if len(seen) > 1} == {}


def assert_one_chain(cluster: Cluster) -> None:
    """Whatever is final anywhere is the same everywhere."""
    for height in range(1, min(cluster.macro_heads()) + 1):
        assert cluster.agree(height)


async def test_blocks_come_on_time(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Four healthy validators make a block a second, macro blocks included, and no skips."""
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()

    await trio.sleep_until(20.9)

    assert cluster.heads() == [20, 20, 20, 20]
    assert cluster.macro_heads() == [20, 20, 20, 20]
    blocks = cluster.blocks()
    start = cluster.genesis.timestamp
    assert [b.header.timestamp - start for b in blocks] == [1000 * b.number for b in blocks]
    assert not any(block.is_skip for block in blocks)
    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


@dataclass(frozen=True, slots=True)
class AheadClock:
    """A clock that is wrong by so many milliseconds."""

    ahead_ms: int

    def now_ms(self) -> int:
        return VirtualClock().now_ms() + self.ahead_ms


async def test_a_producer_with_a_fast_clock_delays_nobody(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Timestamps run five minutes ahead from its first block on; blocks come in time."""
    cluster = Cluster(autojump_clock, nursery, 4)
    cluster.nodes[0].wall_clock = AheadClock(300_000)
    await cluster.start()

    await cluster.until(20, within_s=21)

    timestamps = [block.header.timestamp for block in cluster.blocks()]
    assert timestamps[-1] >= VirtualClock().now_ms() + 290_000
    assert not any(block.is_skip for block in cluster.blocks())
    assert_one_chain(cluster)
    cluster.stop()


async def test_a_validator_with_a_slow_clock_produces_in_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """All others' blocks are of its future; its own blocks still come, and nobody skips them."""
    cluster = Cluster(autojump_clock, nursery, 4)
    cluster.nodes[0].wall_clock = AheadClock(-300_000)
    await cluster.start()

    await cluster.until(20, within_s=22)

    assert cluster.nodes[0].validator.status().produced >= 1
    assert not any(block.is_skip for block in cluster.blocks())
    assert_one_chain(cluster)
    cluster.stop()


async def test_a_dead_producer_is_skipped(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Its heights, and no others, are skipped a producer timeout later; finality goes on."""
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    await cluster.until(4, within_s=10)
    dead = cluster.nodes[0].keys.signing.public_key
    cluster.kill(0)

    await cluster.until(20, within_s=200)

    skipped = [block.number for block in cluster.blocks() if block.is_skip]
    assert skipped
    for number in range(5, 21):
        block, parent = cluster.block(number), cluster.block(number - 1)
        if block.is_skip:
            assert block.header.timestamp == parent.header.timestamp + 4000
        elif not block.is_macro:
            assert isinstance(block.justification, ProducerSignature)
            signature = block.justification.signature
            assert not ed25519.verify(dead, block.hash, signature)
    assert_one_chain(cluster)
    cluster.stop()


async def test_f_of_3f_plus_1_dead_still_finalizes(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 7, policy=SEVEN)
    await cluster.start()
    cluster.kill(5, 6)

    await cluster.until(12, within_s=300)

    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


async def test_f_plus_1_dead_stops_finality_until_one_returns(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    await cluster.until(4, within_s=10)

    cluster.kill(0, 1)
    await trio.sleep(120)
    stopped_at = cluster.macro_heads()
    await trio.sleep(120)
    assert cluster.macro_heads() == stopped_at

    await cluster.start(1)
    await cluster.until(max(stopped_at) + 12, within_s=200)
    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


async def test_a_silent_proposer_is_followed_by_the_next_round(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    await trio.sleep_until(3.5)
    assert cluster.heads() == [3, 3, 3, 3]
    proposer = next_owner(cluster.nodes[0].chain)
    cluster.by_owner(proposer).kill()

    await cluster.until(4, within_s=30)

    block = cluster.block(4)
    assert isinstance(block.header, MacroHeader)
    assert block.header.round >= 1
    assert_one_chain(cluster)
    cluster.stop()


async def test_two_blocks_of_one_producer_below_a_macro_block_do_not_stop_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Half of the validators has the one as head, half the other: neither is a quorum."""
    cluster = Cluster(autojump_clock, nursery, 4)
    builder = ChainBuilder(cluster.genesis)
    builder.extend(2)
    fork = builder.fork_from(builder.head.hash)
    one, other = builder.micro(), fork.micro()
    for index, node in enumerate(cluster.nodes):
        node.chain.push([*builder.blocks[:2], *((one, other) if index < 2 else (other, one))])
    assert len({node.chain.head.hash for node in cluster.nodes}) == 2
    await cluster.start()

    await cluster.until(8, within_s=30)

    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


async def test_a_whole_network_stops_and_starts(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """After an hour's pause the next block comes at once, and no producer is skipped for it."""
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    await trio.sleep_until(6.5)
    cluster.kill(0, 1, 2, 3)
    await trio.sleep(3600)

    await cluster.start()
    await cluster.until(12, within_s=30)

    assert not any(block.is_skip for block in cluster.blocks())
    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


async def test_a_partition_without_quorum_heals(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Neither half finalizes; together they go on with one chain."""
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    await trio.sleep_until(6.5)

    cluster.hub.partition([cluster.nodes[0].peer_id, cluster.nodes[1].peer_id])
    await trio.sleep(20)
    stopped_at = max(cluster.macro_heads())
    assert stopped_at <= 8
    cluster.hub.heal()
    await cluster.until(20, within_s=120)

    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


@pytest.mark.parametrize("seed", range(3))
async def test_lossy_links(autojump_clock: MockClock, nursery: trio.Nursery, seed: int) -> None:
    """With every fifth message lost and slow links, blocks still become final."""
    conditions = LinkConditions(latency_s=(0.05, 0.6), loss=0.2)
    cluster = Cluster(autojump_clock, nursery, 4, seed=seed, conditions=conditions)
    await cluster.start()

    await cluster.until(12, within_s=300)

    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


@pytest.mark.parametrize("seed", range(3))
async def test_restarted_validators_do_not_contradict_themselves(
    autojump_clock: MockClock, nursery: trio.Nursery, seed: int
) -> None:
    """Killed at any moment and started again, under loss: nobody votes against its own votes."""
    luck = Random(seed)
    cluster = Cluster(autojump_clock, nursery, 4, seed=seed, conditions=LinkConditions(loss=0.1))
    await cluster.start()
    for _ in range(12):
        await trio.sleep(luck.uniform(0.1, 4))
        index = luck.randrange(4)
        cluster.kill(index)
        await trio.sleep(luck.uniform(0, 3))
        await cluster.start(index)
        assert_one_chain(cluster)

    await cluster.until(max(cluster.macro_heads()) + 8, within_s=300)

    assert_one_chain(cluster)
    assert_no_contradiction(cluster)
    cluster.stop()


async def test_nothing_is_signed_without_consensus(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    for node in cluster.nodes:
        node.is_established = False
    await cluster.start()

    await trio.sleep(30)
    assert cluster.heads() == [0, 0, 0, 0]
    assert cluster.published == []

    for node in cluster.nodes:
        node.is_established = True
    await cluster.until(4, within_s=10)
    cluster.stop()


async def test_a_submitted_transaction_gets_into_a_block(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    node = cluster.nodes[2]
    before = node.chain.account(address(1)).balance

    refusal = await node.mempool.submit(transaction(value=77))
    await trio.sleep(6)

    assert refusal is None
    for each in cluster.nodes:
        assert each.chain.account(address(1)).balance == before + 77
        assert len(each.mempool.mempool) == 0
    cluster.stop()


async def test_what_finds_no_room_waits_for_the_next_block(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Eight transactions are as large as a body: one of them must wait, and none is forgotten.

    There is one validator, and so no other pool that would make up for what its own forgets.
    """
    waiting = [transaction(nonce=nonce) for nonce in range(1, 41)]
    full = replace(POLICY, max_body_bytes=8 * len(waiting[0].encode()) + 5)
    cluster = Cluster(autojump_clock, nursery, 1, policy=full)
    await cluster.start()
    (node,) = cluster.nodes
    before = node.chain.account(address(1)).balance
    for each in waiting:
        assert await node.mempool.submit(each) is None

    await trio.sleep(12)

    assert node.chain.account(address(1)).balance == before + 40 * waiting[0].value
    cluster.stop()


async def test_every_message_has_its_verdict(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Cluster(autojump_clock, nursery, 4)
    await cluster.start()
    assert simulated_address(cluster.nodes[0].peer_id) in cluster.nodes[0].network.listen_addresses

    await trio.sleep(9.5)

    assert [node.network.unresolved for node in cluster.nodes] == [(), (), (), ()]
    assert all(record.score == 0 for n in cluster.nodes for record in n.network.peers.values())
    cluster.stop()
