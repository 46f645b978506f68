"""What is written to a peer, and in how many pieces."""

from dataclasses import dataclass, field
from typing import Any

import trio
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.rpc_queue import RpcQueue

from node.net.libp2p.delimited import DelimitedReader
from node.net.libp2p.gossip import MAX_RPC_BYTES
from node.net.libp2p.identity import Identity
from node.net.libp2p.muxer import Muxer
from node.net.libp2p.pubsub import BATCH_BYTES, SafePubsub
from protocols.types import PeerId


class _NoLinks:
    def muxer_of(self, _peer: PeerId) -> Muxer | None:
        return None


@dataclass
class _Stream:
    """Keeps what is written."""

    writes: list[bytes] = field(default_factory=list)

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.writes.append(data)


async def sent(*sizes: int) -> list[list[int]]:
    """Queue messages of these sizes for a peer and return those of each write."""
    identity = Identity.from_seed(bytes(32))
    pubsub = SafePubsub(identity, _NoLinks(), frozenset(), first_seqno=0)
    queue = RpcQueue()
    stream: Any = _Stream()
    for size in sizes:
        queue.push(rpc_pb2.RPC(publish=[rpc_pb2.Message(data=bytes(size))], senderRecord=b"x"))
    queue.close()
    await pubsub.handle_sending_messages(identity.id, stream, queue)
    return [_sizes(written) for written in stream.writes]


def _sizes(written: bytes) -> list[int]:
    found = []
    for encoded in DelimitedReader(maximum=MAX_RPC_BYTES).feed(written):
        rpc = rpc_pb2.RPC.FromString(encoded)
        assert not rpc.senderRecord
        found += [len(message.data) for message in rpc.publish]
    return found


async def test_what_waits_is_written_at_once_and_in_order() -> None:
    assert await sent(300, 2, 1000) == [[300, 2, 1000]]


async def test_one_write_takes_no_more_than_is_good_for_it() -> None:
    assert await sent(BATCH_BYTES, 1, BATCH_BYTES, 2) == [[BATCH_BYTES], [1, BATCH_BYTES], [2]]


async def test_nothing_is_written_to_a_closed_queue() -> None:
    assert await sent() == []
