"""Draw charts that several cells share, with labels and units from the contract."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from scipy.stats import binomtest

from mlstack.charts import ACCENT, ALARM, INK, SOFT, style_axes
from mlstack.contract import ChoiceFeature, Feature

_DPI = 80
_PANELS_A_ROW = 3
# Numbers with more distinct values than this are grouped by quantiles.
_MAX_VALUES = 8
_BINS = 8
_BARS = 30


def panels(title: str, count: int, height: float = 2.7) -> tuple[Figure, list[Axes]]:
    """Create a figure of `count` panels, three per row, each `height` inches high."""
    columns = min(count, _PANELS_A_ROW)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(3.7 * columns, height * rows + 0.5), dpi=_DPI, layout="constrained")
    figure.suptitle(title, color=INK, fontsize=13)
    grid = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for axes in grid[count:]:
        axes.set_visible(False)
    for axes in grid[:count]:
        style_axes(axes)
    return figure, grid[:count]


def axis_label(feature: Feature) -> str:
    """Return a display label: the feature's meaning with its unit."""
    return f"{feature.meaning} ({feature.unit})" if feature.unit else feature.meaning


def groups(feature: Feature, values: "pd.Series") -> "pd.Series":
    """Assign values to ordered, labelled groups.

    Returns:
        A categorical: the feature's labels; or, for a number, its values if there are few,
        otherwise eight quantile ranges.
    """
    if isinstance(feature, ChoiceFeature):
        named = values.map(dict(zip(feature.table_values, feature.labels, strict=True)))
        return named.astype(pd.CategoricalDtype(list(feature.labels), ordered=True))
    distinct = np.unique(values.dropna())
    if len(distinct) <= _MAX_VALUES:
        labels = [f"{value:g}" for value in distinct]
        named = values.map(dict(zip(distinct, labels, strict=True)))
        return named.astype(pd.CategoricalDtype(labels, ordered=True))
    edges = np.unique(np.quantile(values.dropna(), np.linspace(0, 1, _BINS + 1)))
    labels = [f"{_short(low)} to {_short(high)}" for low, high in pairwise(edges)]
    return pd.cut(values, edges.tolist(), labels=labels, include_lowest=True)


def shares(outcomes: "pd.Series", by: "pd.Series") -> pd.DataFrame:
    """Compute the share of positive outcomes (1, else 0) in each group.

    Returns:
        One row per non-empty group: `rows`, `share`, and `low` and `high`, the bounds of its 95%
        Wilson interval.
    """
    counted = outcomes.groupby(by, observed=True).agg(["size", "sum"])
    intervals = [
        binomtest(int(positive), int(size)).proportion_ci(method="wilson")
        for size, positive in counted.to_numpy()
    ]
    return pd.DataFrame(
        {
            "rows": counted["size"],
            "share": counted["sum"] / counted["size"],
            "low": [interval.low for interval in intervals],
            "high": [interval.high for interval in intervals],
        }
    )


def draw_shares(axes: Axes, found: pd.DataFrame, overall: float) -> None:
    """Draw the result of `shares`; groups that may equal the overall share are pale."""
    places = np.arange(len(found))[::-1]
    share = found["share"].to_numpy()
    clear = ((found["low"] > overall) | (found["high"] < overall)).to_numpy()
    axes.axvline(overall, ls="--", color=SOFT, linewidth=1)
    axes.hlines(places, found["low"], found["high"], color=SOFT, linewidth=2)
    axes.scatter(share, places, color=np.where(clear, ALARM, SOFT).tolist(), s=28, zorder=3)
    axes.set_yticks(places, _texts(found.index), fontsize=8)
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")


def draw_matrix(axes: Axes, matrix: pd.DataFrame) -> None:
    """Draw the lower triangle of a correlation matrix, blue below 0 and red above."""
    values = matrix.to_numpy()
    hidden = np.triu(np.ones_like(values, dtype=bool))
    shown = np.ma.masked_array(values, hidden)[1:, :-1]
    axes.imshow(shown, cmap="RdBu_r", vmin=-1, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(shown.filled(np.nan)):
        if not np.isnan(value):
            ink = "white" if abs(value) > 0.6 else INK  # noqa: PLR2004 - cells are dark beyond this
            axes.text(column, row, f"{value:.2f}", ha="center", va="center", color=ink, fontsize=9)
    names = _texts(matrix.columns)
    axes.set_xticks(range(len(names) - 1), names[:-1], rotation=30, ha="right", fontsize=9)
    axes.set_yticks(range(len(names) - 1), names[1:], fontsize=9)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(visible=False)


def draw_classes(axes: Axes, classes: Sequence[np.ndarray], labels: Sequence[str]) -> None:
    """Draw the distribution of a number in the negative and the positive class."""
    together = np.concatenate(classes)
    edges = np.linspace(together.min(), together.max(), _BARS + 1)
    if bool((together % 1 == 0).all()):
        # Bins covering different numbers of integers would produce a comb pattern.
        width = max(1, round((edges[-1] - edges[0]) / _BARS))
        edges = np.arange(edges[0], edges[-1] + width + 1, width) - 0.5
    for values, label, color, filled in zip(
        classes, labels, (SOFT, ALARM), (True, False), strict=True
    ):
        axes.hist(
            values,
            bins=edges.tolist(),
            weights=np.full(len(values), 1 / len(values)),
            histtype="stepfilled" if filled else "step",
            color=color,
            alpha=0.5 if filled else 1,
            linewidth=1.6,
            label=label,
        )
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))


def draw_counts(axes: Axes, counts: "pd.Series[int]") -> None:
    """Draw the number of rows of each category, with its share."""
    places = np.arange(len(counts))[::-1]
    bars = axes.barh(places, counts, color=ACCENT, height=0.7)
    total = int(counts.sum())
    axes.bar_label(bars, [f"{count / total:.1%}" for count in counts], padding=3, fontsize=8)
    axes.set_yticks(places, _texts(counts.index), fontsize=8)
    axes.set_xlim(0, float(counts.max()) * 1.22)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.grid(visible=False, axis="y")


def _texts(labels: "pd.Index") -> list[str]:
    """Escape dollar signs, which matplotlib treats as math delimiters."""
    return [str(label).replace("$", r"\$") for label in labels]


def _short(value: float) -> str:
    """Format a number briefly for an axis: 950, 1,269, 11.1k."""
    if abs(value) >= 10_000:  # noqa: PLR2004 - five digits are too wide
        return f"{value / 1000:.3g}k"
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three significant digits
