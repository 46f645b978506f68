"""How data is printed."""

import json
from typing import Any

import pytest

from cli.output import Output, cell, print_record, print_rows, table

ROWS: list[dict[str, Any]] = [
    {"name": "a", "height": 5, "live": True},
    {"name": "bcd", "height": None, "live": False},
]
COLUMNS = ("name", "height", "live")


def test_a_table_is_aligned() -> None:
    assert table(ROWS, COLUMNS).splitlines() == [
        "NAME  HEIGHT  LIVE",
        "a          5  yes",
        "bcd        -  no",
    ]
    assert table([], COLUMNS) == "NAME  HEIGHT  LIVE"


def test_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(ROWS, Output.JSON, ("name",))
    assert json.loads(capsys.readouterr().out) == ROWS
    print_rows(ROWS, Output.NDJSON, ("name",))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == ROWS
    print_record(ROWS[0], Output.JSON)
    assert json.loads(capsys.readouterr().out) == ROWS[0]


def test_a_record_is_a_line_for_each_fact(capsys: pytest.CaptureFixture[str]) -> None:
    print_record({"name": "a", "peer_lists": {"live": 1, "macro": 0}, "none": ()}, Output.TABLE)
    assert capsys.readouterr().out.splitlines() == [
        "name        a",
        "peer_lists  live 1, macro 0",
        "none        -",
    ]


def test_cells() -> None:
    values: list[Any] = [None, "", 0, 1.5, [1, "a"], {}, "x"]
    assert [cell(each) for each in values] == [
        "-",
        "-",
        "0",
        "1.5",
        "1, a",
        "-",
        "x",
    ]
    assert len(table([{"a": "x" * 500}], ["a"]).splitlines()[1]) == 100
