"""Draw what the service found over time, with deployments and alerts on the same axis.

Importing this module loads matplotlib, which takes a second.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import zip_longest
from math import isfinite, nan
from typing import Final

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from mlstack.charts import ACCENT, ALARM, GOOD, INK, SOFT, inline_svg, new_figure
from mlstack.quality.drift_history import Moment
from monitoring.evidently_service.bare_axes import (
    FONT,
    add_bare_axes,
    write_below,
    write_beside,
)
from monitoring.evidently_service.timeline import Timeline

WIDTH: Final = 360
"""Width of a chart, in pixels on a phone and about as many elsewhere."""

_LEFT, _RIGHT = 58, 12
_STRIP, _HEADING, _GAP, _AXIS = 12, 18, 6, 22
_PANELS = (56, 64, 44)
"""Heights of the panels: drifted features, quality, outcomes."""
_MOST_TICKS = 5
_EDGE = 0.02
_TICK_STEPS = [
    *(timedelta(minutes=minutes) for minutes in (5, 15, 30)),
    *(timedelta(hours=hours) for hours in (1, 3, 6, 12)),
    *(timedelta(days=days) for days in (1, 2, 7)),
]


def draw_timeline(name: str, title: str, shown: Timeline, figure_name: str) -> str:
    """Return a chart as `inline_svg` does; `figure_name` is what `Moment.measured` is."""
    strips = 2 if shown.firing is not None else 1
    height = strips * (_STRIP + _GAP) + sum(_PANELS) + len(_PANELS) * _HEADING + _AXIS + 2
    figure = new_figure(WIDTH, height, arranged=False)
    width = (shown.end - shown.start).total_seconds()
    top = 2.0

    def add(height: float) -> Axes:
        nonlocal top
        axes = add_bare_axes(figure, _LEFT, top, WIDTH - _LEFT - _RIGHT, height)
        axes.set_xlim(0, width)
        top += height + _GAP
        return axes

    _draw_verdicts(add(_STRIP), shown)
    if shown.firing is not None:
        _draw_alerts(add(_STRIP), shown)
    draws: Sequence[Callable[[Axes, Timeline], None]] = (
        _draw_drift,
        lambda axes, shown: _draw_quality(axes, shown, figure_name),
        _draw_outcomes,
    )
    for panel, draw in zip(_PANELS, draws, strict=True):
        top += _HEADING - _GAP
        axes = add(panel)
        axes.axhline(0, color=SOFT, linewidth=0.8)
        draw(axes, shown)
    _write_times(axes, shown)
    for at in shown.deployed:
        place = (_LEFT + (WIDTH - _LEFT - _RIGHT) * _seconds(shown, at) / width) / WIDTH
        ends = [(_AXIS - 2) / height, 1.0]
        figure.add_artist(
            Line2D([place] * 2, ends, color=INK, linewidth=1.2, linestyle=(0, (3, 2)))
        )
    return inline_svg(figure, name, title, _describe(shown))


def _draw_verdicts(axes: Axes, shown: Timeline) -> None:
    write_beside(axes, 0.5, "verdict")
    spans: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    begin = None
    for each, later in zip_longest(shown.stretches, shown.stretches[1:]):
        begin = begin or each.start
        goes_on = later and (later.start, later.moment.calm) == (each.end, each.moment.calm)
        if not goes_on:
            seconds = (each.end - begin).total_seconds()
            spans[each.moment.calm].append((_seconds(shown, begin), seconds))
            begin = None
    # A calm verdict is lower, so that the two differ in more than colour.
    axes.broken_barh(spans[True], (0, 0.45), color=GOOD)
    axes.broken_barh(spans[False], (0, 1), color=ALARM)
    axes.set_ylim(0, 1)


def _draw_alerts(axes: Axes, shown: Timeline) -> None:
    write_beside(axes, 0.5, "alerts")
    spans = [
        (_seconds(shown, each.start), (each.end - each.start).total_seconds())
        for each in shown.firing or ()
    ]
    axes.broken_barh(spans, (0, 1), color=ALARM)
    axes.set_ylim(0, 1)


def _draw_drift(axes: Axes, shown: Timeline) -> None:
    times, shares = _steps(shown, lambda moment: moment.share_drifted)
    top = max([0.1, *(share for share in shares if isfinite(share))])
    heading = "features that have drifted" if shown.stretches else "no calculation yet"
    _head(axes, heading, 0, top, "{:.0%}")
    axes.fill_between(times, shares, color=ALARM, alpha=0.35, linewidth=0)
    _draw_line(axes, times, shares, ALARM)


def _draw_quality(axes: Axes, shown: Timeline, figure_name: str) -> None:
    lines = [
        _steps(shown, lambda moment: moment.trained),
        _steps(shown, lambda moment: moment.estimated),
        _steps(shown, lambda moment: moment.measured),
    ]
    known = [value for _, values in lines for value in values if isfinite(value)]
    if not known:
        _head(axes, f"{figure_name}: not known yet", 0, 1, "")
        return
    low, high = min(known), max(known)
    room = (high - low) * 0.1 or abs(high) * 0.1 or 1.0
    _head(axes, f"{figure_name} (lower is better)", low - room, high + room, "{:.3g}")
    styles = ((INK, ":"), (SOFT, "--"), (ACCENT, "-"))
    for (times, values), (color, style) in zip(lines, styles, strict=True):
        _draw_line(axes, times, values, color, style)


def _draw_outcomes(axes: Axes, shown: Timeline) -> None:
    times, shares = _steps(shown, lambda moment: moment.coverage)
    _head(axes, "predictions with an outcome", 0, 1, "{:.0%}")
    axes.fill_between(times, shares, color=ACCENT, alpha=0.35, linewidth=0)
    _draw_line(axes, times, shares, ACCENT)


def _draw_line(
    axes: Axes, times: list[float], values: list[float], color: str, style: str = "-"
) -> None:
    """Draw a line that ends in a dot: at first it is shorter than anybody could see."""
    axes.plot(
        times,
        values,
        color=color,
        linestyle=style,
        linewidth=1.6,
        marker="o",
        markersize=3.5,
        markevery=[-1],
        clip_on=False,
    )


def _head(axes: Axes, heading: str, low: float, high: float, form: str) -> None:
    axes.set_ylim(low, high)
    axes.annotate(
        heading,
        (0, 1),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        color=INK,
        fontsize=FONT,
    )
    for place in (low, high) if form else ():
        write_beside(axes, place, form.format(place))


def _steps(
    shown: Timeline, value: Callable[[Moment], float | None]
) -> tuple[list[float], list[float]]:
    """Return a line of steps; it breaks where there was no calculation or no value."""
    times, values = list[float](), list[float]()
    for each in shown.stretches:
        start, end = _seconds(shown, each.start), _seconds(shown, each.end)
        if times and times[-1] < start:
            times.append(start)
            values.append(nan)
        found = value(each.moment)
        times += [start, end]
        values += [nan if found is None else found] * 2
    return times, values


def _write_times(axes: Axes, shown: Timeline) -> None:
    span = shown.end - shown.start
    step = next((s for s in _TICK_STEPS if span / s <= _MOST_TICKS), _TICK_STEPS[-1])
    midnight = shown.start.replace(hour=0, minute=0, second=0, microsecond=0)
    tick = midnight + step * -((midnight - shown.start) // step)
    while tick <= shown.end:
        text = f"{tick:%H:%M}" if step < timedelta(days=1) else f"{tick:%b} {tick.day}"
        if tick >= shown.start:
            # A centred text would not fit at the end.
            align = "right" if (shown.end - tick) / span < _EDGE else "center"
            write_below(axes, _seconds(shown, tick), text, align)
        tick += step


def _seconds(shown: Timeline, at: datetime) -> float:
    return (at - shown.start).total_seconds()


def _describe(shown: Timeline) -> str:
    if not shown.stretches:
        return "There was no calculation in this time."
    last = shown.stretches[-1].moment
    return (
        f"From {shown.start:%Y-%m-%d %H:%M} to {shown.end:%Y-%m-%d %H:%M} UTC. At the end "
        f"{last.share_drifted:.0%} of the features had drifted and {last.coverage:.0%} of the "
        f"predictions had an outcome. Deployments: {len(shown.deployed)}."
    )
