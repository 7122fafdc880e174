"""Draw the distribution of a column in the window beside the reference.

Importing this module loads matplotlib, which takes a second.
"""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter, MaxNLocator

from mlstack.charts import ACCENT, ALARM, INK, SOFT, inline_svg, new_figure
from mlstack.quality.distributions import ColumnDistribution, Histogram, LabelShares
from monitoring.evidently_service.bare_axes import (
    FONT,
    add_bare_axes,
    write_below,
    write_beside,
)

WIDTH: Final = 260
"""Width of every chart, in pixels on a phone and about as many elsewhere."""

_HEIGHT, _ROW, _AXIS = 110, 24, 20
_MAX_LABEL = 18
_TICKS = MaxNLocator(4)
_WHOLE_TICKS = MaxNLocator(4, integer=True)
_EDGE = 0.06
"""Share of the width at either end where a centred text would not fit."""
_HALF = 0.5
_MANY = 10_000
_LARGE = EngFormatter(sep="")
"""Writes 10,000 as 10k."""


def draw_distribution(
    name: str, title: str, distribution: ColumnDistribution, *, drifted: bool
) -> str:
    """Return a chart as `inline_svg` does: the reference in grey, the window in colour."""
    color = ALARM if drifted else ACCENT
    if isinstance(distribution, Histogram):
        axes = _axes(_HEIGHT, left=8)
        _draw_histogram(axes, distribution, color)
        description = _describe_numbers(distribution)
    else:
        labels = [_short(label) for label in distribution.labels]
        longest = max(map(len, labels), default=0)
        axes = _axes(_ROW * len(labels) + _AXIS, left=16 + 6 * longest)
        _draw_labels(axes, labels, distribution, color)
        description = _describe_labels(distribution)
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - it has just been made
    return inline_svg(figure, name, title, description)


def _axes(height: float, left: float) -> Axes:
    """Add axes to a figure, with room for one line of text below them."""
    figure = new_figure(WIDTH, height, arranged=False)
    return add_bare_axes(figure, left, 2, WIDTH - 10 - left, height - _AXIS - 2)


def _draw_histogram(axes: Axes, found: Histogram, color: str) -> None:
    if not found.edges:
        axes.text(0.5, 0.5, "no value", ha="center", color=INK, fontsize=FONT)
        return
    if found.reference:
        axes.stairs(found.reference, found.edges, fill=True, color=SOFT, alpha=0.4, linewidth=0)
        axes.stairs(found.reference, found.edges, color=SOFT, linewidth=0.8)
    if found.current:
        axes.stairs(found.current, found.edges, color=color, linewidth=1.8)
    low, high = found.edges[0], found.edges[-1]
    axes.axhline(0, color=SOFT, linewidth=0.8)
    axes.set_xlim(low, high)
    axes.set_ylim(0, max([*found.current, *found.reference]) * 1.05)
    # Whole numbers are in the middle of their bins.
    ticks = _WHOLE_TICKS if low % 1 == high % 1 == _HALF else _TICKS
    for tick in ticks.tick_values(low, high):
        if low <= tick <= high:
            place = (tick - low) / (high - low)
            align = "left" if place < _EDGE else "right" if place > 1 - _EDGE else "center"
            write_below(axes, tick, _LARGE(tick) if abs(tick) >= _MANY else f"{tick:.6g}", align)


def _draw_labels(axes: Axes, labels: Sequence[str], found: LabelShares, color: str) -> None:
    most = max([*found.current, *found.reference], default=1.0)
    axes.set_xlim(0, most)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    for shares, shift, shade in ((found.current, -0.18, color), (found.reference, 0.18, SOFT)):
        places = [place + shift for place in range(len(shares))]
        axes.hlines(places, 0, shares, color=shade, linewidth=_ROW * 0.34)
    for place, label in enumerate(labels):
        write_beside(axes, place, label)
    write_below(axes, 0, "0%")
    write_below(axes, most, f"{most:.0%}", align="right")


def _short(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else f"{label[: _MAX_LABEL - 1]}…"


def _describe_numbers(found: Histogram) -> str:
    if not found.edges:
        return "Neither the window nor the reference has a value."
    return (
        f"Numbers from {found.edges[0]:g} to {found.edges[-1]:g}: window (line), reference (area)."
    )


def _describe_labels(found: LabelShares) -> str:
    shares = zip(found.labels, found.current, found.reference, strict=True)
    parts = [f"{label} {now:.0%} (reference {before:.0%})" for label, now, before in shares]
    return f"Window: {', '.join(parts)}."
