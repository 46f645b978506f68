"""How the state of a network is shown."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from cli.output import short_hash
from node.testnet.control import NodeReport
from node.testnet.layout import NodeFolder
from node.testnet.memory import proportional_bytes

LOG_LINES: Final = 5
"""Last lines of a log that are shown when its node is the reason of an error."""

COLUMNS: Final = (
    "name",
    "profile",
    "state",
    "pid",
    "height",
    "final",
    "head",
    "phase",
    "consensus",
    "peers",
    "memory",
)


def status_row(report: NodeReport) -> dict[str, Any]:
    """Return one row of the status table."""
    status = report.status
    return {
        "name": report.node.name + ("*" if report.node.is_validator else ""),
        "profile": report.node.profile,
        "state": report.state,
        "pid": report.pid,
        "height": status.get("height"),
        "final": status.get("finalized"),
        "head": short_hash(status.get("head")),
        "phase": status.get("phase"),
        "consensus": status.get("consensus"),
        "peers": status.get("peers"),
        "memory": None if report.pid is None else _megabytes(proportional_bytes(report.pid)),
    }


def status_facts(report: NodeReport) -> dict[str, Any]:
    """Return all that is known of a node, for programs."""
    return {
        "name": report.node.name,
        "profile": report.node.profile,
        "validator": report.node.is_validator,
        "state": report.state,
        "pid": report.pid,
        "memory_bytes": None if report.pid is None else proportional_bytes(report.pid),
        "status": dict(report.status) or None,
    }


def heads_line(reports: Iterable[NodeReport]) -> str:
    """Return who agrees on the head: `heads: 7 x a1b2c3d4 at 12, 1 x 99aa00ff at 11`.

    A node that is one block behind at this moment is shown as such: blocks take time to travel.
    """
    heads = Counter(
        (int(each.status["height"]), short_hash(each.status["head"]))
        for each in reports
        if each.status
    )
    if not heads:
        return "heads: no node is running"
    ordered = sorted(heads.items(), key=lambda item: (-item[1], -item[0][0]))
    return "heads: " + ", ".join(
        f"{count} x {head} at {height}" for (height, head), count in ordered
    )


def last_log_lines(files: NodeFolder) -> list[str]:
    """Return the end of a node's log, for an error message."""
    try:
        return files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def whole_lines(path: Path, position: int) -> tuple[list[str], int]:
    """Return the lines of a log from a byte position on, and the position behind them.

    A line that is still being written is left for the next look; a log that is not there has none.
    """
    try:
        with path.open("rb") as file:
            file.seek(position)
            new = file.read()
    except FileNotFoundError:
        return [], position
    whole = new[: new.rfind(b"\n") + 1]
    return whole.decode(errors="replace").splitlines(), position + len(whole)


def _megabytes(size_bytes: int | None) -> str | None:
    return None if size_bytes is None else f"{size_bytes / 1e6:.0f} MB"
