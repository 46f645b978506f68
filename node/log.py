"""Log lines on standard error: text for people or JSON for programs, one line for each event.

Events are snake_case constants and facts are keywords. Bytes are hashes; they become hex here and
nowhere else. What libraries log through the standard library comes out in the same form.

    2026-11-21T07:00:00.123456Z info    sync     rebranched old=4f1a09c2 new=90bb27de reverted=2
"""

import json
import logging
import sys
from collections.abc import MutableMapping
from typing import Any, Final, TextIO

import structlog
from structlog.typing import Processor

SHORT_HASH_BYTES: Final = 4
"""Of a hash in text: enough to tell the blocks of a run apart. JSON has all of it."""

_LEADING: Final = ("timestamp", "level", "logger", "event")
_UNQUOTED: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+@,*"
)


def configure_logging(*, level: str, format_: str, stream: TextIO | None = None) -> logging.Handler:
    """Send everything that is logged to one handler. Once per process, after any fork.

    Args:
        level: Least severe that is logged: debug, info, warning or error.
        format_: text or json.
        stream: Where to write; standard error if not given.

    Returns:
        The handler, for filters of noisy libraries.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    render = _render_json if format_ == "json" else _render_text
    shared: list[Processor] = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        foreign_pre_chain=shared,
    )
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # A full disk or a closed pipe must not end the node, nor fill what is left with complaints.
    logging.raiseExceptions = False
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return handler


_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}


def _render_json(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    leading = {name: event.pop(name) for name in _LEADING if name in event}
    return json.dumps({**leading, **event}, default=_plain)


def _render_text(_: Any, __: str, event: MutableMapping[str, Any]) -> str:
    timestamp, level, logger, name = (event.pop(each, "") for each in _LEADING)
    exception = event.pop("exception", None)
    facts = "".join(f" {key}={_text(value)}" for key, value in event.items())
    line = f"{timestamp} {level:<7} {logger:<8} {_one_line(str(name))}{facts}"
    return f"{line}\n{exception}" if exception else line


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


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
