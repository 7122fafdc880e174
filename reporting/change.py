"""Say and draw what changed since the last report.

Importing this module loads matplotlib, which takes a second.
"""

from collections.abc import Iterator
from typing import Final

from matplotlib.ticker import FixedLocator, NullLocator

from mlstack.charts import ACCENT, ALARM, GRID, INK, SOFT, inline_svg, new_figure, style_axes
from mlstack.errors import listing
from mlstack.quality.results import ColumnDrift, headline
from reporting.report import Report

_WIDTH, _ROW, _EXTRA, _FONT = 380, 22, 62, 11
_MOST_ROWS = 12
_TICKS = (0, 0.5, 1, 2, 5, 10, 100, 1000, 1e4, 1e6)
_MAX_NAME = 24
_NOTICEABLE: Final = 0.05
"""Smallest relative change of the error that is mentioned; chance alone causes smaller ones."""


def change_sentence(report: Report, previous: Report | None) -> str:
    """Say in one sentence what changed since the previous report of the same contract."""
    if previous is None:
        return "There is no recent report of these customers to compare with."
    when = f"the report of {previous.created_at:%Y-%m-%d %H:%M} UTC"
    if changes := list(_changes(report, previous)):
        return f"Since {when}: {'; '.join(changes)}."
    same = "the same features have drifted" if report.drifted_features else "no feature has drifted"
    return f"Nothing has changed since {when}: {same}."


def _changes(report: Report, previous: Report) -> Iterator[str]:
    now, before = set(report.drifted_features), set(previous.drifted_features)
    if gained := [name for name in report.drifted_features if name not in before]:
        yield f"{listing(gained)} {'has' if len(gained) == 1 else 'have'} drifted"
    if lost := [name for name in previous.drifted_features if name not in now]:
        yield f"{listing(lost)} no longer {'differs' if len(lost) == 1 else 'differ'}"
    if report.prediction.drifted != previous.prediction.drifted:
        now_so = "have drifted" if report.prediction.drifted else "no longer differ"
        yield f"the predictions {now_so}"
    if report.model_run_id != previous.model_run_id:
        yield "another model is in use"
    if report.compared_with.kind != previous.compared_with.kind:
        yield f"the comparison is now with {report.compared_with.title}"
    if report.quality is not None and previous.quality is not None:
        (figure, error), (_, error_before) = headline(report.quality), headline(previous.quality)
        if abs(error - error_before) >= _NOTICEABLE * error_before:
            went = "rose" if error > error_before else "fell"
            yield f"{figure} {went} from {error_before:.3g} to {error:.3g}"


def change_chart(report: Report, previous: Report | None) -> str:
    """Return an SVG element: how far each feature is from its threshold, now and before.

    Of many features it shows those that changed most.
    """
    before = {} if previous is None else {each.column: _ratio(each) for each in _columns(previous)}
    rows = sorted(_columns(report), key=lambda each: _importance(each, before))[-_MOST_ROWS:]
    figure = new_figure(_WIDTH, _ROW * len(rows) + _EXTRA)
    axes = figure.add_subplot()
    style_axes(axes)
    axes.grid(visible=False, axis="y")
    axes.axvline(1, color=INK, linewidth=1.2, linestyle="--")
    for place, each in enumerate(rows):
        color = ALARM if each.drifted else ACCENT
        ratio, ratio_before = _ratio(each), before.get(each.column)
        if ratio_before is not None:
            axes.plot([ratio_before, ratio], [place, place], color=SOFT, linewidth=1.5)
            axes.plot(ratio_before, place, "o", color=SOFT, markersize=6, fillstyle="none")
        # Not by colour alone: what has drifted is a square.
        axes.plot(ratio, place, "s" if each.drifted else "o", color=color, markersize=7)
    axes.set_yticks(range(len(rows)), [_short(each.column) for each in rows])
    axes.set_ylim(-0.6, len(rows) - 0.4)
    # Linear up to the threshold, logarithmic beyond it: one feature may be far away.
    axes.set_xscale("symlog", linthresh=1)
    farthest = max(1.5, *(_ratio(each) for each in rows), *before.values())
    axes.set_xlim(-0.03, farthest * 1.1)
    ticks = [tick for tick in _TICKS if tick <= farthest * 1.1]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("distance, as a multiple of the threshold", color=INK, fontsize=_FONT)
    axes.tick_params(length=0, labelsize=_FONT)
    axes.spines["left"].set_color(GRID)
    moved = [f"{each.column} {_ratio(each):.2g}" for each in reversed(rows)]
    description = f"Distance as a multiple of the threshold: {', '.join(moved)}."
    return inline_svg(figure, "change", "Distances now and in the last report", description)


def _columns(report: Report) -> tuple[ColumnDrift, ...]:
    return (*report.features, report.prediction)


def _ratio(drift: ColumnDrift) -> float:
    return drift.score / drift.threshold


def _importance(drift: ColumnDrift, before: dict[str, float]) -> tuple[float, float]:
    ratio = _ratio(drift)
    return abs(ratio - before.get(drift.column, 0.0)), ratio


def _short(name: str) -> str:
    return name if len(name) <= _MAX_NAME else f"{name[: _MAX_NAME - 1]}…"
