"""Whole sync services on a simulated network: news, gaps, partitions, late and dying peers."""

import trio
from trio.testing import MockClock

from node.errors import Fault
from node.net.network import Verdict
from node.net.simulated import simulated_address
from node.sync.effects import ConsensusEstablished, ConsensusLost
from node.sync.live.events import AcceptedAnnouncedBlock, Behind
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from protocols.ids import RequestProtocol
from tests.build.sync import short_batches
from tests.sim.followers import LIGHT, SMALL_WINDOW, Follower, Followers

LENGTH = 44


def list_of(node: Follower, peer: Follower) -> PeerList | None:
    """Return the list in which a node has a peer."""
    lists = node.sync.status().peers
    return next((which for which, peers in lists.items() if peer.peer_id in peers), None)


async def test_b01_announced_blocks_reach_everybody(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Heads and bodies travel by gossip alone; nobody is asked for a block."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(6)
    await trio.sleep(1)

    await cluster.produce(1, 20)

    assert [node.height for node in cluster.nodes] == [20] * 6
    for node in cluster.nodes[1:]:
        accepted = [e for _, e in node.events if isinstance(e, AcceptedAnnouncedBlock)]
        assert len(accepted) == 20
        assert set(node.verdicts) == {Verdict.ACCEPT}
        assert node.network.unresolved == ()
        assert node.sync.status().is_established
        assert node.reports == []
    nursery.cancel_scope.cancel()


async def test_light_nodes_follow_headers_and_relay(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A light node that is linked to light nodes only still gets every header."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(2)
    await cluster.add(2, config=LIGHT)
    (last,) = await cluster.add(1, config=LIGHT, dials=False)
    for node in cluster.nodes[2:4]:
        await last.network.connect(simulated_address(node.peer_id))
    await trio.sleep(1)

    await cluster.produce(1, 12)

    assert [node.height for node in cluster.nodes] == [12] * 5
    assert not any(node.reports for node in cluster.nodes)
    # Nobody is asked for bodies who keeps none, and nobody is thrown out for that.
    assert list_of(cluster.nodes[1], cluster.nodes[2]) is PeerList.INCOMPATIBLE
    assert list_of(cluster.nodes[2], cluster.nodes[1]) is PeerList.LIVE
    nursery.cancel_scope.cancel()


async def test_a_node_that_joins_inside_the_window_finds_the_head(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """No block is announced after it joined: the head poll tells it, requests fill the gap."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(3, known=18)

    await cluster.add(1)

    assert await cluster.until_all_at(18, within_s=5) < 1
    await trio.sleep(10)
    assert cluster.nodes[3].sync.is_established
    nursery.cancel_scope.cancel()


async def test_late_joiner_far_behind_catches_up_and_goes_live(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Five batches and more, with a window of two: macro sync, then live."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(3, known=26)
    (late,) = await cluster.add(1, config=SMALL_WINDOW)
    await until_fetching(late)

    await cluster.until_all_at(26, within_s=5)
    await trio.sleep(1)
    assert late.sync.status().phase is Phase.LIVE
    await cluster.produce(27, 30)

    assert late.height == 30
    assert [each for each in late.reports if each[1] is not Fault.TOO_SLOW] == []
    assert late.sync.status().counts["AcceptedAnnouncedBlock"] >= 4
    nursery.cancel_scope.cancel()


async def test_b24_consensus_is_lost_and_comes_back(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(3)
    await trio.sleep(10)
    node, others = cluster.nodes[2], cluster.nodes[:2]
    assert node.sync.status().is_established

    for other in others:
        cluster.hub.disconnect(node.peer_id, other.peer_id)
    await trio.sleep(1)
    assert not node.sync.status().is_established
    assert node.sync.status().phase is Phase.SEARCHING
    await node.network.connect(simulated_address(others[0].peer_id))
    await trio.sleep(10)

    assert node.sync.status().is_established
    assert list_of(node, others[0]) is PeerList.LIVE
    consensus = [e for _, e in node.events if isinstance(e, ConsensusLost | ConsensusEstablished)]
    assert consensus == [ConsensusEstablished(), ConsensusLost(), ConsensusEstablished()]
    nursery.cancel_scope.cancel()


async def test_b24_outdated_peer_is_live_again_within_a_minute(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """It is behind when it joins, catches up, and is looked at again."""
    cluster = Followers(nursery, short_batches(LENGTH))
    (node,) = await cluster.add(1, known=20, config=SMALL_WINDOW)
    (behind,) = await cluster.add(1, config=SMALL_WINDOW, dials=False)
    cluster.hub.partition([node.peer_id], [behind.peer_id])
    cluster.hub.heal()
    await behind.network.connect(simulated_address(node.peer_id))
    await trio.sleep(0.2)
    assert list_of(node, behind) is PeerList.OUTDATED

    await cluster.until_all_at(20, within_s=10)
    await trio.sleep(60)

    assert list_of(node, behind) is PeerList.LIVE
    nursery.cancel_scope.cancel()


async def test_b08_a_peer_that_relays_old_news_is_behind(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(2, config=SMALL_WINDOW, known=12)
    await trio.sleep(1)
    node, old = cluster.nodes
    fork = cluster.builder.fork_from(cluster.builder.block_at(1).hash)

    await old.announce(fork.micro())
    await trio.sleep(1)

    assert Behind(old.peer_id) in [event for _, event in node.events]
    assert list_of(node, old) is PeerList.OUTDATED
    assert node.verdicts == [Verdict.IGNORE, Verdict.IGNORE]
    nursery.cancel_scope.cancel()


async def test_b25_source_dies_in_the_middle_of_a_response(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Another one continues, at once: the connection's end is known before any timeout."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(3, known=40)
    (late,) = await cluster.add(1, config=SMALL_WINDOW, dials=False)
    await cluster.link(late)
    await until_fetching(late)
    source = open_request_to(late, cluster)

    cluster.hub.kill(source.peer_id)

    assert await cluster.until_all_at(40, within_s=10) < 3
    nursery.cancel_scope.cancel()


async def test_b25_silent_source_costs_one_timeout(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Nothing waits longer than one timeout for a peer that has stopped answering."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(3, known=40)
    (late,) = await cluster.add(1, config=SMALL_WINDOW, dials=False)
    await cluster.link(late)
    await until_fetching(late)
    source = open_request_to(late, cluster)

    cluster.hub.partition([source.peer_id])
    others = [node for node in cluster.nodes if node is not source]
    took_s = await cluster.until_all_at(40, within_s=30, nodes=others)

    timeout_s = RequestProtocol.MISSING_BLOCKS.limits.timeout_s
    assert took_s < timeout_s + 3
    assert {fault for _, fault in late.reports} <= {Fault.TOO_SLOW}
    nursery.cancel_scope.cancel()


async def until_fetching(late: Follower) -> None:
    """Wait until a node fetches what its peers claim."""
    while late.sync.status().phase is not Phase.MACRO_SYNC:  # noqa: ASYNC110 - virtual time
        await trio.sleep(0.001)


def open_request_to(late: Follower, cluster: Followers) -> Follower:
    """Return a node that is being asked for a part of the history."""
    peer = next(peer for peer in late.network.linked if late.network._links[peer].pending)
    return next(node for node in cluster.nodes if node.peer_id == peer)


async def test_partition_longer_than_the_window_heals(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The side without the producer stands still, then catches up and is live again."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(5, config=SMALL_WINDOW)
    nursery.start_soon(cluster.keep_linked)
    await cluster.produce(1, 4)
    with_producer, without = cluster.nodes[:2], cluster.nodes[2:]

    cluster.hub.partition([node.peer_id for node in with_producer])
    await cluster.produce(5, 40)
    assert [node.height for node in without] == [4, 4, 4]
    assert not any(
        node.sync.status().is_established and node.chain.head.number > 4 for node in without
    )
    cluster.hub.heal()

    await cluster.until_all_at(40, within_s=30)
    await cluster.produce(41, 42)
    assert [node.height for node in cluster.nodes] == [42] * 5
    assert all(node.sync.status().phase is Phase.LIVE for node in cluster.nodes)
    nursery.cancel_scope.cancel()
