"""Verdicts: exactly one, in time, and what follows from it."""

import pytest

from node.net.announcements import MAX_SEEN, VERDICT_TIMEOUT_S, Announcements, Blame, Relay
from node.net.network import GossipMessage, MessageId, Verdict
from protocols.ids import Topic
from protocols.types import PeerId

A, B, C = PeerId("a"), PeerId("b"), PeerId("c")


def message(number: int = 1, *, sender: PeerId = A, source: PeerId = C) -> GossipMessage:
    return GossipMessage(
        id=MessageId(number.to_bytes(4, "big")),
        topic=Topic.HEADERS,
        payload=b"",
        sender=sender,
        source=source,
    )


def test_first_copy_is_new_and_waits() -> None:
    announcements = Announcements()

    assert announcements.arrive(message(), 0.0)
    assert not announcements.arrive(message(sender=B), 0.0)
    assert announcements.waiting() == (message(),)


def test_accepted_is_relayed_past_all_who_have_it() -> None:
    announcements = Announcements()
    announcements.arrive(message(), 0.0)
    announcements.arrive(message(sender=B), 1.0)

    assert announcements.resolve(message().id, Verdict.ACCEPT, 2.0) == Relay(message(), (A, C, B))
    assert announcements.waiting() == ()


def test_rejected_blames_the_first_sender() -> None:
    announcements = Announcements()
    announcements.arrive(message(), 0.0)
    announcements.arrive(message(sender=B), 0.0)

    assert announcements.resolve(message().id, Verdict.REJECT, 0.0) == Blame(message())


def test_ignored_does_nothing() -> None:
    announcements = Announcements()
    announcements.arrive(message(), 0.0)

    assert announcements.resolve(message().id, Verdict.IGNORE, 0.0) is None
    assert announcements.waiting() == ()


@pytest.mark.parametrize(
    ("age_s", "in_time"), [(VERDICT_TIMEOUT_S - 0.001, True), (VERDICT_TIMEOUT_S, False)]
)
def test_late_verdict_has_no_effect(*, age_s: float, in_time: bool) -> None:
    announcements = Announcements()
    announcements.arrive(message(), 5.0)

    relay = announcements.resolve(message().id, Verdict.ACCEPT, 5.0 + age_s)

    assert (relay is not None) == in_time


def test_second_verdict_is_our_bug() -> None:
    announcements = Announcements()
    announcements.arrive(message(), 0.0)
    announcements.resolve(message().id, Verdict.IGNORE, 0.0)

    with pytest.raises(AssertionError, match="second verdict"):
        announcements.resolve(message().id, Verdict.ACCEPT, 0.0)


def test_verdict_for_a_forgotten_message_has_no_effect() -> None:
    assert Announcements().resolve(message().id, Verdict.ACCEPT, 0.0) is None


def test_memory_is_bounded() -> None:
    announcements, extra = Announcements(), 5
    for number in range(MAX_SEEN + extra):
        announcements.arrive(message(number), 0.0)

    assert len(announcements.waiting()) == MAX_SEEN
    assert announcements.waiting()[0] == message(extra)
