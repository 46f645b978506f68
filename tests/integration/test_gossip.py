"""Gossip intake: once, bounded, signed, and nothing kept that a stranger could fill."""

import threading

import pytest
import trio
import trio.testing
from libp2p.pubsub.pb import rpc_pb2

from node.net.libp2p import NetworkLimits, multistream
from node.net.libp2p.frames import Flag, Kind, encode_header
from node.net.libp2p.gossip import SUBSCRIBING
from node.net.libp2p.identity import Identity, decode_peer_id
from node.net.libp2p.router import Router
from node.net.network import GossipMessage, MessageId, Verdict
from protocols.ids import RequestProtocol, Topic, topic_id
from protocols.rate_limit import RateLimit
from tests.integration.attacker import Attacker, Target, credit_frame, data_frames
from tests.integration.forgery import forged_message, signed_message
from tests.integration.nodes import (
    BOUND_S,
    GENESIS,
    RealNode,
    echo,
    make_network,
    meshed,
    seed_of,
    start,
)

pytestmark = pytest.mark.network

HEAD = RequestProtocol.HEAD
TOPIC = topic_id(GENESIS, Topic.VOTES)


async def victim_in(nursery: trio.Nursery, limits: NetworkLimits | None = None) -> RealNode:
    network = make_network("victim", limits=limits or NetworkLimits())
    return await start(nursery, network, handlers={HEAD: echo}, topics=[Topic.VOTES])


def rpc_of(*messages: rpc_pb2.Message) -> bytes:
    encoded: bytes = rpc_pb2.RPC(publish=messages).SerializeToString()
    return encoded


async def next_message(node: RealNode) -> GossipMessage:
    with trio.fail_after(BOUND_S):
        return await node.inboxes[Topic.VOTES].receive()


def is_empty(node: RealNode) -> bool:
    return node.inboxes[Topic.VOTES].statistics().current_buffer_used == 0


async def test_message_from_many_peers_is_judged_once(nursery: trio.Nursery) -> None:
    """A stock host marks it as seen after its validation, and validates it once per peer."""
    victim = await victim_in(nursery)
    target = Target.of(victim)
    message = signed_message(GENESIS, Identity.from_seed(seed_of("source")), b"once")
    for number in range(5):
        attacker = await Attacker.join(target, f"forwarder {number}")
        await attacker.gossip(rpc_of(message, message), rpc_of(message))
        await attacker.ask(HEAD, b"read by now")
    assert (await next_message(victim)).payload == b"once"
    assert is_empty(victim)
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_verdict_that_comes_too_late_is_ignored(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery, NetworkLimits(verdict_timeout_s=0.1))
    listener = await start(nursery, make_network("listener"), topics=[Topic.VOTES])
    await victim.network.connect(listener.network.listen_addresses[0])
    await meshed(victim, listener, Topic.VOTES, GENESIS)
    target = Target.of(victim)
    source = Identity.from_seed(seed_of("source"))
    attacker = await Attacker.join(target)
    await attacker.gossip(rpc_of(signed_message(GENESIS, source, b"late", seqno=1)))
    late = await next_message(victim)
    with trio.fail_after(BOUND_S):
        while len(victim.network._gossip._undecided):
            await trio.testing.wait_all_tasks_blocked(0.01)
    victim.network.resolve(late.id, Verdict.ACCEPT)

    await attacker.gossip(rpc_of(signed_message(GENESIS, source, b"in time", seqno=2)))
    victim.network.resolve((await next_message(victim)).id, Verdict.ACCEPT)
    assert (await next_message(listener)).payload == b"in time"
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_unknown_message_may_be_resolved(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    victim.network.resolve(MessageId(b"never seen"), Verdict.REJECT)
    nursery.cancel_scope.cancel()


async def test_one_forwarder_cannot_use_up_all_places(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery, NetworkLimits(max_undecided=20, max_undecided_per_peer=5))
    target = Target.of(victim)
    source = Identity.from_seed(seed_of("source"))
    for name, first in (("flooder", 0), ("other", 100)):
        attacker = await Attacker.join(target, name)
        numbers = range(first, first + (50 if name == "flooder" else 3))
        await attacker.gossip(
            *[rpc_of(signed_message(GENESIS, source, b"%d" % n, seqno=n)) for n in numbers]
        )
        await attacker.ask(HEAD, b"read by now")
    waiting = [(await next_message(victim)).payload for _ in range(8)]
    assert waiting == [b"%d" % n for n in (0, 1, 2, 3, 4, 100, 101, 102)]
    assert is_empty(victim)
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_message_without_place_may_come_again(nursery: trio.Nursery) -> None:
    """It was not marked as seen: another forwarder still brings it."""
    victim = await victim_in(nursery, NetworkLimits(max_undecided_per_peer=1))
    target = Target.of(victim)
    source = Identity.from_seed(seed_of("source"))
    messages = [signed_message(GENESIS, source, b"%d" % n, seqno=n) for n in range(2)]
    for name in ("first", "second"):
        attacker = await Attacker.join(target, name)
        await attacker.gossip(rpc_of(*messages))
        await attacker.ask(HEAD, b"read by now")
    assert [(await next_message(victim)).payload for _ in range(2)] == [b"0", b"1"]
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_slow_reader_loses_messages_and_no_more(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery, NetworkLimits(subscription_size=2))
    target = Target.of(victim)
    source = Identity.from_seed(seed_of("source"))
    attacker = await Attacker.join(target)
    messages = [signed_message(GENESIS, source, b"%d" % n, seqno=n) for n in range(10)]
    await attacker.gossip(rpc_of(*messages))
    await attacker.ask(HEAD, b"read by now")
    assert len(victim.network._gossip._undecided) == 2
    assert [(await next_message(victim)).payload for _ in range(2)] == [b"0", b"1"]
    assert is_empty(victim)
    target.hang_up()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "kind", ["garbage", "rsa", "no from", "no seqno", "long seqno", "no signature"]
)
async def test_forged_message_costs_its_forwarder(kind: str, nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    await attacker.gossip(forged_message(GENESIS, kind))
    await attacker.ask(HEAD, b"read by now")
    assert is_empty(victim)
    assert victim.network.peers[attacker.identity.peer_id].score > 0
    target.hang_up()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("field", ["data", "from_id", "seqno", "topicIDs", "signature", "key"])
async def test_every_field_is_signed(field: str, nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    message = signed_message(GENESIS, Identity.from_seed(seed_of("source")), b"signed")
    match field:
        case "topicIDs":
            message.topicIDs[0] = topic_id(GENESIS, Topic.BODIES)
        case "key":
            message.key = message.from_id[2:-1] + b"?"
        case _:
            setattr(message, field, getattr(message, field)[:-1] + b"?")
    attacker = await Attacker.join(target)
    await attacker.gossip(rpc_of(message))
    await attacker.ask(HEAD, b"read by now")
    assert is_empty(victim)
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_messages_of_other_topics_are_nobodys_fault(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    source = Identity.from_seed(seed_of("source"))
    attacker = await Attacker.join(target)
    await attacker.gossip(
        rpc_of(signed_message(GENESIS, source, b"not subscribed", topic=Topic.BODIES)),
        forged_message(GENESIS, "bad topic"),
        forged_message(GENESIS, "two topics"),
    )
    await attacker.ask(HEAD, b"read by now")
    assert is_empty(victim)
    assert victim.network.peers[attacker.identity.peer_id].score == 0
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_own_message_that_comes_back_is_dropped(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    ours = signed_message(GENESIS, Identity.from_seed(seed_of("victim")), b"before a restart")
    await attacker.gossip(rpc_of(ours))
    await attacker.ask(HEAD, b"read by now")
    assert is_empty(victim)
    assert victim.network.peers[attacker.identity.peer_id].score == 0
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_wanting_a_message_many_times_brings_it_once(nursery: trio.Nursery) -> None:
    """A stock router sends it as often as its id is repeated."""
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    message = signed_message(GENESIS, attacker.identity, bytes(100_000))
    await attacker.gossip(rpc_of(message))
    victim.network.resolve((await next_message(victim)).id, Verdict.ACCEPT)
    outlet = await accept_gossip(attacker)

    rpc = rpc_pb2.RPC()
    rpc.control.iwant.add(messageIDs=[message.from_id + message.seqno] * 1000)
    await attacker.gossip(rpc.SerializeToString())
    received = 0
    with trio.fail_after(BOUND_S):
        while received < 100_000:
            frame = await attacker.next_frame()
            received += len(frame.payload) if frame.stream_id == outlet else 0
        with trio.move_on_after(0.3):
            while True:
                frame = await attacker.next_frame()
                received += len(frame.payload) if frame.stream_id == outlet else 0
    assert received < 110_000
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_who_has_a_message_does_not_get_it_back(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copies come while the first one waits for its verdict; stock sends it back to all of them."""
    # A heartbeat forgets who has what.
    monkeypatch.setattr(Router, "heartbeat", _no_heartbeat)
    victim = await victim_in(nursery)
    target = Target.of(victim)
    joining = rpc_pb2.RPC()
    joining.subscriptions.add(subscribe=True, topicid=TOPIC)
    joining.control.graft.add(topicID=TOPIC)
    message = signed_message(GENESIS, Identity.from_seed(seed_of("source")), bytes(50_000))
    received = {}
    for name in ("first", "second", "third"):
        attacker = await Attacker.join(target, name)
        outlet = await accept_gossip(attacker)
        has_it = name != "third"
        await attacker.gossip(joining.SerializeToString(), *[rpc_of(message)] * has_it)
        await attacker.ask(HEAD, b"read by now")
        received[name] = attacker, outlet
    pubsub = victim.network._gossip._pubsub
    assert pubsub is not None
    while sum(map(len, pubsub.router.dont_send_message_ids.values())) < 1:
        await received["first"][0].ask(HEAD, b"read some time")
    victim.network.resolve((await next_message(victim)).id, Verdict.ACCEPT)
    await trio.testing.wait_all_tasks_blocked(0.01)
    await victim.network.publish(Topic.VOTES, b"the next one")

    sizes = {
        name: len(await _read_until(*each, b"the next one")) for name, each in received.items()
    }
    assert [name for name, size in sizes.items() if size > len(message.data)] == ["third"]
    target.hang_up()
    nursery.cancel_scope.cancel()


async def _no_heartbeat(_: Router) -> None:
    await trio.sleep_forever()


async def _read_until(attacker: Attacker, outlet: int, end: bytes) -> bytes:
    """Return all that the target has written to a stream, up to some bytes."""
    taken = b""
    with trio.fail_after(BOUND_S):
        while end not in taken:
            frame = await attacker.next_frame()
            taken += frame.payload if frame.stream_id == outlet else b""
    return taken


async def test_newer_gossip_stream_replaces_the_older(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    older = await attacker.gossip()
    await attacker.ask(HEAD, b"the older one is there by now")
    source = Identity.from_seed(seed_of("source"))
    await attacker.gossip(rpc_of(signed_message(GENESIS, source, b"on the newer")))
    await attacker.until_reset(older)
    assert (await next_message(victim)).payload == b"on the newer"
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_subscribing_again_and_again_is_not_answered_each_time(
    nursery: trio.Nursery,
) -> None:
    """Each new subscription is answered with all recent messages: 70 bytes ask for megabytes."""
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    outlet = await accept_gossip(attacker)
    await victim.network.publish(Topic.VOTES, bytes(10_000))
    rpc = rpc_pb2.RPC()
    rpc.subscriptions.add(subscribe=True, topicid=TOPIC)
    rpc.subscriptions.add(subscribe=False, topicid=TOPIC)
    received = 0
    for _ in range(120):
        await attacker.gossip(rpc.SerializeToString())
        await attacker.send(encode_header(Kind.PING, Flag.SYN, 0, 1))
        while (frame := await attacker.next_frame()).kind is not Kind.PING:
            received += len(frame.payload) if frame.stream_id == outlet else 0
    # Two changes of a subscription are one answer.
    assert received < SUBSCRIBING.capacity * 11_000
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_flood_of_one_forwarder_is_dropped_before_it_is_checked(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.net.libp2p.gossip.MESSAGES", RateLimit(capacity=3))
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    source = Identity.from_seed(seed_of("source"))
    messages = [signed_message(GENESIS, source, b"%d" % n, seqno=n) for n in range(10)]
    await attacker.gossip(rpc_of(*messages))
    await attacker.ask(HEAD, b"read by now")
    assert [(await next_message(victim)).payload for _ in range(3)] == [b"0", b"1", b"2"]
    assert is_empty(victim)
    target.hang_up()
    nursery.cancel_scope.cancel()


async def accept_gossip(attacker: Attacker) -> int:
    """Take the gossip stream that the target opens, with credit for everything."""
    with trio.fail_after(BOUND_S):
        while not attacker.offered:
            await attacker.next_frame()
    stream_id = attacker.offered[0]
    names = multistream.encode(multistream.HELLO, "/meshsub/1.1.0")
    await attacker.send(credit_frame(stream_id), *data_frames(stream_id, names))
    return stream_id


async def test_nothing_is_kept_of_what_passed(nursery: trio.Nursery) -> None:
    """A stock router keeps every message for comparison, and for peers that never subscribe."""
    threads = threading.active_count()
    victim = await victim_in(nursery)
    mute = await start(nursery, make_network("mute"))
    await victim.network.connect(mute.network.listen_addresses[0])
    for number in range(50):
        await victim.network.publish(Topic.VOTES, b"%d" % number)
    pubsub = victim.network._gossip._pubsub
    assert pubsub is not None
    router = pubsub.router
    assert (
        len(router.equivocation_detection),
        len(router._pending_messages),
        len(router.recent_message_deliveries),
        router.scorer,
    ) == (0, 0, 0, None)
    # Idle threads of tests before this one may end meanwhile.
    assert threading.active_count() <= threads
    nursery.cancel_scope.cancel()


async def test_back_off_for_topics_that_are_not_ours_is_not_kept(nursery: trio.Nursery) -> None:
    victim = await victim_in(nursery)
    target = Target.of(victim)
    attacker = await Attacker.join(target)
    rpc = rpc_pb2.RPC()
    for number in range(100):
        rpc.control.prune.add(topicID=f"/nowhere/{number}", backoff=2**64 - 1)
    rpc.control.prune.add(topicID=TOPIC, backoff=2**64 - 1)
    await attacker.gossip(rpc.SerializeToString())
    await attacker.ask(HEAD, b"read by now")
    pubsub = victim.network._gossip._pubsub
    assert pubsub is not None
    assert set(pubsub.router.back_off) <= {TOPIC}
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_subscriptions_come_back_by_themselves(nursery: trio.Nursery) -> None:
    """What one side has forgotten is announced again, so no link stays one-way."""
    pair = [
        await start(
            nursery,
            make_network(name, limits=NetworkLimits(announce_interval_s=0.1)),
            topics=[Topic.VOTES],
        )
        for name in ("left", "right")
    ]
    left, right = pair
    await left.network.connect(right.network.listen_addresses[0])
    await meshed(left, right, Topic.VOTES, GENESIS)
    pubsub = left.network._gossip._pubsub
    assert pubsub is not None
    other = decode_peer_id(right.network.peer_id)
    pubsub._forget_all_subscriptions(other)
    await pubsub.wait_for_subscription(other, TOPIC, timeout=BOUND_S)
    nursery.cancel_scope.cancel()
