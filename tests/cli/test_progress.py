"""Progress bars: on a terminal only, and one after the other."""

import sys
from contextlib import ExitStack
from io import StringIO

import pytest

from cli.progress import progress_bar


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


def drawn(screen: StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", screen)
    with ExitStack() as stack:
        blocks = progress_bar(stack, "blocks", 10)
        accounts = progress_bar(stack, "accounts", 100)
        for count in (0, 50, 120):
            accounts(count)
        blocks(0)
        blocks(12)
    return screen.getvalue()


def test_one_after_the_other_and_never_beyond_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(Terminal(), monkeypatch)
    assert text.rindex("accounts") < text.index("blocks")
    assert "50%" in text
    assert text.count("100%") >= 2
    assert "120%" not in text


def test_nothing_where_it_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(StringIO(), monkeypatch) == ""


def test_nothing_of_what_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with ExitStack() as stack:
        progress_bar(stack, "blocks", 0)(0)
    assert screen.getvalue() == ""
