"""`headway experiment` without a network: what is mistyped, what is shown and written."""

import csv
import io
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cli.experiment_output import COLUMNS, csv_text, live_line, outcome_row, record_of
from cli.experiment_plot import MAX_HEIGHT, curves_of, picture, terminal_plot
from cli.output import table
from node.testnet.experiment import STRATEGIES, outcome_of, points_of
from tests.build.experiment import reading, recording, usual
from tests.cli.running import invoke

POINTS = [point for each in STRATEGIES for point in points_of(usual(), each)]
OUTCOMES = [outcome_of(usual(), each) for each in STRATEGIES]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_table_has_a_line_for_each_strategy() -> None:
    shown = table([outcome_row(each) for each in OUTCOMES], COLUMNS)
    assert shown.splitlines() == [
        "STRATEGY  COMPLETE  BEHIND  AT HEAD  LIVE    RECEIVED  LEAVES  AGAIN  PIVOTS  ATTEMPTS"
        "  SYNCS  QUEUED",
        "static    4.20 s         4  6.00 s   7.00 s  0.0 MB      1000      0       0         1"
        "      1       0",
        "dynamic   4.60 s         0  4.80 s   4.80 s  0.0 MB      1100    100       2         2"
        "      1       7",
    ]


def test_what_was_not_reached_is_a_dash() -> None:
    nothing = recording([reading(1, 0, phase="searching")], [reading(1, 0)])
    row = table([outcome_row(outcome_of(nothing, "static"))], COLUMNS).splitlines()[1]
    assert row.split() == ["static", *["-"] * 9, "0", "0"]


def test_the_record_holds_all_of_it_as_json() -> None:
    content = json.loads(json.dumps(record_of(usual(), OUTCOMES, POINTS)))
    assert content["experiment"]["accounts"] == 1000
    assert [each["behind_at_completion"] for each in content["outcomes"]] == [4, 0]
    assert len(content["points"]) == len(POINTS)


def test_the_table_over_time_has_a_line_for_each_look() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(POINTS))))
    assert len(rows) == len(POINTS)
    assert (rows[0]["strategy"], rows[0]["blocks_behind"]) == ("static", "")
    assert (rows[-1]["at_s"], rows[-1]["consensus"]) == ("6.0", "True")


def test_the_line_says_where_both_are() -> None:
    newest = [points_of(usual(), each)[2] for each in STRATEGIES]
    assert live_line(newest) == (
        "static state_sync 900 accounts 4 behind   dynamic state_sync 800 accounts 4 behind"
    )
    assert live_line(points_of(usual(), "static")[:1]) == "static searching"


def test_a_curve_begins_with_the_first_target() -> None:
    assert curves_of(POINTS)["dynamic"] == [(1.0, 1), (4.0, 4), (4.8, 0), (6.0, 0)]


def test_a_terminal_gets_both_curves_and_whole_numbers() -> None:
    drawn = terminal_plot(POINTS, 80)
    assert drawn.count("static") == drawn.count("dynamic") == 1
    lines = drawn.splitlines()
    assert max(map(len, lines)) <= 90
    labels = [line.split("|")[0].strip() for line in lines if "|" in line]
    assert labels[:6] == ["5", "4", "3", "2", "1", "0"]
    marks = "".join(line.split("|")[1] for line in lines[1:7])
    assert "s" in marks
    assert "d" in marks


def test_a_high_curve_stays_within_the_screen() -> None:
    high = recording([reading(1, 0)], [reading(1, 0)], (reading(0, 1000),))
    points = [point for each in STRATEGIES for point in points_of(high, each)]
    drawn = terminal_plot(points, 300).splitlines()
    assert len(drawn) <= MAX_HEIGHT + 9
    assert drawn[1].split("|")[0].strip() == "1005"


def test_nothing_seen_is_an_empty_drawing() -> None:
    assert "blocks behind" in terminal_plot([], 10)


def test_the_picture_is_svg_with_a_line_for_each_strategy() -> None:
    root = ET.fromstring(picture(POINTS))  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    words = {element.text for element in root.iter(f"{SVG}text")}
    assert {"static", "dynamic", "blocks behind"} <= words
    colours = {element.get("stroke") for element in root.iter(f"{SVG}path")}
    assert len(colours) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--accounts", "0"], "'--accounts': 0 is not in the range"),
        (["--validators", "0"], "'--validators': 0 is not in the range"),
        (["--load", "fast"], "'--load': 'fast' is not a load such as 50tps"),
        (["--load", "99999"], "load must be 0..10000 tps"),
        (["--block-time", "soon"], "'--block-time': 'soon' is not a duration"),
        (["--block-time", "1ms"], "block time must be 10ms..5m"),
        (["--join-at", "79"], "before height 80 (4 batches) nodes follow the blocks"),
        (["--batch-length", "30", "--join-at", "100"], "before height 120 (4 batches)"),
        (["--pivot-interval", "0"], "'--pivot-interval': 0 is not in the range"),
        (["--name", "../up"], "network name '../up'"),
        (["--timeout", "never"], "'--timeout': 'never' is not a duration"),
        (["--csv", "nowhere/a.csv"], "--csv nowhere/a.csv: its folder does not exist"),
        (["--json", "."], "'--json': File '.' is a directory"),
        (["-o", "xml"], "'-o' / '--output': 'xml' is not one of"),
        (["more"], "unexpected extra argument"),
    ],
    ids=" ".join,
)
def test_a_mistyped_experiment_is_a_usage_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "networks"
    done = invoke(
        "experiment", "static-vs-dynamic", *options, environment={"HEADWAY_NETWORKS": str(home)}
    )
    assert (done.exit_code, done.stdout) == (2, "")
    assert reason in done.stderr.splitlines()[-1]
    assert not home.exists()


def test_a_network_of_that_name_is_not_touched(tmp_path: Path) -> None:
    there = tmp_path / "experiment" / "file"
    there.parent.mkdir()
    there.touch()
    done = invoke(
        "experiment", "static-vs-dynamic", environment={"HEADWAY_NETWORKS": str(tmp_path)}
    )
    assert done.exit_code == 3
    assert "network 'experiment' exists" in done.stderr
    assert there.exists()
