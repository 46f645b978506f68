"""Progress bars of commands that make large things."""

import sys
from collections.abc import Callable
from contextlib import ExitStack

import click


def progress_bar(stack: ExitStack, label: str, length: int) -> Callable[[int], None]:
    """Return what shows progress on a terminal, from its first call on.

    Args:
        stack: Holds the bar that is shown; the one before ends.
        label: Of the bar.
        length: What the count leads to.
    """
    # Hidden elsewhere: what is no terminal would get each step as a line.
    is_shown = length and sys.stderr.isatty()
    bar = click.progressbar(length=length, label=label, file=sys.stderr, hidden=not is_shown)
    done = -1

    def progress(count: int) -> None:
        nonlocal done
        if done < 0:
            stack.close()
            stack.enter_context(bar)
            done = 0
        bar.update(min(count, length) - done)
        done = min(count, length)

    return progress
