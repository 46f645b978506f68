"""Announcing a block of ours: header first, then the body."""

from node.blocks.block import Block
from node.net.network import Network
from protocols.ids import Topic
from protocols.limits import MAX_GOSSIP_BYTES
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement


async def publish_block(network: Network, block: Block) -> None:
    """Announce a block that our own chain has accepted.

    Cancelled in between, the body is not announced: peers fetch it.
    """
    header = HeaderAnnouncement(
        header=block.header.encoded, justification=block.justification.encode()
    )
    await network.publish(Topic.HEADERS, header.encode())
    if block.body is None:
        return
    body = BodyAnnouncement(block=block.hash, body=block.body.encoded).encode()
    # Larger bodies never go over gossip; whoever wants one requests it.
    if len(body) <= MAX_GOSSIP_BYTES:
        await network.publish(Topic.BODIES, body)
