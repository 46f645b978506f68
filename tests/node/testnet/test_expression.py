"""Conditions over a network."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import ConfigError
from node.testnet.expression import (
    Both,
    Comparison,
    Either,
    Every,
    Facts,
    Not,
    Some,
    holds,
    parse,
)

LOW: Facts = {"height": 2, "phase": "searching", "name": "full-1"}
HIGH: Facts = {"height": 9, "phase": "live", "name": "full-2"}
DOWN: Facts = {"height": None, "phase": None, "name": "full-3"}


def test_precedence() -> None:
    one, two, three = (Comparison("height", ">=", number) for number in (1, 2, 3))
    assert parse("height>=1 or height>=2 and not height >= 3") == Either(one, Both(two, Not(three)))
    assert parse("(height>=1 or height>=2) and height>=3") == Both(Either(one, two), three)
    assert parse("all(height>=1) and any(height>=2)") == Both(Every(one), Some(two))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("height >= 2", True),
        ("all(height >= 3)", False),
        ("any(height >= 3)", True),
        ("any(height >= 3 and phase == searching)", False),
        ("any(phase == 'live') and height < 10", True),
        ("not height >= 3", True),
        ("macro >= 0", False),
    ],
)
def test_conditions(text: str, expected: object) -> None:
    assert holds(parse(text), [LOW, HIGH]) is expected


def test_a_node_that_does_not_answer_fulfils_nothing() -> None:
    assert not holds(parse("height >= 0"), [HIGH, DOWN])
    assert not holds(parse("height != 5"), [DOWN])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ends too early"),
        ("height", "ends too early"),
        ("height >=", "ends too early"),
        ("hight >= 3", "unknown field 'hight'"),
        ("height => 3", "unexpected '=> 3'; is == meant"),
        ("phase == livee", "phase is one of searching, macro_sync, state_sync, live, not 'livee'"),
        ("consensus == true", "consensus is one of yes, no"),
        ("height 3 4", "no comparison"),
        ("height >= three", "needs a whole number"),
        ("phase > live", "only be compared"),
        ("height >= 3)", "unexpected"),
        ("all(height >= 3", "expected"),
        ("height >= 3; import os", "unexpected"),
        ("(" * 100 + "height>=1" + ")" * 100, "nested too deeply"),
        ("not " * 100 + "height>=1", "nested too deeply"),
    ],
)
def test_what_is_no_condition_says_why(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse(text)


@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_a_config_error(text: str) -> None:
    try:
        condition = parse(text)
    except ConfigError:
        return
    holds(condition, [LOW, HIGH, DOWN])
