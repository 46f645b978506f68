"""Blocks behind over time, drawn for a terminal and as a picture."""

import math
from collections.abc import Sequence
from typing import Final

import leather
import plotille

from node.testnet.experiment import STRATEGIES, Point

MIN_HEIGHT: Final = 5
MAX_HEIGHT: Final = 15
"""Lines of the drawing in a terminal, without its axis and legend."""

MARGIN: Final = 22
"""Characters that the vertical axis takes from the width of a terminal."""

MIN_WIDTH: Final = 40
MAX_WIDTH: Final = 100
"""Of the drawing: as wide as the tables."""

COLOURS: Final = {"static": "red", "dynamic": "cyan"}
HEX_COLOURS: Final = {"static": "#d1495b", "dynamic": "#00798c"}

PICTURE_SIZE: Final = (900, 450)
"""Pixels."""

X_LABEL: Final = "seconds since both were started"

Curve = list[tuple[float, int]]
"""Seconds and blocks behind, ascending in time."""


def curves_of(points: Sequence[Point]) -> dict[str, Curve]:
    """Return the curve of each strategy, from the moment on when it has a state or a target."""
    return {
        strategy: [
            (point.at_s, point.blocks_behind)
            for point in points
            if point.strategy == strategy and point.blocks_behind is not None
        ]
        for strategy in STRATEGIES
    }


def terminal_plot(points: Sequence[Point], width: int) -> str:
    """Return a drawing of characters; the first letters of the strategies are its marks.

    Args:
        points: Of both newcomers.
        width: Of the terminal, characters.
    """
    curves = curves_of(points)
    figure = plotille.Figure()
    figure.width = min(max(width - MARGIN, MIN_WIDTH), MAX_WIDTH)
    most = math.ceil(_highest(curves, 1))
    figure.height = min(max(most, MIN_HEIGHT), MAX_HEIGHT)
    figure.x_label, figure.y_label = "s", "blocks behind"
    figure.set_x_limits(min_=0, max_=_highest(curves, 0))
    # A multiple of the lines, so that each line has a whole number.
    figure.set_y_limits(min_=0, max_=math.ceil(most / figure.height) * figure.height)
    figure.color_mode = "names"
    figure.register_label_formatter(float, _number)
    for strategy, curve in curves.items():
        if curve:
            times, behind = zip(*curve, strict=True)
            mark = strategy[0]
            figure.scatter(times, behind, lc=COLOURS[strategy], label=strategy, marker=mark)
    return str(figure.show(legend=True))


def picture(points: Sequence[Point]) -> str:
    """Return a picture as SVG. There must be something to draw."""
    chart = leather.Chart("Blocks behind the network")
    chart.add_x_axis(name=X_LABEL)
    chart.add_y_axis(name="blocks behind")
    curves = curves_of(points)
    chart.add_x_scale(0, _highest(curves, 0))
    chart.add_y_scale(0, _highest(curves, 1))
    for strategy, curve in curves.items():
        if curve:
            chart.add_line(curve, name=strategy, stroke_color=HEX_COLOURS[strategy])
    width, height = PICTURE_SIZE
    return str(chart.to_svg(width=width, height=height))


def _highest(curves: dict[str, Curve], part: int) -> float:
    """Return the end of an axis: even a flat curve needs one that is not empty."""
    return max([1.0, *(each[part] for curve in curves.values() for each in curve)])


def _number(value: float, *, chars: int, left: bool, **_: object) -> str:
    text = f"{value:.1f}".removesuffix(".0")
    return text.ljust(chars) if left else text.rjust(chars)
