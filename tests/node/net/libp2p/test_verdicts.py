"""Messages that wait for their verdict."""

import pytest
import trio
from trio.testing import MockClock

from node.net.libp2p.limits import NetworkLimits
from node.net.libp2p.verdicts import Undecided
from node.net.network import GossipMessage, MessageId, Verdict
from protocols.ids import Topic
from protocols.types import PeerId

LIMITS = NetworkLimits(verdict_timeout_s=10.0, max_undecided=3, max_undecided_per_peer=2)
A, B, C = PeerId("a"), PeerId("b"), PeerId("c")


def message(name: bytes, sender: PeerId = A) -> GossipMessage:
    return GossipMessage(
        id=MessageId(name), topic=Topic.VOTES, payload=b"", sender=sender, source=sender
    )


@pytest.mark.parametrize("verdict", Verdict)
async def test_verdict_is_returned(verdict: Verdict) -> None:
    undecided = Undecided(LIMITS)
    undecided.open(message(b"1"))
    undecided.resolve(MessageId(b"1"), verdict)
    assert await undecided.wait(message(b"1")) is verdict
    assert len(undecided) == 0


async def test_first_verdict_counts() -> None:
    undecided = Undecided(LIMITS)
    undecided.open(message(b"1"))
    undecided.resolve(MessageId(b"1"), Verdict.ACCEPT)
    undecided.resolve(MessageId(b"1"), Verdict.REJECT)
    assert await undecided.wait(message(b"1")) is Verdict.ACCEPT


async def test_deadline_is_an_ignore(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    undecided = Undecided(LIMITS)
    undecided.open(message(b"1"))
    assert await undecided.wait(message(b"1")) is Verdict.IGNORE
    assert trio.current_time() == LIMITS.verdict_timeout_s
    undecided.resolve(MessageId(b"1"), Verdict.ACCEPT)
    assert len(undecided) == 0


async def test_places_are_bounded_and_given_back() -> None:
    undecided = Undecided(LIMITS)
    undecided.open(message(b"1", A))
    undecided.open(message(b"2", A))
    assert [undecided.has_room(peer) for peer in (A, B)] == [False, True]
    undecided.open(message(b"3", B))
    assert [undecided.has_room(peer) for peer in (A, B, C)] == [False] * 3
    undecided.resolve(MessageId(b"1"), Verdict.IGNORE)
    await undecided.wait(message(b"1", A))
    assert [undecided.has_room(peer) for peer in (A, B, C)] == [True] * 3


async def test_cancelled_wait_gives_its_place_back() -> None:
    undecided = Undecided(LIMITS)
    undecided.open(message(b"1"))
    with trio.CancelScope() as scope:
        scope.cancel()
        await undecided.wait(message(b"1"))
    assert len(undecided) == 0
    assert undecided.has_room(A)


def test_unknown_message() -> None:
    Undecided(LIMITS).resolve(MessageId(b"?"), Verdict.ACCEPT)
