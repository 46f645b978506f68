"""Lengths of time as operators write them."""

import pytest

from node.duration import parse_duration
from node.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("10s", 10), ("2m", 120), ("1.5h", 5400), ("7", 7)]
)
def test_a_duration(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "-1s", "soon", "1 s", "1e3", "1d"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ConfigError, match="is not a duration such as"):
        parse_duration(text)
