"""What a stranger may try. After each of these the target must live and serve others.

The comment behind a name is what it did to a stock py-libp2p 0.8.1 host.
"""

import struct
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio
from libp2p.pubsub.pb import rpc_pb2

from node.net.libp2p import multistream
from node.net.libp2p.failures import ConnectionLostError
from node.net.libp2p.frames import HEADER, WINDOW_BYTES, Flag, Kind, encode_header
from protocols.frames import encode_varint
from protocols.ids import RequestProtocol, Topic, topic_id
from tests.integration.attacker import (
    GARBAGE,
    Attacker,
    Target,
    credit_frame,
    data_frames,
    reset_frame,
    tcp_until_hung_up,
)
from tests.integration.forgery import forged_message, signed_message
from tests.integration.nodes import BOUND_S

Attack: TypeAlias = Callable[[Target], Awaitable[None]]

HEAD = RequestProtocol.HEAD


async def connects_300_times(target: Target) -> None:  # locked out all inbound for ever
    async def connect(worker: int) -> None:
        for number in range(30):
            async with await Attacker.dial(target, name=f"{worker}/{number}") as attacker:
                await attacker.is_answered()

    async with trio.open_nursery() as nursery:
        for worker in range(10):
            nursery.start_soon(connect, worker)


async def idles_on_300_sockets(target: Target) -> None:  # locked out for 10 s per batch
    for _ in range(300):
        await target.tcp()


async def sends_garbage_to_the_port(target: Target) -> None:
    tcp = await target.tcp()
    await tcp.write(GARBAGE)
    await tcp_until_hung_up(tcp)


async def resets_the_socket(target: Target) -> None:
    for _ in range(20):
        tcp = await target.tcp()
        # Linger of zero: RST instead of FIN.
        option = struct.pack("ii", 1, 0)
        tcp._stream.socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, option)
        tcp.abort()


async def announces_a_huge_protocol_name(target: Target) -> None:  # waits for all of it
    for length in (b"\xff\xff\xff\xff\x07", b"\xff" * 9 + b"\x01", b"\x80" * 20):
        tcp = await target.tcp()
        await tcp.write(length + bytes(1000))
        await tcp_until_hung_up(tcp)
        async with await Attacker.dial(target) as attacker:
            stream_id, syn = attacker.open()
            await attacker.send(syn, *data_frames(stream_id, length + bytes(1000)))
            await attacker.until_reset(stream_id)


async def proposes_protocols_for_ever(target: Target) -> None:
    async with await Attacker.dial(target) as attacker:
        stream_id, syn = attacker.open()
        names = multistream.encode(multistream.HELLO, *[f"/none/{n}" for n in range(1000)])
        await attacker.send(syn, *data_frames(stream_id, names))
        await attacker.until_reset(stream_id)


async def breaks_the_noise_handshake(target: Target) -> None:
    for message in (GARBAGE, bytes(32), b""):
        tcp = await target.tcp()
        await multistream.propose(tcp, "/noise")
        await tcp.write(len(message).to_bytes(2, "big") + message)
        await tcp.write(len(GARBAGE).to_bytes(2, "big") + GARBAGE)
        await tcp_until_hung_up(tcp)


async def breaks_the_encryption(target: Target) -> None:
    for message in (GARBAGE, bytes(16), b"x", b""):
        async with await Attacker.dial(target) as attacker:
            await attacker.channel.tcp.write(len(message).to_bytes(2, "big") + message)
            await attacker.until_hung_up()


async def sends_garbage_frames(target: Target) -> None:
    for content in (
        GARBAGE,
        HEADER.pack(1, Kind.PING, Flag.SYN, 0, 0),
        HEADER.pack(0, 9, 0, 1, 0),
        HEADER.pack(0, Kind.DATA, Flag.SYN, 1, WINDOW_BYTES + 1),
        HEADER.pack(0, Kind.DATA, Flag.SYN, 1, 2**32 - 1),
        HEADER.pack(0, Kind.WINDOW_UPDATE, Flag.SYN, 2, 0),
        HEADER.pack(0, Kind.WINDOW_UPDATE, Flag.SYN, 0, 0),
        HEADER.pack(0, Kind.WINDOW_UPDATE, Flag.SYN, 1, 0) * 2,
        HEADER.pack(0, Kind.WINDOW_UPDATE, Flag.SYN, 1, 2**32 - 1),
        HEADER.pack(0, Kind.GO_AWAY, 0, 0, 1),
    ):
        async with await Attacker.dial(target, name=content.hex()) as attacker:
            await attacker.send(content)
            await attacker.until_hung_up()


async def sends_frames_for_no_stream(target: Target) -> None:
    async with await Attacker.dial(target) as attacker:
        for flags in (0, Flag.ACK, Flag.FIN, Flag.RST, Flag.FIN | Flag.RST, 0xFFF0):
            await attacker.send(encode_header(Kind.WINDOW_UPDATE, flags, 7, 0))
            await attacker.send(encode_header(Kind.DATA, flags, 7, 3) + b"abc")
        await attacker.is_answered()


async def names_a_protocol_in_no_encoding(target: Target) -> None:  # died
    async with await Attacker.join(target) as attacker:
        stream_id, syn = attacker.open()
        line = b"/\xff\xfe\n"
        names = multistream.encode(multistream.HELLO) + encode_varint(len(line)) + line
        await attacker.send(syn, *data_frames(stream_id, names))
        await attacker.until_reset(stream_id)


async def gives_up_in_the_middle_of_a_request(target: Target) -> None:  # died
    async with await Attacker.join(target) as attacker:
        for piece in (b"", b"\x10", b"\x10half"):
            stream_id = await attacker.start_agreed(target.protocol(HEAD))
            await attacker.send(*data_frames(stream_id, piece), reset_frame(stream_id))
        await attacker.start(target.protocol(HEAD), b"\x10half")


async def breaks_the_framing_of_a_request(target: Target) -> None:
    for name, piece in enumerate((b"\x00", b"\xff" * 8, b"\x81\x00x", b"\x01a\x01b")):
        async with await Attacker.join(target, name=f"framing {name}") as attacker:
            stream_id = await attacker.start(target.protocol(HEAD), piece)
            await attacker.until_reset(stream_id)


async def never_reads_the_answer(target: Target) -> None:  # died
    async with await Attacker.join(target) as attacker:
        await attacker.ask(HEAD, b"warm")
        # No window update ever comes for this stream.
        for _ in range(5):
            stream_id = await attacker.start(target.protocol(RequestProtocol.BLOCK), b"\x01?")
            await attacker.send(encode_header(Kind.WINDOW_UPDATE, Flag.FIN, stream_id, 0))
        await attacker.until_reset(stream_id)


async def pings_without_reading(target: Target) -> None:  # hung, close() too
    async with await Attacker.dial(target) as attacker:
        pings = encode_header(Kind.PING, Flag.SYN, 0, 1) * 4096
        await write_until_cut_off(attacker, pings)


async def reads_nothing(target: Target) -> None:  # hung, close() too
    """Ask for more than the kernel buffers and take none of it; credit for streams is given."""
    async with await Attacker.join(target) as attacker:
        for _ in range(8):
            stream_id = await attacker.start(target.protocol(RequestProtocol.BLOCK), b"\x01?")
            await attacker.send(credit_frame(stream_id))
            await attacker.send(encode_header(Kind.WINDOW_UPDATE, Flag.FIN, stream_id, 0))
        await write_until_cut_off(attacker, encode_header(Kind.WINDOW_UPDATE, 0, 99, 0))


async def opens_20000_streams(target: Target) -> None:  # 1200 tasks
    async with await Attacker.dial(target) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(attacker.until_hung_up)
        for _ in range(100):
            await attacker.send(*[attacker.open()[1] for _ in range(200)])
        nursery.cancel_scope.cancel()


async def opens_and_resets_streams(target: Target) -> None:
    async with await Attacker.join(target) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(attacker.until_hung_up)
        for _ in range(2000):
            stream_id = await attacker.start(target.protocol(HEAD), b"\x01?")
            await attacker.send(reset_frame(stream_id))
        nursery.cancel_scope.cancel()


async def ignores_the_window(target: Target) -> None:  # kept all of it
    async with await Attacker.join(target) as attacker:
        # Pings are echoed until our window is full; after that nobody reads them.
        stream_id = await attacker.start("/ipfs/ping/1.0.0")
        await attacker.send(*data_frames(stream_id, bytes(4 * WINDOW_BYTES)))
        await attacker.until_hung_up()


async def gossips_garbage(target: Target) -> None:  # died
    for name, rpc in enumerate((GARBAGE, b"\x0a\xff", b"\x12\x05\xff\xff\xff\xff\xff")):
        async with await Attacker.join(target, name=f"gossip {name}") as attacker:
            stream_id = await attacker.gossip(rpc)
            await attacker.until_reset(stream_id)


async def announces_a_huge_gossip(target: Target) -> None:
    for name, length in enumerate((2**21 + 1, 2**27)):
        async with await Attacker.join(target, name=f"huge {name}") as attacker:
            stream_id = await attacker.start("/meshsub/1.1.0", encode_varint(length))
            await attacker.until_reset(stream_id)


async def signs_with_bad_keys(target: Target) -> None:  # died, five times
    for kind in ("garbage", "ecdsa", "rsa", "secp256k1", "short"):
        async with await Attacker.join(target, name=f"key {kind}") as attacker:
            await attacker.gossip(forged_message(target.genesis, kind))
            await attacker.ask(HEAD, b"still there")


async def sends_malformed_messages(target: Target) -> None:
    for kind in ("no from", "no seqno", "long seqno", "two topics", "bad topic", "no signature"):
        async with await Attacker.join(target, name=f"malformed {kind}") as attacker:
            await attacker.gossip(forged_message(target.genesis, kind))
            await attacker.ask(HEAD, b"still there")


async def sends_evil_control(target: Target) -> None:
    topic = topic_id(target.genesis, Topic.VOTES)
    rpc = rpc_pb2.RPC()
    rpc.control.ihave.add(
        topicID=topic, messageIDs=[bytes([n % 256, n >> 8]) for n in range(20000)]
    )
    for number in range(200):
        rpc.control.graft.add(topicID=f"/nowhere/{number}")
        prune = rpc.control.prune.add(topicID=f"/nowhere/{number}", backoff=2**64 - 1)
        prune.peers.add(peerID=GARBAGE[:8], signedPeerRecord=GARBAGE[:8])
    rpc.control.prune.add(topicID=topic, backoff=2**64 - 1)
    rpc.control.graft.add(topicID=topic)
    rpc.senderRecord = GARBAGE
    async with await Attacker.join(target) as attacker:
        # In one window: more at once would be another attack.
        await attacker.gossip(rpc.SerializeToString())
        await attacker.ask(HEAD, b"still there")


async def subscribes_to_everything(target: Target) -> None:  # 48,900 warnings
    rpc = rpc_pb2.RPC()
    for number in range(10_000):
        rpc.subscriptions.add(subscribe=True, topicid=f"/nowhere/{number}")
    async with await Attacker.join(target) as attacker:
        await attacker.gossip(rpc.SerializeToString())
        await attacker.ask(HEAD, b"still there")


async def floods_with_messages(target: Target) -> None:
    async with await Attacker.join(target) as attacker:
        rpcs = [
            rpc_pb2.RPC(
                publish=[signed_message(target.genesis, attacker.identity, b"flood", seqno=number)]
            ).SerializeToString()
            for number in range(1000)
        ]
        await attacker.gossip(*rpcs)
        await attacker.ask(HEAD, b"still there")


async def opens_200_gossip_streams(target: Target) -> None:
    async with await Attacker.join(target) as attacker, trio.open_nursery() as nursery:
        nursery.start_soon(attacker.until_hung_up)
        for _ in range(200):
            await attacker.gossip()
        nursery.cancel_scope.cancel()


async def hangs_up_everywhere(target: Target) -> None:
    for step in range(4):
        attacker = await Attacker.dial(target)
        if step > 0:
            await attacker.start(target.protocol(HEAD))
        if step > 1:
            await attacker.gossip()
        if step > 2:
            await attacker.send(encode_header(Kind.DATA, Flag.SYN, 99, 1000) + b"half")
        attacker.close()


async def sends_half_a_frame_and_waits(target: Target) -> None:
    attacker = await Attacker.join(target)
    await attacker.send(encode_header(Kind.DATA, Flag.SYN, 99, 1000) + b"half")


async def write_until_cut_off(attacker: Attacker, piece: bytes) -> None:
    """Write, never read, until the target has closed the connection."""
    with trio.fail_after(BOUND_S):
        try:
            while True:
                await attacker.channel.write(piece)
        except ConnectionLostError:
            return


ATTACKS: Final[dict[str, Attack]] = {
    name: attack
    for name, attack in globals().items()
    if getattr(attack, "__module__", "") == __name__ and name != write_until_cut_off.__name__
}
