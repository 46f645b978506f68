"""Whole nodes of all profiles, as `node.app` composes them, in virtual time.

HEADWAY_TEST_SEEDS sets how many seeds of trouble are tried. A failing one is in the name of its
test; `python -m tests.sim.node_chaos SEED` replays it.
"""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
import trio
from trio.testing import MockClock

from node.blocks.header import MacroHeader
from node.net.hub import LinkConditions
from node.policy import BlockKind
from node.profiles import Profile
from node.testnet.spec import Topology
from protocols.types import PeerId
from tests.build.blocks import transaction
from tests.build.keys import address
from tests.sim.node_chaos import run_chaos
from tests.sim.nodes import POLICY, Nodes

SEEDS = int(os.environ.get("HEADWAY_TEST_SEEDS", "24"))

EIGHT = replace(POLICY, slots=32)
"""Four slots for each of eight validators; the quorum is 22 slots, six validators."""


async def test_all_profiles_agree_past_an_election(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery)
    await nodes.start()

    await trio.sleep_until(26.9)

    assert nodes.heights() == [26] * 8
    assert nodes.final_heights() == [24] * 8
    assert POLICY.kind_at(24) is BlockKind.ELECTION
    await nodes.until_agreed(within_s=5)
    for node in nodes.nodes:
        chain = node.node.chain
        election = chain.header(node.hash_at(24))
        assert isinstance(election, MacroHeader)
        assert chain.validators.members == election.validators
        assert node.node.status()["phase"] == "live"
        assert node.node.status()["consensus"] is True
        assert node.network.unresolved == ()
        assert node.faults == []
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_bodies_and_state_follow_the_profile(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """A transfer that a node without validator takes reaches the state of all that keep one."""
    nodes = Nodes(nursery, validators=4)
    await nodes.start()
    await trio.sleep_until(2.5)
    outside = next(n for n in nodes.nodes if n.spec.profile == "full" and not n.spec.is_validator)
    light = next(n for n in nodes.nodes if n.spec.profile == "light")
    before = outside.node.chain.account(address(1)).balance

    assert await outside.node.submit(transaction(value=77)) is None
    assert "takes no transactions" in (await light.node.submit(transaction(value=1)) or "")
    await nodes.until_final(8, within_s=20)

    for node in nodes.nodes:
        chain, traits = node.node.chain, Profile(node.spec.profile).traits
        assert (chain.keeps_bodies, chain.keeps_state) == (traits.keeps_bodies, traits.keeps_state)
        if chain.keeps_state:
            assert chain.account(address(1)).balance == before + 77
            assert node.node.status()["mempool"] == 0
        block = chain.block(chain.macro_head.hash, with_body=True)
        assert (block is not None) is chain.keeps_bodies
    nursery.cancel_scope.cancel()


async def test_a_partition_in_two_halves_heals(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Neither half has a quorum, so nothing becomes final in either; then one chain goes on."""
    nodes = Nodes(nursery, mix={"history": 3, "full": 5}, validators=8, policy=EIGHT)
    await nodes.start()
    await nodes.until_final(4, within_s=10)
    halves = nodes.nodes[:4], nodes.nodes[4:]

    nodes.hub.partition(*[[node.peer_id for node in half] for half in halves])
    await trio.sleep(60)
    assert set(nodes.final_heights()) <= {4, 8}
    stopped_at = max(nodes.final_heights())
    assert all(len(node.network.linked) <= 3 for node in nodes.nodes)

    nodes.hub.heal()
    await nodes.until_final(stopped_at + 12, within_s=120)
    await nodes.until_agreed(within_s=10)
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_a_minority_that_was_cut_off_catches_up(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Two of eight validators and the rest apart: the rest goes on, and they come after."""
    nodes = Nodes(nursery, mix={"history": 3, "full": 5}, validators=8, policy=EIGHT)
    await nodes.start()
    await nodes.until_final(4, within_s=10)
    few, rest = nodes.nodes[:2], nodes.nodes[2:]

    nodes.hub.partition([node.peer_id for node in few])
    await nodes.until(lambda: min(n.final_height for n in rest) >= 28, within_s=200)
    assert max(node.final_height for node in few) <= 8
    nodes.hub.heal()
    await nodes.until_agreed(within_s=120)

    nodes.check()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("killed_at", [4.02, 7.5, 8.05, 12.03, 13.0])
async def test_a_whole_network_is_killed_and_goes_on(
    autojump_clock: MockClock, nursery: trio.Nursery, killed_at: float
) -> None:
    """At any moment, also while a macro block is voted on: nothing accepted is lost."""
    nodes = Nodes(nursery)
    await nodes.start()
    await trio.sleep_until(killed_at)

    nodes.kill()
    heads = {node.spec.name: node.node.chain.head.hash for node in nodes.nodes}
    final = max(node.final_height for node in nodes.nodes)
    await trio.sleep(3600)
    await nodes.start()
    assert {node.spec.name: node.node.chain.head.hash for node in nodes.nodes} == heads

    await nodes.until_final(final + 12, within_s=60)
    await nodes.until_agreed(within_s=5)
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_f_of_3f_plus_1_dead_is_no_obstacle_and_one_more_is(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery, mix={"full": 7, "light": 1}, validators=7)
    await nodes.start()
    await nodes.until_final(4, within_s=10)

    nodes.kill(["full-1", "full-2"])
    await nodes.until_final(16, within_s=300)

    nodes.kill(["full-3"])
    await trio.sleep(30)
    stopped_at = nodes.final_heights()
    await trio.sleep(120)
    assert nodes.final_heights() == stopped_at

    await nodes.start(["full-1"])
    await nodes.until_final(max(stopped_at) + 8, within_s=300)
    nodes.check()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("topology", [Topology.RANDOM, Topology.MESH, Topology.STAR])
async def test_late_joiners_get_there(
    autojump_clock: MockClock, nursery: trio.Nursery, topology: Topology
) -> None:
    """A history and a light node that start ten batches late catch up and stay live."""
    late = ["history-2", "light-2"]
    nodes = Nodes(nursery, topology=topology, validators=4, seed=3)
    early = [node.spec.name for node in nodes.nodes if node.spec.name not in late]
    await nodes.start(early)
    await nodes.until_final(40, within_s=120)

    await nodes.start(late)
    started_at = trio.current_time()
    await nodes.until(lambda: all(n.node.peers for n in nodes.chosen(late)), within_s=1)
    assert all(node.node.status()["behind"] >= 40 - node.height for node in nodes.chosen(late))
    await nodes.until_agreed(within_s=90)
    taken_s = trio.current_time() - started_at
    await trio.sleep(20)

    assert taken_s < 30
    await nodes.until_agreed(within_s=5)
    for node in nodes.chosen(late):
        status = node.node.status()
        assert (status["phase"], status["consensus"], status["behind"]) == ("live", True, 0)
    nodes.check()
    nursery.cancel_scope.cancel()


async def test_a_lost_peer_is_dialled_again(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery, mix={"full": 4}, topology=Topology.MESH)
    await nodes.start()
    await trio.sleep(2)
    first, second = nodes.nodes[0], nodes.nodes[1]
    assert second.peer_id in first.node.peers

    nodes.hub.disconnect(first.peer_id, second.peer_id)
    assert second.peer_id not in first.node.peers
    await nodes.until(lambda: second.peer_id in first.node.peers, within_s=3)

    nodes.kill(["full-1"])
    await trio.sleep(30)
    await nodes.start(["full-1"])
    await nodes.until(lambda: len(first.node.peers) == 3, within_s=15)
    nursery.cancel_scope.cancel()


async def test_a_node_alone_waits_for_peers(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Without consensus a validator signs nothing, and says so."""
    nodes = Nodes(nursery, mix={"full": 4})
    await nodes.start(["full-1"])
    await trio.sleep(60)

    alone = nodes.nodes[0].node
    assert (alone.status()["height"], alone.status()["consensus"]) == (0, False)
    assert alone.status()["phase"] == "searching"

    await nodes.start(["full-2", "full-3", "full-4"])
    await nodes.until_final(8, within_s=60)
    nursery.cancel_scope.cancel()


async def test_a_question_for_news_is_answered_when_there_are_some(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery, mix={"full": 4})
    await nodes.start()
    await trio.sleep_until(2.5)
    node = nodes.nodes[0].node
    before = node.status()

    after = before
    while after["height"] == before["height"]:
        sequence = after["sequence"]
        after = await node.status_after(sequence, 30)
        assert after["sequence"] > sequence
    assert after["height"] == before["height"] + 1
    assert 3 <= trio.current_time() < 3.5

    nodes.kill(["full-2", "full-3", "full-4"])
    await trio.sleep(5)
    asked_at = trio.current_time()
    quiet = await node.status_after(node.status()["sequence"], 1.5)
    assert trio.current_time() == asked_at + 1.5
    assert quiet["peers"] == 0
    nursery.cancel_scope.cancel()


async def test_shutting_down_is_asked_for_once_or_often(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nodes = Nodes(nursery, mix={"full": 4})
    await nodes.start(["full-1"])
    node = nodes.nodes[0].node
    with trio.move_on_after(60) as waiting:
        await node.wait_for_shutdown()
    assert waiting.cancelled_caught
    node.shut_down()
    node.shut_down()
    with trio.fail_after(1):
        await node.wait_for_shutdown()
    nursery.cancel_scope.cancel()


async def test_what_a_node_says_of_itself(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    nodes = Nodes(nursery, conditions=LinkConditions(latency_s=(0.01, 0.02)))
    await nodes.start()
    await trio.sleep_until(5.5)
    by_name = {node.spec.name: node.node for node in nodes.nodes}
    light, full = by_name["light-1"], by_name["full-1"]
    hellos = {peer.hello.services for peer in full.peers.values()}
    assert len(hellos) == 4
    assert full.peer_id == PeerId("full-1")
    assert full.listen_addresses == ("/memory/full-1/p2p/full-1",)
    assert set(full.peer_lists()) == set(full.peers)
    status = full.status()
    assert (status["height"], status["finalized"], status["validator"]) == (5, 4, True)
    assert status["head"] == light.status()["head"]
    assert status["finalized_hash"] == light.status()["finalized_hash"]
    assert status["bytes_in"] == sum(peer.bytes_in for peer in full.peers.values()) > 0
    assert light.status()["validator"] is False
    nursery.cancel_scope.cancel()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(SEEDS))
def test_trouble(seed: int) -> None:
    """Partitions, kills, late joiners, loss: in the end one chain, never two final blocks."""
    run_chaos(seed)


@pytest.mark.parametrize("seed", [3, 9])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    """To the bit, and whatever order sets have in a process."""
    transcripts = {
        subprocess.run(
            [sys.executable, "-m", "tests.sim.node_chaos", str(seed)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert transcripts == {run_chaos(seed).transcript() + "\n"}
