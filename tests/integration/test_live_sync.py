"""Block live sync of whole nodes over real libp2p: the main behaviours of its design page.

The numbers in the names are those of the behaviours. Every test runs with a node that keeps bodies
and with one that follows headers, unless it says why not.
"""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random

import pytest
import trio

from node.blocks.block import Block
from node.errors import Fault
from node.net.libp2p import router
from node.net.libp2p.connection import Connection
from node.net.libp2p.requests import read_payload
from node.net.libp2p.stream import Stream
from node.net.network import Verdict
from node.profiles import Profile
from node.sync.live.events import (
    AcceptedAnnouncedBlock,
    AcceptedBufferedBlock,
    ReceivedMissingBlocks,
    RejectedBlock,
)
from node.sync.peers import PeerList
from node.sync.syncer import Phase
from protocols.frames import encode_frames
from protocols.ids import RequestProtocol, Topic, protocol_id
from protocols.messages.block import BlockResponse
from protocols.messages.missing_blocks import MissingBlocksRequest, MissingBlocksResponse
from protocols.types import PeerId
from tests.build.sync import branch, short_batches
from tests.integration.live_nodes import LONG_WAIT_S, LiveNetwork, Peer, gated, hashes, never
from tests.integration.nodes import BOUND_S, RealNode, meshed

pytestmark = pytest.mark.network

LENGTH = 32
MISSING = RequestProtocol.MISSING_BLOCKS


@pytest.fixture(autouse=True)
def _quick_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers find into each other's mesh at a heartbeat: at once, not a second later."""
    monkeypatch.setattr(router, "HEARTBEAT_S", 0.05)


both_profiles = pytest.mark.parametrize("profile", [Profile.HISTORY, Profile.LIGHT])


@both_profiles
async def test_b01_announced_children_of_the_head(profile: Profile, nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    peer = await live.peer(follower)
    blocks = live.builder.blocks[:3]
    for block in blocks:
        await peer.announce(block)
        await follower.until_told(*map(AcceptedAnnouncedBlock, hashes(blocks[: block.number])))
        assert follower.node.chain.head.hash == block.hash
    assert follower.status.live.buffered == 0
    assert set(follower.network.verdicts) == {Verdict.ACCEPT}
    assert peer.missing_requests == []
    nursery.cancel_scope.cancel()


@both_profiles
async def test_accepted_blocks_are_relayed(profile: Profile, nursery: trio.Nursery) -> None:
    """A node that is linked to the follower only hears of a block through it."""
    live = LiveNetwork(nursery, branch(LENGTH))
    follower, further = await live.follower(profile), await live.follower(profile)
    await further.network.connect(follower.network.listen_addresses[0])
    ends = [
        RealNode(network=each.network, inboxes={}, scope=nursery.cancel_scope)
        for each in (follower, further)
    ]
    for topic in follower.network.topics & {Topic.HEADERS, Topic.BODIES}:
        await meshed(ends[0], ends[1], topic, live.builder.genesis.hash)
    peer = await live.peer(follower)
    await peer.announce(*live.builder.blocks[:3])
    await further.until_told(*map(AcceptedAnnouncedBlock, hashes(live.builder.blocks[:3])))
    assert further.accepted == hashes(live.builder.blocks[:3])
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b02_second_block_before_the_first(profile: Profile, nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    peer = await live.peer(follower)
    peer.scripts[MISSING] = never
    first, second = live.builder.blocks[:2]
    await peer.announce(second)
    await follower.until(lambda: peer.missing_requests)
    assert follower.status.live.buffered == 1
    assert follower.height == 0

    await peer.announce(first)
    await follower.until_told(
        AcceptedAnnouncedBlock(first.hash),
        AcceptedBufferedBlock(second.hash, 0),
    )
    assert [request.target for request in peer.missing_requests] == [first.hash]
    assert follower.status.live.requests == 0
    assert follower.height == 2
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b03_shuffled_blocks_wait_for_the_first(
    profile: Profile, nursery: trio.Nursery
) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    peer = await live.peer(follower)
    peer.scripts[MISSING] = never
    first, *later = live.builder.blocks[:14]
    await peer.announce(*Random(3).sample(later, len(later)))
    await follower.until(lambda: follower.status.live.buffered == len(later))
    assert follower.height == 0
    assert follower.events == []

    await peer.announce(first)
    await follower.until_told(
        AcceptedAnnouncedBlock(first.hash),
        *(AcceptedBufferedBlock(block.hash, 14 - block.number) for block in later),
    )
    assert follower.accepted == hashes(live.builder.blocks[:14])
    assert set(follower.network.verdicts) == {Verdict.ACCEPT}
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b05_the_missing_block_is_requested(profile: Profile, nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    peer = await live.peer(follower)
    first, second = live.builder.blocks[:2]
    await peer.announce(second)
    await follower.until_told(
        ReceivedMissingBlocks((first.hash,)),
        AcceptedBufferedBlock(second.hash, 0),
    )
    (request,) = peer.missing_requests
    assert request.with_body is profile.traits.include_body
    assert request.locators == (live.builder.genesis.hash,)
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b06_a_gap_across_macro_blocks(profile: Profile, nursery: trio.Nursery) -> None:
    """An election block is among them: the next answer's quorum is that of new validators."""
    live = LiveNetwork(nursery, short_batches(20))
    follower = await live.follower(profile)
    peer = await live.peer(follower)
    blocks = live.builder.blocks
    await peer.announce(blocks[17])
    await follower.until_told(
        *(ReceivedMissingBlocks(hashes(blocks[start : start + 4])) for start in (0, 4, 8, 12)),
        ReceivedMissingBlocks((blocks[16].hash,)),
        AcceptedBufferedBlock(blocks[17].hash, 0),
    )
    requests = peer.missing_requests
    assert [request.target for request in requests] == [blocks[16].hash] * 5
    assert [request.locators[0] for request in requests[1:]] == hashes_of_macros(blocks)
    nursery.cancel_scope.cancel()


def hashes_of_macros(blocks: Sequence[Block]) -> list[bytes]:
    """Return the hashes of the first four macro blocks."""
    return [blocks[height - 1].hash for height in (4, 8, 12, 16)]


@both_profiles
async def test_b07_far_behind_is_macro_sync_then_live(
    profile: Profile, nursery: trio.Nursery
) -> None:
    live = LiveNetwork(nursery, short_batches(30))
    follower = await live.follower(profile, window_ahead_max=8, tolerate_past_max=4)
    blocks, gate = live.builder.blocks, trio.Event()
    peer = await live.peer(head=26)
    peer.scripts[RequestProtocol.MACRO_CHAIN] = gated(peer.tell_macro_chain, gate)
    await follower.network.connect(peer.network.listen_addresses[0])
    await peer.knows(follower)
    # Too far above the head to be kept: nothing is asked for.
    await peer.announce(blocks[27])
    await follower.until(lambda: Verdict.IGNORE in follower.network.verdicts)
    assert follower.status.live.buffered == 0
    assert peer.missing_requests == []
    assert follower.status.phase is Phase.SEARCHING

    gate.set()
    await follower.until(lambda: peer.id in follower.status.peers[PeerList.LIVE])
    await follower.until_height(26)
    assert peer.id in follower.status.peers[PeerList.LIVE]
    await peer.announce(blocks[26])
    await follower.until(lambda: AcceptedAnnouncedBlock(blocks[26].hash) in follower.events)
    assert follower.accepted[-1] == blocks[26].hash
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("lie", ["nothing", "wrong chain", "not to the end", "beyond the target"])
@both_profiles
async def test_b18_a_liar_is_asked_first(profile: Profile, lie: str, nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    liar = await live.peer(follower)
    honest = await live.peer(follower)
    blocks = live.builder.blocks
    fork = live.builder.fork_from(blocks[0].hash)
    lies = {
        "nothing": [],
        "wrong chain": fork.extend(3),
        "not to the end": blocks[:3],
        "beyond the target": blocks[:5],
    }
    liar.scripts[MISSING] = partial(answer_with, lies[lie])
    # Whoever announces a block is the first to be asked for its ancestors.
    await liar.announce(blocks[4])
    await follower.until_told(
        ReceivedMissingBlocks(hashes(blocks[:4])),
        AcceptedBufferedBlock(blocks[4].hash, 0),
    )
    assert len(liar.missing_requests) == len(honest.missing_requests) == 1
    assert follower.network.reports == [(liar.id, Fault.UNSOLICITED)]
    assert follower.score_of(liar) > follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b18_a_forged_block_in_an_answer(profile: Profile, nursery: trio.Nursery) -> None:
    """Its links are right; only its signature is not."""
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    liar = await live.peer(follower)
    honest = await live.peer(follower)
    blocks = live.builder.blocks
    forged = Block(blocks[1].header, blocks[0].justification, blocks[1].body)
    liar.scripts[MISSING] = partial(answer_with, [blocks[0], forged, blocks[2]])
    await liar.announce(blocks[3])
    await follower.until(lambda: follower.network.reports)
    assert follower.network.reports == [(liar.id, Fault.INVALID_BLOCK)]
    assert follower.score_of(liar) > 0
    await follower.until(lambda: len(follower.events) >= 2)
    assert follower.events[0] == ReceivedMissingBlocks((blocks[0].hash,))
    assert isinstance(follower.events[1], RejectedBlock)
    assert follower.events[1].hash == forged.hash
    # The honest one goes on from there.
    await honest.announce(blocks[4])
    await follower.until_height(5)
    assert follower.accepted == hashes(blocks[:5])
    assert follower.score_of(honest) == 0
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_header_first", [True, False])
async def test_b19_header_and_body_of_two_peers_are_joined(
    is_header_first: bool, nursery: trio.Nursery
) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(Profile.HISTORY, body_fetch_after_s=LONG_WAIT_S)
    one, other = await live.peer(follower), await live.peer(follower)
    block = live.builder.blocks[0]
    parts = [one.announce_header, other.announce_body]
    first, second = parts if is_header_first else reversed(parts)
    await first(block)
    await follower.until(lambda: follower.status.live.assembling == 1)
    assert follower.height == 0
    await second(block)
    await follower.until_told(AcceptedAnnouncedBlock(block.hash))
    assert follower.network.verdicts == [Verdict.ACCEPT, Verdict.ACCEPT]
    assert follower.status.live.assembling == 0
    assert follower.node.chain.block(block.hash, with_body=True) == block
    assert one.block_requests == other.block_requests == 0
    nursery.cancel_scope.cancel()


async def test_b19_a_body_that_does_not_come_is_fetched(nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(Profile.HISTORY, body_fetch_after_s=0.01)
    peer = await live.peer(follower)
    block = live.builder.blocks[0]
    await peer.announce_header(block)
    await follower.until_told(AcceptedAnnouncedBlock(block.hash))
    assert follower.node.chain.block(block.hash, with_body=True) == block
    assert peer.block_requests == 1
    nursery.cancel_scope.cancel()


async def test_b19_a_light_follower_gets_headers_alone(nursery: trio.Nursery) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    light, history = await live.follower(Profile.LIGHT), await live.follower(Profile.HISTORY)
    peer = await live.peer(light, history)
    block = live.builder.blocks[0]
    # Junk of this size as a body costs who gets it its bytes, and the peer its score.
    await peer.network.publish(Topic.BODIES, bytes(200_000))
    await peer.announce(block)
    await light.until_told(AcceptedAnnouncedBlock(block.hash))
    await history.until_told(AcceptedAnnouncedBlock(block.hash))
    assert light.node.chain.block(block.hash, with_body=False) == block.without_body()
    assert light.network.verdicts == [Verdict.ACCEPT]
    assert light.network.peers[peer.id].bytes_in < 200_000 < history.network.peers[peer.id].bytes_in
    assert history.score_of(peer) > light.score_of(peer) == 0
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b20_a_skip_block_takes_the_place_of_a_micro_block(
    profile: Profile, nursery: trio.Nursery
) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    normal = live.builder.blocks[0]
    fork = live.builder.fork_from(live.builder.genesis.hash)
    skip, child = fork.skip(), fork.micro()
    one, other = await live.peer(follower), await live.peer(follower, builder=fork)
    told = [AcceptedAnnouncedBlock(block.hash) for block in (normal, skip, child)]
    await one.announce(normal)
    await follower.until_told(*told[:1])
    await other.announce(skip)
    await follower.until_told(*told[:2])
    assert follower.node.chain.head.hash == skip.hash
    await other.announce(child)
    await follower.until_told(*told)
    assert follower.accepted == (skip.hash, child.hash)
    assert set(follower.network.verdicts) == {Verdict.ACCEPT}
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b20_a_micro_block_does_not_take_the_place_of_a_skip_block(
    profile: Profile, nursery: trio.Nursery
) -> None:
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile)
    fork = live.builder.fork_from(live.builder.genesis.hash)
    skip = fork.skip()
    peer = await live.peer(follower)
    await peer.announce(skip)
    await follower.until_told(AcceptedAnnouncedBlock(skip.hash))
    seen = len(follower.network.verdicts)
    await peer.announce(live.builder.blocks[0])
    parts = 2 if profile.traits.include_body else 1
    await follower.until(lambda: len(follower.network.verdicts) == seen + parts)
    assert follower.network.verdicts[seen:] == [Verdict.IGNORE] * parts
    assert follower.accepted == (skip.hash,)
    assert follower.events == [AcceptedAnnouncedBlock(skip.hash)]
    assert follower.network.reports == []
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b25_a_peer_dies_in_the_middle_of_its_answer(
    profile: Profile, nursery: trio.Nursery
) -> None:
    """Live: another one continues, and not because a timeout has passed."""
    live = LiveNetwork(nursery, branch(LENGTH))
    follower = await live.follower(profile, request_timeout_s=LONG_WAIT_S)
    dying, healthy = await live.peer(follower), await live.peer(follower)
    blocks = live.builder.blocks
    half_sent = answers_half(dying, blocks[:19])
    await dying.announce(blocks[19])
    with trio.fail_after(BOUND_S):
        await half_sent.wait()
    assert follower.height == 0
    dying.node.scope.cancel()
    await follower.until_told(
        ReceivedMissingBlocks(hashes(blocks[:19])),
        AcceptedBufferedBlock(blocks[19].hash, 0),
    )
    assert len(healthy.missing_requests) == 1
    assert healthy.id in follower.network.peers
    assert dying.id not in follower.network.peers
    nursery.cancel_scope.cancel()


@both_profiles
async def test_b25_a_peer_dies_in_the_middle_of_macro_sync(
    profile: Profile, nursery: trio.Nursery
) -> None:
    """A node with bodies is being sent the headers of a batch, a Light a macro block."""
    live = LiveNetwork(nursery, short_batches(30))
    follower = await live.follower(
        profile, window_ahead_max=8, tolerate_past_max=4, request_timeout_s=LONG_WAIT_S
    )
    dying, healthy = await live.peer(head=26), await live.peer(head=26)
    blocks = live.builder.blocks
    if profile.traits.include_body:
        half_sent = answers_half(dying, blocks[:4])
    else:
        macro_block = BlockResponse(block=blocks[11].without_body().encode()).encode()
        half_sent = sends_half(dying, RequestProtocol.BLOCK, lambda _: macro_block)
    await follower.network.connect(dying.network.listen_addresses[0])
    with trio.fail_after(BOUND_S):
        await half_sent.wait()
    assert follower.status.phase is Phase.MACRO_SYNC
    await follower.network.connect(healthy.network.listen_addresses[0])
    dying.node.scope.cancel()
    await follower.until_height(26)
    assert follower.node.chain.head.hash == blocks[25].hash
    assert dying.id not in follower.network.peers
    nursery.cancel_scope.cancel()


async def answer_with(blocks: Sequence[Block], _peer: PeerId, payload: bytes) -> bytes:
    """Answer a request for missing blocks with these, whatever was asked for."""
    await trio.lowlevel.checkpoint()
    return missing_response(blocks, payload)


def missing_response(blocks: Sequence[Block], payload: bytes) -> bytes:
    """Return an answer with these blocks, in the form that was asked for."""
    with_body = MissingBlocksRequest.decode(payload).with_body
    sent = blocks if with_body else [block.without_body() for block in blocks]
    return MissingBlocksResponse(blocks=tuple(block.encode() for block in sent)).encode()


def answers_half(peer: Peer, blocks: Sequence[Block]) -> trio.Event:
    """Let a peer send half of the missing blocks and then no more; set once that half has left."""
    return sends_half(peer, MISSING, partial(missing_response, blocks))


def sends_half(
    peer: Peer, protocol: RequestProtocol, respond: Callable[[bytes], bytes]
) -> trio.Event:
    """Let a peer send half of a response and then no more; set once that half has left."""
    half_sent = trio.Event()

    async def serve(_connection: Connection, stream: Stream) -> None:
        payload = await read_payload(stream, maximum=protocol.limits.max_request_bytes)
        answer = b"".join(encode_frames(respond(payload)))
        await stream.write(answer[: len(answer) // 2])
        half_sent.set()
        await trio.sleep_forever()

    peer.network._handlers[protocol_id(peer.builder.genesis.hash, protocol)] = serve
    return half_sent
