"""Listening, dialling, joining, leaving and ending, against peers that do not play along."""

from collections.abc import Awaitable, Callable

import pytest
import structlog.testing
import trio
import trio.testing

from node.errors import Fault, ListenError, UnavailableError
from node.net.libp2p import NetworkLimits, multistream
from node.net.libp2p.failures import ConnectionLostError
from node.net.network import LeaveReason, PeerJoined, PeerLeft
from protocols.frames import encode_frames
from protocols.ids import RequestProtocol, Topic
from protocols.types import Hash32, PeerId
from tests.integration.attacker import (
    Attacker,
    Target,
    credit_frame,
    fin_frame,
    reset_frame,
    tcp_until_hung_up,
)
from tests.integration.nodes import (
    BOUND_S,
    GENESIS,
    LOOPBACK,
    RealNode,
    echo,
    make_hello,
    make_network,
    meshed,
    start,
)

pytestmark = pytest.mark.network

HEAD = RequestProtocol.HEAD
BLOCK = RequestProtocol.BLOCK
QUICK = NetworkLimits(
    dial_timeout_s=0.5,
    upgrade_timeout_s=0.5,
    hello_timeout_s=0.5,
    idle_ping_s=0.2,
    silence_s=0.5,
    duplicate_grace_s=0.1,
)


async def event_of(node: RealNode) -> PeerJoined | PeerLeft:
    with trio.fail_after(BOUND_S):
        return await node.network.events.receive()


async def test_taken_port_is_named(nursery: trio.Nursery) -> None:
    first = await start(nursery, make_network("first"))
    address = first.network.listen_addresses[0].split("/p2p/")[0]
    second = make_network("second", listen=[LOOPBACK, address])
    with pytest.raises(ListenError, match=address):
        await second.run()
    assert second.listen_addresses == ()
    nursery.cancel_scope.cancel()


async def test_port_is_free_again_after_the_end(nursery: trio.Nursery) -> None:
    first = await start(nursery, make_network("first"))
    address = first.network.listen_addresses[0].split("/p2p/")[0]
    first.scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    again = await start(nursery, make_network("first", listen=[address]))
    assert again.network.listen_addresses == (f"{address}/p2p/{again.network.peer_id}",)
    nursery.cancel_scope.cancel()


async def test_node_without_address_can_dial(nursery: trio.Nursery) -> None:
    quiet = await start(nursery, make_network("quiet", listen=[]))
    other = await start(nursery, make_network("other"))
    assert quiet.network.listen_addresses == ()
    await quiet.network.connect(other.network.listen_addresses[0])
    assert set(other.network.peers) == {quiet.network.peer_id}
    nursery.cancel_scope.cancel()


async def test_simultaneous_dials_end_in_one_connection(nursery: trio.Nursery) -> None:
    for number in range(5):
        pair = [
            await start(
                nursery,
                make_network(f"{side}{number}", limits=QUICK),
                handlers={HEAD: echo},
                topics=[Topic.VOTES],
            )
            for side in ("left", "right")
        ]
        await check_simultaneous_dial(pair[0], pair[1])
    nursery.cancel_scope.cancel()


async def check_simultaneous_dial(left: RealNode, right: RealNode) -> None:
    async with trio.open_nursery() as dialling:
        for one, other in ((left, right), (right, left)):
            dialling.start_soon(one.network.connect, other.network.listen_addresses[0])
    for one, other in ((left, right), (right, left)):
        assert await event_of(one) == PeerJoined(other.network.peer_id, make_hello())
    with trio.fail_after(BOUND_S):
        while len(left.network._switch.connections) + len(right.network._switch.connections) > 2:
            oldest = next(iter(left.network._switch.connections))
            with trio.move_on_after(0.1):
                await oldest.muxer.closed.wait()
        # The lower id's dial is the one that both keep.
        ids = left.network.peer_id, right.network.peer_id
        assert left.network.peers[ids[1]].is_inbound == (ids[1] < ids[0])
        assert right.network.peers[ids[0]].is_inbound == (ids[0] < ids[1])
        await meshed(left, right, Topic.VOTES, GENESIS)
        assert await left.network.request(ids[1], HEAD, b"hi") == b"hi"
        assert await right.network.request(ids[0], HEAD, b"hi") == b"hi"
    for node in (left, right):
        with pytest.raises(trio.WouldBlock):
            node.network.events.receive_nowait()


async def _say_nothing(stream: trio.SocketStream) -> None:
    async with stream:
        await trio.sleep_forever()


async def _hang_up(stream: trio.SocketStream) -> None:
    await stream.aclose()


async def _send_garbage(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 10)
        await trio.sleep_forever()


async def _stall_in_noise(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(multistream.encode(multistream.HELLO, "/noise"))
        await trio.sleep_forever()


async def _garble_noise(stream: trio.SocketStream) -> None:
    async with stream:
        await stream.send_all(multistream.encode(multistream.HELLO, "/noise"))
        await stream.send_all(b"\x00\x60" + bytes(96))
        await trio.sleep_forever()


@pytest.mark.parametrize(
    "behave", [_say_nothing, _hang_up, _send_garbage, _stall_in_noise, _garble_noise]
)
async def test_dial_to_a_bad_listener_ends_in_time(
    behave: Callable[[trio.SocketStream], Awaitable[None]], nursery: trio.Nursery
) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    other = make_network("other").peer_id
    async with trio.open_nursery() as serving:
        serving.start_soon(trio.serve_listeners, behave, listeners)
        with trio.fail_after(BOUND_S), pytest.raises(UnavailableError):
            await node.network.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{other}")
        serving.cancel_scope.cancel()
    assert not node.network._switch.connections
    nursery.cancel_scope.cancel()


async def test_dial_to_somebody_else_fails(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node"))
    other = await start(nursery, make_network("other"))
    address = other.network.listen_addresses[0].split("/p2p/")[0]
    with pytest.raises(UnavailableError):
        await node.network.connect(f"{address}/p2p/{make_network('third').peer_id}")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "address", ["", "/ip4/127.0.0.1/tcp/1", "/ip4/127.0.0.1/udp/1/p2p/x", "/dns/x/tcp/1/p2p/!!"]
)
async def test_nonsensical_address(address: str, nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node"))
    with pytest.raises(UnavailableError):
        await node.network.connect(address)
    nursery.cancel_scope.cancel()


async def test_peer_that_refused_a_moment_ago_can_be_dialled(nursery: trio.Nursery) -> None:
    """A stock host blocks a peer for a minute after one refused dial."""
    node = await start(nursery, make_network("node"))
    late = await start(nursery, make_network("late"))
    address = late.network.listen_addresses[0]
    late.scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(UnavailableError):
        await node.network.connect(address)
    await start(nursery, make_network("late", listen=[address.split("/p2p/")[0]]))
    assert await node.network.connect(address) == late.network.peer_id
    nursery.cancel_scope.cancel()


async def test_inbound_peer_without_hello_is_dropped(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    with structlog.testing.capture_logs() as lines:
        async with await Attacker.dial(Target.of(node)) as attacker:
            await attacker.until_hung_up()
    assert [(line["event"], line["reason"]) for line in lines] == [("peer_dropped", "no handshake")]
    with pytest.raises(trio.WouldBlock):
        node.network.events.receive_nowait()
    nursery.cancel_scope.cancel()


async def test_two_nodes_with_one_key_are_told_of(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    twins = [await start(nursery, make_network("twin")) for _ in range(2)]
    address = node.network.listen_addresses[0]
    with structlog.testing.capture_logs() as lines:
        for turn in range(5):
            await twins[turn % 2].network.connect(address)
            assert isinstance(await event_of(twins[turn % 2]), PeerJoined)
            if turn:
                assert isinstance(await event_of(twins[1 - turn % 2]), PeerLeft)
    (line,) = lines
    assert (line["event"], line["log_level"]) == ("two_nodes_with_one_key", "warning")
    assert line["peer"] == twins[0].network.peer_id
    nursery.cancel_scope.cancel()


async def test_other_genesis_is_dropped_and_banned_on_both_sides(nursery: trio.Nursery) -> None:
    other_genesis = Hash32(bytes(32))
    ours = await start(nursery, make_network("ours"))
    theirs = await start(
        nursery,
        make_network(
            "theirs", genesis=other_genesis, hello=lambda: make_hello(genesis=other_genesis)
        ),
    )
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(UnavailableError):
            await theirs.network.connect(ours.network.listen_addresses[0])
        await banned(ours, theirs)
        await banned(theirs, ours)
    assert sorted(line["event"] for line in lines) == ["peer_banned"] * 2 + ["wrong_network"] * 2
    nursery.cancel_scope.cancel()


async def test_other_version_is_dropped_and_banned_on_both_sides(nursery: trio.Nursery) -> None:
    ours = await start(nursery, make_network("ours"))
    newer = make_hello(network=8)
    theirs = await start(nursery, make_network("theirs", hello=lambda: newer))
    with pytest.raises(UnavailableError, match="network 7, ours is 8"):
        await theirs.network.connect(ours.network.listen_addresses[0])
    await banned(ours, theirs)
    await banned(theirs, ours)
    nursery.cancel_scope.cancel()


async def banned(judge: RealNode, judged: RealNode) -> None:
    """Wait until one node has banned another."""
    with trio.fail_after(BOUND_S):
        while judge.network.admits_peer(judged.network.peer_id):
            await trio.testing.wait_all_tasks_blocked()


async def test_malformed_hello_costs_score(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    async with await Attacker.dial(Target.of(node)) as attacker:
        name = attacker.target.protocol(RequestProtocol.HANDSHAKE)
        stream_id = await attacker.start(name, *encode_frames(b"no hello"))
        await attacker.send(fin_frame(stream_id))
        await attacker.until_hung_up()
        assert node.network._scores.points(attacker.identity.peer_id, trio.current_time()) > 0
    nursery.cancel_scope.cancel()


async def test_silent_peer_leaves(nursery: trio.Nursery) -> None:
    """Nothing comes and no connection ends: as if the other machine had lost its power."""
    node = await start(nursery, make_network("node", limits=QUICK))
    async with await Attacker.join(Target.of(node)) as attacker:
        peer = attacker.identity.peer_id
        assert await event_of(node) == PeerJoined(peer, make_hello())
        assert await event_of(node) == PeerLeft(peer, LeaveReason.CLOSED)
    nursery.cancel_scope.cancel()


async def test_peer_that_only_answers_pings_stays(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    other = await start(nursery, make_network("other", limits=QUICK))
    await node.network.connect(other.network.listen_addresses[0])
    connection = next(iter(node.network._switch.connections))
    with trio.move_on_after(3 * QUICK.silence_s):
        await connection.muxer.closed.wait()
    assert connection.muxer.lost is None
    nursery.cancel_scope.cancel()


async def test_newer_connection_of_the_same_peer_replaces_the_older(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    target = Target.of(node)
    older, newer = await Attacker.join(target), await Attacker.join(target)
    peer = older.identity.peer_id
    await older.until_hung_up()
    assert await event_of(node) == PeerJoined(peer, make_hello())
    assert set(node.network.peers) == {peer}
    newer.close()
    assert await event_of(node) == PeerLeft(peer, LeaveReason.CLOSED)
    older.close()
    nursery.cancel_scope.cancel()


async def test_peer_limits_leave_room_for_our_dials(nursery: trio.Nursery) -> None:
    limits = NetworkLimits(max_peers=3, max_inbound_peers=2, events_size=64)
    node = await start(nursery, make_network("node", limits=limits))
    target = Target.of(node)
    for name in ("one", "two"):
        await Attacker.join(target, name)
    with pytest.raises(ConnectionLostError):
        await Attacker.join(target, "three")
    friend = await start(nursery, make_network("friend"))
    assert await node.network.connect(friend.network.listen_addresses[0])
    assert len(node.network.peers) == 3
    another = await start(nursery, make_network("another"))
    with pytest.raises(UnavailableError, match="enough peers"):
        await node.network.connect(another.network.listen_addresses[0])
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_socket_that_says_nothing_is_cut_off(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node", limits=QUICK))
    target = Target.of(node)
    await tcp_until_hung_up(await target.tcp())
    stalled = await target.tcp()
    await multistream.propose(stalled, "/noise")
    await tcp_until_hung_up(stalled)
    with trio.fail_after(BOUND_S):
        while node.network._switch._accepted:
            await trio.testing.wait_all_tasks_blocked(0.01)
    assert (node.network._switch._pending, node.network._switch.connections) == ({}, {})
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_connections_of_one_host_are_bounded_unless_it_is_ours(
    nursery: trio.Nursery,
) -> None:
    node = await start(nursery, make_network("node"))
    switch = node.network._switch
    many = node.network._limits.max_connections_per_host
    switch._accepted.update({"192.0.2.1": many, "192.0.2.2": many - 1, "127.0.0.1": many})
    hosts = ["192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1"]
    assert [switch._may_enter(host) for host in hosts] == [False, True, True, True]
    node.network._scores.ban(PeerId("peer"), "192.0.2.3", trio.current_time())
    assert not switch._may_enter("192.0.2.3")
    nursery.cancel_scope.cancel()


async def test_idle_sockets_push_each_other_out(nursery: trio.Nursery) -> None:
    """The oldest goes: refusing the newest would keep a quick newcomer out."""
    limits = NetworkLimits(max_pending=8)
    node = await start(nursery, make_network("node", limits=limits))
    target = Target.of(node)
    sockets = [await target.tcp() for _ in range(20)]
    for tcp in sockets[:12]:
        await tcp_until_hung_up(tcp)
    assert len(node.network._switch._pending) == limits.max_pending
    async with await Attacker.join(target):
        assert len(node.network.peers) == 1
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_tasks_of_one_peer_are_bounded(nursery: trio.Nursery) -> None:
    """Places are taken by tasks: a stream that was reset still has one until its task ends."""
    limits = NetworkLimits(max_inbound_streams=4)
    running, most = 0, 0

    async def slow(_peer: PeerId, _payload: bytes) -> bytes:
        nonlocal running, most
        running += 1
        most = max(most, running)
        with trio.CancelScope(deadline=trio.current_time() + BOUND_S):
            await trio.sleep_forever()
        return b"late"

    node = await start(nursery, make_network("node", limits=limits), handlers={HEAD: slow})
    async with await Attacker.join(Target.of(node)) as attacker:
        for _ in range(50):
            stream_id = await attacker.start(attacker.target.protocol(HEAD), b"\x01?")
            await attacker.send(fin_frame(stream_id))
            await trio.testing.wait_all_tasks_blocked()
            await attacker.send(reset_frame(stream_id))
        await trio.testing.wait_all_tasks_blocked()
        assert most == limits.max_inbound_streams
    nursery.cancel_scope.cancel()


async def test_ban_cuts_every_connection_of_a_peer(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node"))
    target = Target.of(node)
    first, second = await Attacker.join(target), await Attacker.dial(target)
    await second.is_answered()
    node.network.report(first.identity.peer_id, Fault.WRONG_NETWORK)
    await first.until_hung_up()
    await second.until_hung_up()
    peer = first.identity.peer_id
    assert [await event_of(node) for _ in range(2)] == [
        PeerJoined(peer, make_hello()),
        PeerLeft(peer, LeaveReason.BANNED),
    ]
    target.hang_up()
    nursery.cancel_scope.cancel()


async def test_ends_at_once_with_peers_that_are_stuck() -> None:
    async def large(_peer: PeerId, _payload: bytes) -> bytes:
        return bytes(8_000_000)

    async with trio.open_nursery() as nursery:
        node = await start(nursery, make_network("node"), handlers={BLOCK: large})
        target = Target.of(node)
        await target.tcp()
        await multistream.propose(await target.tcp(), "/noise")
        await Attacker.dial(target, "no hello")
        stuck = await Attacker.join(target, "reads nothing")
        for _ in range(4):
            stream_id = await stuck.start(target.protocol(BLOCK), b"\x01?")
            await stuck.send(credit_frame(stream_id), fin_frame(stream_id))
        await trio.testing.wait_all_tasks_blocked()
        with trio.fail_after(node.network._limits.close_timeout_s):
            node.scope.cancel()
            for connection in list(node.network._switch.connections):
                await connection.muxer.closed.wait()
    assert not node.network._switch.connections
    target.hang_up()
