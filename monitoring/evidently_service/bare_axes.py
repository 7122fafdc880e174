"""Draw axes without ticks, which take most of a small chart's drawing time, and write texts."""

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mlstack.charts import INK

FONT: Final = 11
"""Size of every text, in pixels on a phone."""


def add_bare_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at a place in pixels, counted from the figure's upper left corner."""
    full_width, full_height = figure.get_size_inches() * 72
    axes = figure.add_axes(
        (
            *(left / full_width, 1 - (top + height) / full_height),
            *(width / full_width, height / full_height),
        )
    )
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])
    return axes


def write_below(axes: Axes, place: float, text: str, align: str = "center") -> None:
    """Write a text below the axes, at a place on its x axis."""
    axes.annotate(
        text,
        (place, 0),
        (0, -5),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        ha=align,
        va="top",
        color=INK,
        fontsize=FONT,
    )


def write_beside(axes: Axes, place: float, text: str) -> None:
    """Write a text to the left of the axes, at a place on its y axis."""
    axes.annotate(
        text,
        (0, place),
        (-5, 0),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        ha="right",
        va="center",
        color=INK,
        fontsize=FONT,
    )
