"""What is told of a question to a peer."""

from dataclasses import dataclass
from typing import Any, cast

import trio
from structlog.testing import capture_logs
from trio.testing import MockClock

from node.errors import Fault, PeerFaultError, UnavailableError
from node.net.network import Network
from node.services.asking import ask_peer
from protocols.ids import RequestProtocol
from protocols.types import PeerId

PEER = PeerId("peer")


@dataclass
class Answering:
    """A network whose one peer takes two seconds."""

    answer: bytes | Exception
    reported: tuple[PeerId, Fault] | None = None

    async def request(self, peer: PeerId, protocol: RequestProtocol, payload: bytes) -> bytes:
        await trio.sleep(2)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def report(self, peer: PeerId, fault: Fault) -> None:
        self.reported = peer, fault


async def told(network: Answering, *, within_s: float = 10) -> list[dict[str, Any]]:
    """Ask, and return what was told of it after the question."""
    with capture_logs() as lines, trio.move_on_after(within_s):
        await ask_peer(
            cast(Network, network), PEER, RequestProtocol.HEAD, b"", len, in_thread=False
        )
    asked = {"peer": PEER, "protocol": "head", "log_level": "debug"}
    assert lines.pop(0) == {"event": "request_sent", **asked}
    assert [line for line in lines if not asked.items() <= line.items()] == []
    return [{name: line[name] for name in line if name not in asked} for line in lines]


async def test_each_question_has_one_end(autojump_clock: MockClock) -> None:
    assert await told(Answering(b"four")) == [
        {"event": "request_answered", "bytes": 4, "seconds": 2.0}
    ]
    assert await told(Answering(UnavailableError("gone"))) == [
        {"event": "request_failed", "reason": "gone", "seconds": 2.0}
    ]
    liar = Answering(PeerFaultError(PEER, Fault.MALFORMED))
    assert await told(liar) == [{"event": "request_failed", "reason": "malformed", "seconds": 2.0}]
    assert liar.reported == (PEER, Fault.MALFORMED)
    assert await told(Answering(b"late"), within_s=1.5) == [
        {"event": "request_cancelled", "seconds": 1.5}
    ]
