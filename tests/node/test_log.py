"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from node.event_record import EventRecord
from node.log import Recorder, configure_logging
from tests.cli.running import logging_restored


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    with logging_restored():
        yield


def _configure(*, format_: str, level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_logging(level=level, format_=format_, stream=stream)
    return stream


def _without_time(line: str) -> str:
    return line.split(" ", 1)[1]


def test_text_is_one_line_of_facts() -> None:
    stream = _configure(format_="text")
    structlog.get_logger("sync").info(
        "rebranched", new=bytes(range(32)), count=2, live=True, rate=0.1 + 0.2, why="a b", none=""
    )
    assert _without_time(stream.getvalue()) == (
        'info    sync     rebranched new=00010203 count=2 live=true rate=0.3 why="a b" none=""\n'
    )


def test_json_has_the_whole_hash() -> None:
    stream = _configure(format_="json")
    structlog.get_logger("sync").warning("held", block=bytes(32), addresses=("a", "b"))
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "logger": "sync",
        "event": "held",
        "block": "00" * 32,
        "addresses": ["a", "b"],
    }


@pytest.mark.parametrize("format_", ["text", "json"])
def test_a_library_cannot_break_a_line(format_: str) -> None:
    stream = _configure(format_=format_)
    logging.getLogger("library.test").warning("bad %s", "x\n2026 info forged")
    assert stream.getvalue().count("\n") == 1
    assert "forged" in stream.getvalue()


def test_the_level_holds_for_both_kinds_of_loggers() -> None:
    stream = _configure(format_="text", level="error")
    structlog.get_logger("a").warning("ours")
    logging.getLogger("b").warning("theirs")
    assert stream.getvalue() == ""


def test_an_exception_follows_its_line() -> None:
    stream = _configure(format_="text")
    try:
        int("x")
    except ValueError:
        structlog.get_logger("app").exception("failed")
    first, *rest = stream.getvalue().splitlines()
    assert _without_time(first) == "error   app      failed"
    assert rest[-1] == "ValueError: invalid literal for int() with base 10: 'x'"


def test_a_closed_stream_ends_nothing() -> None:
    stream = _configure(format_="text")
    stream.close()
    structlog.get_logger("app").info("unheard")


def _configure_recorded(level: str) -> tuple[io.StringIO, EventRecord]:
    stream, record, times = io.StringIO(), EventRecord(), iter([100.0, 100.5, 102.0, 103.0])
    recorder = Recorder(record, lambda: next(times))
    configure_logging(level=level, format_="json", stream=stream, recorder=recorder)
    return stream, record


def test_what_the_log_does_not_show_is_recorded() -> None:
    stream, record = _configure_recorded("warning")
    log = structlog.get_logger("sync").bind(peer="a")
    log.debug("peer_joined", height=3)
    log.info("status")
    log.warning("held", block=bytes(32))
    assert [(event.type, event.monotonic) for event in record.after(0, 9)] == [
        ("peer_joined", 0.5),
        ("status", 2.0),
        ("held", 3.0),
    ]
    joined, _, held = record.after(0, 9)
    assert joined.facts == {"peer": "a", "height": 3}
    # The line of the log and the event are the same.
    line = json.loads(stream.getvalue())
    assert line.pop("level") == "warning"
    assert line.pop("logger") == "sync"
    assert line == {
        "timestamp": held.time,
        "event": "held",
        "peer": "a",
        "block": "00" * 32,
    }


def test_a_line_that_is_shown_looks_the_same_with_a_record() -> None:
    plain_stream = _configure(format_="json")
    structlog.get_logger("one").info("held", count=2)
    recorded_stream, _ = _configure_recorded("info")
    structlog.get_logger("one").info("held", count=2)
    first, second = (json.loads(each.getvalue()) for each in (plain_stream, recorded_stream))
    assert list(first) == list(second)
    assert {**first, "timestamp": ""} == {**second, "timestamp": ""}


def test_what_libraries_log_is_not_recorded() -> None:
    stream, record = _configure_recorded("info")
    logging.getLogger("library.test").warning("noise")
    assert "noise" in stream.getvalue()
    assert record.newest == 0


def test_an_exception_is_recorded_as_text() -> None:
    _, record = _configure_recorded("error")
    try:
        int("x")
    except ValueError:
        structlog.get_logger("app").exception("failed")
    (event,) = record.after(0, 1)
    assert event.facts["exception"].endswith("invalid literal for int() with base 10: 'x'")
