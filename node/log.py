"""Log lines on standard error: text for people or JSON for programs, one line for each event.

Events are snake_case constants and facts are keywords. Bytes are hashes; they become hex here and
nowhere else. What libraries log through the standard library comes out in the same form.

    2026-11-21T07:00:00.123456Z info    sync     rebranched old=4f1a09c2 new=90bb27de reverted=2

A daemon records what it logs, and also what is not severe enough to be shown:

    our loggers --> wall time --> record --shown?--> names --> handler --> standard error
    libraries ----------------------------------------------------^
"""

import json
import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

from node.event_record import EventRecord, plain

SHORT_HASH_BYTES: Final = 4
"""Of a hash in text: enough to tell the blocks of a run apart. JSON has all of it."""

_LEADING: Final = ("timestamp", "level", "logger", "event")
_UNQUOTED: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+@,*"
)


def configure_logging(
    *,
    level: str,
    format_: str,
    stream: TextIO | None = None,
    recorder: "Recorder | None" = None,
) -> logging.Handler:
    """Send everything that is logged to one handler. Once per process, after any fork.

    Args:
        level: Least severe that is logged: debug, info, warning or error.
        format_: text or json.
        stream: Where to write; standard error if not given.
        recorder: Gets all events of our own, of any level.

    Returns:
        The handler, for filters of noisy libraries.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    render = _render_json if format_ == "json" else _render_text
    first: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    names: list[Processor] = [structlog.stdlib.add_logger_name, structlog.stdlib.add_log_level]
    between: list[Processor] = [] if recorder is None else [recorder.record]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        foreign_pre_chain=[*first, *names],
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # A full disk or a closed pipe must not end the node, nor fill what is left with complaints.
    logging.raiseExceptions = False
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.wrap_for_formatter]
    structlog.configure(
        processors=[*first, *between, *names, *last],
        # What is recorded must pass here; the level of the root logger ends what is not shown.
        wrapper_class=structlog.make_filtering_bound_logger(
            _LEVELS[level if recorder is None else "debug"]
        ),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return handler


class Recorder:
    """Puts each event into a record before anything is decided about its log line."""

    def __init__(self, record: EventRecord, clock: Callable[[], float]) -> None:
        """Start now: that is second 0 of the record.

        Args:
            record: Of the one node of this process.
            clock: Monotonic, seconds.
        """
        self._events = record
        self._clock = clock
        self._start = clock()

    def record(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Record an event, as a processor that changes nothing."""
        facts = {**event}
        type_, time = facts.pop("event"), facts.pop("timestamp")
        self._events.add(type_, facts, time=time, now=self._clock() - self._start)
        return event


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _render_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    leading = {name: event.pop(name) for name in _LEADING if name in event}
    return json.dumps({**leading, **event}, default=plain)


def _render_text(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    timestamp, level, logger, name = (event.pop(each, "") for each in _LEADING)
    exception = event.pop("exception", None)
    facts = "".join(f" {key}={_text(value)}" for key, value in event.items())
    line = f"{timestamp} {level:<7} {logger:<8} {_one_line(str(name))}{facts}"
    return f"{line}\n{exception}" if exception else line


def _text(value: Any) -> str:
    match value:
        case bytes():
            return value[:SHORT_HASH_BYTES].hex()
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.6g}"
        case _:
            text = str(value)
            return text if text and _UNQUOTED.issuperset(text) else json.dumps(text)


def _one_line(text: str) -> str:
    """Keep what a stranger may have put into a message from looking like a line of ours."""
    return text if text.isprintable() else json.dumps(text)[1:-1]
