"""Requests over bad paths, to peers that stall, and cancelled at the worst moment."""

import pytest
import trio
import trio.testing

from node.errors import PeerFaultError, UnavailableError
from node.net.libp2p import multistream
from node.net.libp2p.addresses import parse_address
from node.net.libp2p.frames import Flag, Kind
from node.net.network import PeerJoined
from protocols.frames import encode_frames
from protocols.ids import RequestProtocol, protocol_id
from protocols.limits import MAX_RESPONSE_BYTES
from protocols.types import PeerId
from tests.integration.attacker import (
    Attacker,
    Target,
    credit_frame,
    data_frames,
    fin_frame,
    reset_frame,
)
from tests.integration.nodes import BOUND_S, GENESIS, RealNode, echo, make_network, start

pytestmark = pytest.mark.network

HEAD = RequestProtocol.HEAD
BLOCK = RequestProtocol.BLOCK
LARGEST = bytes(MAX_RESPONSE_BYTES)
LONG = RequestProtocol.MISSING_BLOCKS
LONG_REQUEST = bytes(LONG.limits.max_request_bytes)


async def serve_largest(_peer: PeerId, _payload: bytes) -> bytes:
    return LARGEST


async def pair_in(nursery: trio.Nursery) -> tuple[RealNode, RealNode]:
    """Start a node that asks and one that serves, not connected."""
    asking = await start(nursery, make_network("asking"))
    serving = await start(
        nursery, make_network("serving"), handlers={HEAD: echo, BLOCK: serve_largest}
    )
    return asking, serving


async def test_largest_response_arrives(nursery: trio.Nursery) -> None:
    """A stock request helper gives up above 6.6 MB."""
    asking, serving = await pair_in(nursery)
    peer = await asking.network.connect(serving.network.listen_addresses[0])
    assert await asking.network.request(peer, BLOCK, b"?") == LARGEST
    record = serving.network.peers[asking.network.peer_id]
    assert record.bytes_out > len(LARGEST)
    assert asking.network.peers[peer].bytes_in == record.bytes_out
    nursery.cancel_scope.cancel()


async def test_any_number_of_requests_on_one_connection(nursery: trio.Nursery) -> None:
    asking, serving = await pair_in(nursery)
    peer = await asking.network.connect(serving.network.listen_addresses[0])
    for _ in range(3 * serving.network._limits.max_inbound_streams):
        assert await asking.network.request(peer, HEAD, b"again") == b"again"
    nursery.cancel_scope.cancel()


async def test_path_of_small_segments(nursery: trio.Nursery) -> None:
    """A stock host reads a Noise message in at most 101 pieces."""
    asking, serving = await pair_in(nursery)
    place, peer = parse_address(serving.network.listen_addresses[0])
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]

    async def relay(near: trio.SocketStream) -> None:
        far = await trio.open_tcp_stream(place.host, place.port)
        async with near, far, trio.open_nursery() as copying:
            copying.start_soon(copy_in_pieces, near, far, 200)
            copying.start_soon(copy_in_pieces, far, near, 200)

    async with trio.open_nursery() as relaying:
        relaying.start_soon(trio.serve_listeners, relay, listeners)
        await asking.network.connect(f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}")
        assert peer is not None
        payload = bytes(HEAD.limits.max_request_bytes)
        assert await asking.network.request(peer, HEAD, payload) == payload
        assert await asking.network.request(peer, BLOCK, b"?") == LARGEST
        asking.scope.cancel()
        serving.scope.cancel()
        relaying.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def copy_in_pieces(source: trio.SocketStream, sink: trio.SocketStream, size: int) -> None:
    """Forward bytes in small segments, each a system call of its own on both sides."""
    try:
        while chunk := await source.receive_some(64 * size):
            for start_at in range(0, len(chunk), size):
                await sink.send_all(chunk[start_at : start_at + size])
    except trio.BrokenResourceError:
        return


async def test_peer_that_never_answers_takes_no_place_for_ever(nursery: trio.Nursery) -> None:
    """A stock host opens 256 streams, then waits without a bound."""
    node = await start(nursery, make_network("node"))
    async with await Attacker.join(Target.of(node)) as mute:
        peer = mute.identity.peer_id
        assert isinstance(await node.network.events.receive(), PeerJoined)
        async with trio.open_nursery() as asking:
            for _ in range(300):
                asking.start_soon(node.network.request, peer, HEAD, b"?")
            await trio.testing.wait_all_tasks_blocked()
            asking.cancel_scope.cancel()
        async with trio.open_nursery() as asking:
            asking.start_soon(answer_one, mute, b"at last")
            with trio.fail_after(BOUND_S):
                assert await node.network.request(peer, HEAD, b"last") == b"at last"
            asking.cancel_scope.cancel()
        connection = next(iter(node.network._switch.connections))
        # Gossip's own stream, which this peer does not answer either.
        assert connection.muxer.open_streams <= 1
    nursery.cancel_scope.cancel()


async def answer_one(attacker: Attacker, response: bytes) -> None:
    """Answer every request that can be read with the same bytes."""
    name = protocol_id(GENESIS, HEAD)
    while True:
        frame = await attacker.next_frame()
        if frame.kind is Kind.DATA and name.encode() in frame.payload:
            answer = multistream.encode(multistream.HELLO, name) + b"".join(encode_frames(response))
            await attacker.send(
                credit_frame(frame.stream_id),
                *data_frames(frame.stream_id, answer),
                fin_frame(frame.stream_id),
            )


async def test_requests_cancelled_while_the_peer_does_not_read(nursery: trio.Nursery) -> None:
    """On a stock host a write that is cancelled leaves half a frame and bricks the connection."""
    node = await start(nursery, make_network("node"), handlers={BLOCK: serve_largest})
    async with await Attacker.join(Target.of(node)) as slow:
        peer = slow.identity.peer_id
        assert isinstance(await node.network.events.receive(), PeerJoined)
        given_up = await congest(slow)
        async with trio.open_nursery() as asking:
            for _ in range(30):
                asking.start_soon(node.network.request, peer, LONG, LONG_REQUEST)
            await trio.testing.wait_all_tasks_blocked(0.05)
            asking.cancel_scope.cancel()
        await slow.send(*[reset_frame(stream_id) for stream_id in given_up])
        # Everything that was sent decrypts and parses, and the connection works as before.
        async with trio.open_nursery() as asking:
            asking.start_soon(answer_one, slow, b"whole")
            with trio.fail_after(BOUND_S):
                assert await node.network.request(peer, HEAD, b"?") == b"whole"
            asking.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def congest(attacker: Attacker) -> list[int]:
    """Ask for far more than the kernel buffers, and read nothing."""
    stream_ids = []
    for _ in range(4):
        stream_id = await attacker.start(attacker.target.protocol(BLOCK), b"\x01?")
        await attacker.send(credit_frame(stream_id), fin_frame(stream_id))
        stream_ids.append(stream_id)
    await trio.testing.wait_all_tasks_blocked(0.05)
    return stream_ids


async def test_response_that_breaks_the_framing(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node"))
    async with await Attacker.join(Target.of(node)) as liar:
        assert isinstance(await node.network.events.receive(), PeerJoined)
        async with trio.open_nursery() as answering:
            answering.start_soon(answer_garbage, liar)
            with trio.fail_after(BOUND_S), pytest.raises(PeerFaultError):
                await node.network.request(liar.identity.peer_id, HEAD, b"?")
            answering.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def answer_garbage(attacker: Attacker) -> None:
    name = protocol_id(GENESIS, HEAD)
    while True:
        frame = await attacker.next_frame()
        if frame.kind is Kind.DATA and name.encode() in frame.payload:
            answer = multistream.encode(multistream.HELLO, name) + b"\xff" * 10
            await attacker.send(*data_frames(frame.stream_id, answer), fin_frame(frame.stream_id))


async def test_peer_that_gives_a_request_up(nursery: trio.Nursery) -> None:
    node = await start(nursery, make_network("node"))
    async with await Attacker.join(Target.of(node)) as rude:
        assert isinstance(await node.network.events.receive(), PeerJoined)
        async with trio.open_nursery() as answering:
            answering.start_soon(reset_all, rude)
            with trio.fail_after(BOUND_S), pytest.raises(UnavailableError):
                await node.network.request(rude.identity.peer_id, HEAD, b"?")
            answering.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def reset_all(attacker: Attacker) -> None:
    while True:
        frame = await attacker.next_frame()
        if frame.flags & Flag.SYN:
            await attacker.send(reset_frame(frame.stream_id))


async def test_answers_that_nobody_reads_are_bounded(nursery: trio.Nursery) -> None:
    """A peer asks for the largest answer over and over and takes none of them."""
    node = await start(nursery, make_network("node"), handlers={BLOCK: serve_largest})
    room = node.network._limits.max_answer_bytes_per_peer // MAX_RESPONSE_BYTES
    async with await Attacker.join(Target.of(node)) as greedy:
        for _ in range(room + 1):
            stream_id = await greedy.start(greedy.target.protocol(BLOCK), b"\x01?")
            await greedy.send(fin_frame(stream_id))
        with trio.fail_after(BOUND_S):
            await greedy.until_reset(stream_id)
    nursery.cancel_scope.cancel()
