"""Logs that nobody can flood."""

import logging
from dataclasses import dataclass, field

import structlog.testing
import trio
from trio.testing import MockClock

from node.net.libp2p.logs import LINES, MAX_KINDS, FloodFilter, LineLimiter, quiet_libraries


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sink:
    """A handler that keeps what reaches it."""

    lines: list[str] = field(default_factory=list)

    def handler(self) -> logging.Handler:
        sink = self

        class Keeping(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                sink.lines.append(record.getMessage())

        return Keeping()


def record(message: str, name: str = "libp2p.test") -> logging.LogRecord:
    return logging.LogRecord(name, logging.WARNING, "", 0, message, (), None)


def test_lines_of_one_kind_are_limited_and_come_back() -> None:
    clock = Clock()
    flood = FloodFilter(clock)
    passed = [flood.filter(record("peer %s misbehaves")) for _ in range(100)]
    assert sum(passed) == LINES.capacity
    clock.now = LINES.refill_s
    assert flood.filter(record("peer %s misbehaves"))


def test_a_logger_is_limited_over_all_its_kinds() -> None:
    flood = FloodFilter(Clock())
    passed = [flood.filter(record(f"peer {number} misbehaves")) for number in range(1000)]
    assert sum(passed) == LINES.capacity
    assert len(flood._limiter) <= MAX_KINDS
    assert flood.filter(record("something else", name="libp2p.other"))


def test_libraries_reach_the_handler_through_the_filter() -> None:
    sink = Sink()
    handler = sink.handler()
    logger = logging.getLogger("libp2p.network.swarm")
    quiet_libraries(handler, Clock())
    quiet_libraries(handler, Clock())
    try:
        for _ in range(100):
            logger.warning("peer %s", "x")
            logger.info("not told")
            logging.getLogger("libp2p.pubsub.gossipsub").error("about a stranger")
        assert sink.lines == ["peer x"] * LINES.capacity
        for _ in range(100):
            handler.handle(record("ours", name="node"))
        assert sink.lines[LINES.capacity :] == ["ours"] * 100
    finally:
        logging.getLogger("libp2p").removeHandler(handler)
        logging.getLogger("multiaddr").removeHandler(handler)


async def test_own_lines_say_how_many_were_left_out(autojump_clock: MockClock) -> None:
    assert autojump_clock.autojump_threshold == 0
    lines = LineLimiter()
    with structlog.testing.capture_logs() as logged:
        for _ in range(50):
            lines.info("peer_dropped", reason="x")
        lines.info("another")
        await trio.sleep(LINES.refill_s)
        lines.info("peer_dropped", reason="y")
    kept = [line["event"] for line in logged]
    assert kept == ["peer_dropped"] * LINES.capacity + ["another", "peer_dropped"]
    assert logged[-1]["suppressed"] == 50 - LINES.capacity
