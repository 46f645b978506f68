"""The first look at an announcement: is this peer within its rate, and do the bytes decode?"""

from typing import Final, TypeAlias

from node.gossip.blocks import read_body, read_header
from node.net.network import GossipMessage, Verdict
from node.sync.inputs import BodyAnnounced, HeaderAnnounced
from protocols.errors import WireError
from protocols.ids import Topic
from protocols.rate_limit import RateLimit, RateLimiter
from protocols.types import PeerId

MAX_REMEMBERED_PEERS: Final = 1024
"""Several times the peers that can be connected, so that nobody gets a new bucket by pushing
others out."""

Admitted: TypeAlias = HeaderAnnounced | BodyAnnounced


class AnnouncementIntake:
    """Counts announcements by peer and topic. Junk is counted before it is decoded."""

    def __init__(self, announcements_per_10_s: int) -> None:
        limit = RateLimit(capacity=announcements_per_10_s)
        self._limiters = {
            topic: RateLimiter[PeerId](limit, max_keys=MAX_REMEMBERED_PEERS)
            for topic in (Topic.HEADERS, Topic.BODIES)
        }

    def admit(self, message: GossipMessage, *, now: float, received_ms: int) -> Admitted | Verdict:
        """Return the announcement, or the verdict of one that goes no further.

        Args:
            message: Of the topic `headers` or `bodies`.
            now: Monotonic clock, seconds.
            received_ms: Wall clock, milliseconds since the Unix epoch.
        """
        if not self._limiters[message.topic].take(message.sender, now):
            return Verdict.IGNORE
        try:
            return _decode(message, received_ms)
        except WireError:
            return Verdict.REJECT


def _decode(message: GossipMessage, received_ms: int) -> Admitted:
    if message.topic is Topic.HEADERS:
        header, justification = read_header(message.payload)
        return HeaderAnnounced(
            message=message.id,
            peer=message.sender,
            header=header,
            justification=justification,
            received_ms=received_ms,
        )
    block, body = read_body(message.payload)
    return BodyAnnounced(message=message.id, peer=message.sender, block=block, body=body)
