"""Log lines."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from node.log import configure_logging
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
