"""How the record of an experiment is shown and written."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any, Final

from node.testnet.experiment import Outcome, Point, Recording

COLUMNS: Final = (
    "strategy",
    "complete",
    "behind",
    "at head",
    "live",
    "received",
    "leaves",
    "again",
    "pivots",
    "attempts",
    "syncs",
    "queued",
)
"""Of the table."""


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """Return one row of the table."""
    return {
        "strategy": outcome.strategy,
        "complete": _seconds(outcome.complete_s),
        "behind": outcome.behind_at_completion,
        "at head": _seconds(outcome.at_head_s),
        "live": _seconds(outcome.consensus_s),
        "received": None if outcome.bytes_in is None else f"{outcome.bytes_in / 1e6:.1f} MB",
        "leaves": outcome.leaves,
        "again": outcome.leaves_again,
        "pivots": outcome.pivots,
        "attempts": outcome.attempts,
        "syncs": outcome.syncs,
        "queued": outcome.queued_max,
    }


def record_of(
    recording: Recording, outcomes: Sequence[Outcome], points: Sequence[Point]
) -> dict[str, Any]:
    """Return all of it as plain values."""
    return {
        "experiment": asdict(recording.spec),
        "started_ms": recording.started_ms,
        "outcomes": [asdict(each) for each in outcomes],
        "points": [asdict(each) for each in points],
    }


def csv_text(points: Sequence[Point]) -> str:
    """Return what was seen over time, one line for each look; what is not known is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(Point)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(point) for point in points)
    return text.getvalue()


def live_line(points: Sequence[Point]) -> str:
    """Return where the newcomers are, in one line."""
    return "   ".join(_where(point) for point in points)


def _where(point: Point) -> str:
    parts = [point.strategy, point.phase]
    if point.accounts is not None:
        parts.append(f"{point.accounts} accounts")
    if point.blocks_behind is not None:
        parts.append(f"{point.blocks_behind} behind")
    return " ".join(parts)


def _seconds(length_s: float | None) -> str | None:
    return None if length_s is None else f"{length_s:.2f} s"
