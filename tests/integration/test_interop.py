"""A stock py-libp2p host and ours understand each other, whoever dials."""

import pytest
import trio

from node.net.libp2p.identity import decode_peer_id
from node.net.network import Verdict
from protocols.ids import RequestProtocol, Topic, topic_id
from tests.integration.nodes import BOUND_S, GENESIS, RealNode, echo, make_network, start
from tests.integration.stock import StockNode, stock_node

pytestmark = pytest.mark.network

LARGE = bytes(range(256)) * 64


@pytest.mark.parametrize("stock_dials", [False, True])
async def test_requests_and_gossip_go_both_ways(stock_dials: bool, nursery: trio.Nursery) -> None:
    ours = await start(
        nursery,
        make_network("ours"),
        handlers={RequestProtocol.HEAD: echo},
        topics=[Topic.VOTES],
    )
    async with stock_node(Topic.VOTES) as stock:
        with trio.fail_after(BOUND_S):
            if stock_dials:
                await stock.connect(ours.network.listen_addresses[0])
            else:
                await ours.network.connect(stock.address)
            await check_requests(ours, stock)
            await check_gossip(ours, stock)
    nursery.cancel_scope.cancel()


async def check_requests(ours: RealNode, stock: StockNode) -> None:
    assert await stock.ask(ours.network.peer_id, RequestProtocol.HEAD, b"hi") == b"hi"
    assert await ours.network.request(stock.peer_id, RequestProtocol.HEAD, b"ho") == b"ho"


async def check_gossip(ours: RealNode, stock: StockNode) -> None:
    topic = topic_id(GENESIS, Topic.VOTES)
    our_pubsub = ours.network._gossip._pubsub
    assert our_pubsub is not None
    await stock.pubsub.wait_for_mesh(decode_peer_id(ours.network.peer_id), topic, BOUND_S)
    await our_pubsub.wait_for_mesh(stock.host.get_id(), topic, BOUND_S)

    await stock.pubsub.publish(topic, LARGE)
    message = await ours.inboxes[Topic.VOTES].receive()
    ours.network.resolve(message.id, Verdict.ACCEPT)
    assert (message.payload, message.source) == (LARGE, stock.peer_id)

    await ours.network.publish(Topic.VOTES, LARGE[::-1])
    while (heard := await stock.subscription.get()).from_id == stock.host.get_id().to_bytes():
        pass
    assert heard.data == LARGE[::-1]
