"""Data on standard output: a table for people, JSON or NDJSON for programs."""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final

import click

Row = Mapping[str, Any]

SHORT_HASH_DIGITS: Final = 8
"""Of a hash in tables: enough to tell blocks apart at a glance. JSON has all of it."""

MAX_CELL: Final = 100
"""A longer text would break the table of every terminal."""


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"
    NDJSON = "ndjson"


def print_rows(rows: Sequence[Row], output: Output, columns: Sequence[str]) -> None:
    """Print things of one kind. Columns choose what a table shows; JSON has everything."""
    match output:
        case Output.TABLE:
            click.echo(table(rows, columns))
        case Output.JSON:
            click.echo(json.dumps([dict(row) for row in rows], indent=2))
        case Output.NDJSON:
            for row in rows:
                click.echo(json.dumps(row))


def print_record(record: Row, output: Output) -> None:
    """Print one thing: in a table one line for each of its facts."""
    match output:
        case Output.TABLE:
            width = max((len(name) for name in record), default=0)
            for name, value in record.items():
                click.echo(f"{name:<{width}}  {cell(value)}".rstrip())
        case Output.JSON:
            click.echo(json.dumps(record, indent=2))
        case Output.NDJSON:
            click.echo(json.dumps(record))


def table(
    rows: Sequence[Row], columns: Sequence[str], widths: Mapping[str, int] | None = None
) -> str:
    """Return rows as aligned text: numbers to the right, nothing as a dash.

    Args:
        rows: What to show.
        columns: Names of the facts that are shown, in order.
        widths: Characters that a column takes at least.
    """
    smallest = widths or {}
    cells = [[_shortened(cell(row.get(column))) for column in columns] for row in rows]
    is_number = [_is_numeric([row.get(column) for row in rows]) for column in columns]
    lines = [[column.upper() for column in columns], *cells]
    widest = [
        max(smallest.get(column, 0), *(len(line[index]) for line in lines))
        for index, column in enumerate(columns)
    ]
    return "\n".join(
        "  ".join(
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widest, is_number, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: Any) -> str:
    """Return a value as people read it."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case list() | tuple():
            return ", ".join(cell(item) for item in value) or "-"
        case dict():
            return ", ".join(f"{name} {cell(each)}" for name, each in value.items()) or "-"
        case _:
            return str(value)


def short_hash(value: Any) -> str | None:
    """Return the start of a hash in hex."""
    return str(value)[:SHORT_HASH_DIGITS] if value else None


def _is_numeric(values: Sequence[Any]) -> bool:
    # A boolean is a word in a table, though Python counts it as a number.
    return all(type(value) in {int, float, type(None)} for value in values)


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 3] + "..."
