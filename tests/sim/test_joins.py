"""Late nodes of each kind join a network that is some way ahead, over good links and bad ones."""

import pytest
import trio
from trio.testing import MockClock

from node.blocks.block import Block
from node.errors import Fault
from node.net.hub import LinkConditions
from node.net.simulated import SimulatedNetwork, simulated_address
from node.profiles import MacroSyncKind
from node.sync.live.config import QueueConfig
from node.sync.live.events import Ahead
from node.sync.peers import RECHECK_S, PeerList
from node.sync.syncer import Phase
from protocols.ids import RequestProtocol
from protocols.messages.block import BlockRequest, BlockResponse
from protocols.messages.handshake import Hello
from protocols.status import Refusal, ResponseStatus
from protocols.types import PeerId
from tests.build.macro_sync import BATCH, DISTANCES, EPOCH, Forger, changed, unsigned
from tests.build.sync import make_hello, short_batches
from tests.sim.followers import HISTORY, LIGHT, Follower, Followers

LENGTH = 44
KINDS = (MacroSyncKind.HISTORY, MacroSyncKind.LIGHT, MacroSyncKind.PICO)

GOOD_S = 3.0
"""On good links: a dozen round trips of a tenth of a second at most, and a pause or two."""

LOSS = 0.1
LOSSY_S = 2 * RECHECK_S + 30.0
"""One request in five gets no answer and costs a timeout of ten seconds. A peer that brings none
three times in a row is left alone for a minute, and all three peers may have been: then twice."""

LOSSY = LinkConditions(loss=LOSS)


def config_of(kind: MacroSyncKind) -> QueueConfig:
    """Return the bounds of a kind of node."""
    return HISTORY if kind is MacroSyncKind.HISTORY else LIGHT


async def join(cluster: Followers, kind: MacroSyncKind) -> Follower:
    """Start a node of a kind at genesis and link it to all others."""
    (late,) = await cluster.add(1, config=config_of(kind), kind=kind)
    return late


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_late_node_gets_there_and_follows(
    kind: MacroSyncKind, distance: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(2, known=distance)
    await cluster.add(1, known=distance, config=LIGHT)

    late = await join(cluster, kind)

    assert await cluster.until_all_at(distance, within_s=GOOD_S) < GOOD_S
    await trio.sleep(GOOD_S)
    assert late.chain.head.hash == cluster.producer.chain.head.hash
    assert late.chain.macro_head == cluster.producer.chain.macro_head
    assert late.sync.status().phase is Phase.LIVE
    await cluster.produce(distance + 1, distance + BATCH)
    assert late.height == distance + BATCH
    assert late.reports == []
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_late_node_gets_there_though_one_request_in_five_is_lost(
    kind: MacroSyncKind, distance: int, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    cluster = Followers(nursery, short_batches(LENGTH), seed=distance, conditions=LOSSY)
    await cluster.add(3, known=distance)

    late = await join(cluster, kind)
    nursery.start_soon(cluster.keep_linked)

    await cluster.until_all_at(distance, within_s=LOSSY_S)
    assert late.chain.head.hash == cluster.producer.chain.head.hash
    assert {fault for _, fault in late.reports} <= {Fault.TOO_SLOW}
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("loss", [0.0, LOSS])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_source_leaves_in_the_middle(
    kind: MacroSyncKind, loss: float, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The others continue: on good links at once, since the end of a connection is known."""
    head = 2 * EPOCH + BATCH + 1
    cluster = Followers(nursery, short_batches(LENGTH), conditions=LinkConditions(loss=loss))
    await cluster.add(4, known=head)
    (late,) = await cluster.add(1, config=config_of(kind), kind=kind, dials=False)
    nursery.start_soon(cluster.link, late)
    with trio.fail_after(GOOD_S):
        while late.sync.status().phase is not Phase.MACRO_SYNC:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.001)

    busy = next(peer for peer in late.network.linked if late.network._links[peer].pending)
    cluster.hub.kill(busy)

    assert late.height < head
    await cluster.until_all_at(head, within_s=LOSSY_S if loss else GOOD_S)
    assert late.chain.head.hash == cluster.running[0].chain.head.hash
    nursery.cancel_scope.cancel()


async def test_a_light_node_that_missed_a_macro_block_recovers_from_nodes_that_pruned_it(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Its peers keep one batch. It need not fall back by two before it asks for macro blocks."""
    cluster = Followers(nursery, short_batches(LENGTH))
    await cluster.add(1)
    await cluster.add(3, config=LIGHT)
    await cluster.add(2, config=LIGHT, kind=MacroSyncKind.PICO)
    (late,) = await cluster.add(1, config=LIGHT, dials=False)
    for peer in cluster.nodes[1:-1]:
        await late.network.connect(simulated_address(peer.peer_id))
    await cluster.produce(1, 2)
    assert late.height == 2
    set_loss(cluster, late, 1.0)
    await cluster.produce(3, 2 * BATCH + 3)
    assert late.height == 2

    set_loss(cluster, late, 0.0)
    await cluster.producer.publish(cluster.builder.block_at(2 * BATCH + 4))

    await cluster.until_all_at(2 * BATCH + 4, within_s=GOOD_S)
    await trio.sleep(GOOD_S)
    assert [event for _, event in late.events if isinstance(event, Ahead)] != []
    assert {fault for _, fault in late.reports} <= {Fault.TOO_SLOW}
    lists = late.sync.status().peers
    assert set(lists[PeerList.LIVE]) == {peer.peer_id for peer in cluster.nodes[1:-1]}
    nursery.cancel_scope.cancel()


def set_loss(cluster: Followers, node: Follower, loss: float) -> None:
    """Let the links of a node lose messages. They stay connected."""
    for other in cluster.nodes:
        cluster.hub.set_conditions(node.peer_id, other.peer_id, LinkConditions(loss=loss))


class ForgingPeer:
    """Says that its chain ends in an election block that nobody has elected."""

    def __init__(self, cluster: Followers, forged: Block) -> None:
        self._cluster = cluster
        self._forger = Forger(PeerId("forger"), [forged])
        self.network = SimulatedNetwork(cluster.hub, self._forger.peer, self._hello)
        self.network.serve(RequestProtocol.HEAD, self._serve_head)
        self.network.serve(RequestProtocol.BLOCK, self._serve_block)

    def _hello(self) -> Hello:
        return make_hello(self._cluster.producer.chain)

    async def _serve_head(self, _peer: PeerId, _payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        return self._forger.head.encode()

    async def _serve_block(self, _peer: PeerId, payload: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        (forged,) = self._forger.blocks
        if BlockRequest.decode(payload).hash != forged.hash:
            return Refusal(ResponseStatus.NOT_FOUND).encode()
        return BlockResponse(block=forged.without_body().encode()).encode()


@pytest.mark.parametrize("loss", [0.0, LOSS])
async def test_a_pico_that_met_a_forger_first_ends_on_the_true_chain(
    loss: float, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    head = 2 * EPOCH + BATCH + 1
    conditions = LinkConditions(loss=loss)
    cluster = Followers(nursery, short_batches(LENGTH), conditions=conditions)
    await cluster.add(2, known=head)
    forged = unsigned(changed(cluster.builder.block_at(2 * EPOCH), extra_data=b"lie"))
    forger = ForgingPeer(cluster, forged)
    await nursery.start(forger.network.run)
    (late,) = await cluster.add(1, config=LIGHT, kind=MacroSyncKind.PICO, dials=False)
    await late.network.connect(simulated_address(forger.network.peer_id))
    with trio.fail_after(LOSSY_S):
        while late.chain.macro_head.hash != forged.hash:  # noqa: ASYNC110 - virtual time
            await trio.sleep(0.05)

    await cluster.link(late)
    nursery.start_soon(cluster.keep_linked)

    await cluster.until_all_at(head, within_s=LOSSY_S if loss else GOOD_S)
    assert late.chain.head.hash == cluster.producer.chain.head.hash
    assert late.chain.hash_at(forged.number) != forged.hash
    nursery.cancel_scope.cancel()
