"""The first look at announcements: rate and shape."""

from node.blocks.body import MicroBody
from node.blocks.justification import ProducerSignature
from node.gossip.intake import AnnouncementIntake
from node.net.network import GossipMessage, MessageId, Verdict
from node.sync.inputs import BodyAnnounced, HeaderAnnounced
from protocols.ids import Topic
from protocols.messages.announcements import BodyAnnouncement, HeaderAnnouncement
from protocols.types import PeerId
from tests.build.blocks import micro_header
from tests.build.sync import ALICE, BOB

HEADER = micro_header()
SIGNATURE = ProducerSignature(bytes(64))
HEADER_PAYLOAD = HeaderAnnouncement(
    header=HEADER.encoded, justification=SIGNATURE.encode()
).encode()
BODY_PAYLOAD = BodyAnnouncement(block=HEADER.hash, body=MicroBody().encoded).encode()


def message(
    payload: bytes = HEADER_PAYLOAD, *, topic: Topic = Topic.HEADERS, sender: PeerId = ALICE
) -> GossipMessage:
    return GossipMessage(
        id=MessageId(b"m"), topic=topic, payload=payload, sender=sender, source=BOB
    )


def test_announcements_are_decoded_under_their_sender() -> None:
    intake = AnnouncementIntake(20)

    header = intake.admit(message(), now=0, received_ms=7)
    body = intake.admit(message(BODY_PAYLOAD, topic=Topic.BODIES), now=0, received_ms=7)

    assert header == HeaderAnnounced(
        message=MessageId(b"m"),
        peer=ALICE,
        header=HEADER,
        justification=SIGNATURE,
        received_ms=7,
    )
    assert body == BodyAnnounced(
        message=MessageId(b"m"), peer=ALICE, block=HEADER.hash, body=MicroBody()
    )


def test_junk_is_rejected() -> None:
    intake = AnnouncementIntake(20)

    assert intake.admit(message(b"junk"), now=0, received_ms=0) is Verdict.REJECT
    wrong = message(HEADER_PAYLOAD, topic=Topic.BODIES)
    assert intake.admit(wrong, now=0, received_ms=0) is Verdict.REJECT


def test_more_than_the_rate_is_ignored_even_junk() -> None:
    intake = AnnouncementIntake(20)
    for _ in range(20):
        assert isinstance(intake.admit(message(), now=0, received_ms=0), HeaderAnnounced)

    assert intake.admit(message(), now=0, received_ms=0) is Verdict.IGNORE
    assert intake.admit(message(b"junk"), now=0, received_ms=0) is Verdict.IGNORE
    # Each peer and topic has its own.
    other = intake.admit(message(sender=BOB), now=0, received_ms=0)
    assert isinstance(other, HeaderAnnounced)
    body = message(BODY_PAYLOAD, topic=Topic.BODIES)
    assert isinstance(intake.admit(body, now=0, received_ms=0), BodyAnnounced)
    # A token comes back every half second.
    assert isinstance(intake.admit(message(), now=0.5, received_ms=0), HeaderAnnounced)
    assert intake.admit(message(), now=0.5, received_ms=0) is Verdict.IGNORE
