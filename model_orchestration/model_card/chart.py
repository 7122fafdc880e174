"""Draw how predictions and outcomes of the test rows agree."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from scipy.stats import binomtest

from mlstack.charts import ACCENT, SOFT, inline_svg, new_figure, style_axes
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.quality.figures import calibration_bins
from mlstack.quality.intervals import LEVEL
from model_orchestration.model_card.measured import Measured

_SIZE = (380, 300)
_GROUPS = 10
_MIDDLE = (0.1, 0.9)


def calibration_chart(target: Target, found: Measured) -> str:
    """Draw the calibration as SVG, without revealing a single row.

    A binary target has the share of positive outcomes by predicted probability, one with more
    classes the share of right predictions by their probability. A number has the mean outcome by
    prediction, in ten groups of equal size.
    """
    match target:
        case BinaryTarget():
            return _shares(found.outcomes, found.scores, "mean predicted chance", "happened")
        case RegressionTarget():
            return _numbers(target, found.outcomes, found.scores.astype(np.float64))
        case MulticlassTarget():
            right = found.scores.argmax(axis=1) == found.outcomes
            best = found.scores.max(axis=1)
            return _shares(right, best, "mean chance of the predicted class", "was right")


def _shares(happened: NDArray[Any], chances: NDArray[Any], predicted: str, outcome: str) -> str:
    means, shares, counts = calibration_bins(happened.astype(np.int64), chances)
    bounds = np.array([_bounds(share, count) for share, count in zip(shares, counts, strict=True)])
    spread = np.abs(bounds.T - shares)
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], "--", color=SOFT, label="perfect")
    axes.errorbar(
        *(means, shares), yerr=spread, fmt="o-", color=ACCENT, capsize=3, label="test rows"
    )
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03), xlabel=predicted, ylabel=f"share that {outcome}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0))
    _finish(axes)
    description = "; ".join(
        f"{count:,} rows: predicted {mean:.0%}, {outcome} {share:.0%}"
        for mean, share, count in zip(means, shares, counts, strict=True)
    )
    return inline_svg(figure, "calibration", "Calibration on the test rows", description)


def _bounds(share: float, count: int) -> tuple[float, float]:
    """Return the Wilson interval of a share."""
    found = binomtest(round(share * count), int(count)).proportion_ci(LEVEL, method="wilson")
    return float(found.low), float(found.high)


def _numbers(
    target: RegressionTarget, outcomes: NDArray[np.float64], predicted: NDArray[np.float64]
) -> str:
    order = np.argsort(predicted, kind="stable")
    groups = np.array_split(order, min(_GROUPS, len(order)))
    means = np.array([predicted[group].mean() for group in groups])
    actual = np.array([outcomes[group].mean() for group in groups])
    ends = np.array([np.quantile(outcomes[group], _MIDDLE) for group in groups]).T
    # The mean of a skewed group may be outside its middle.
    spread = np.maximum([actual - ends[0], ends[1] - actual], 0)
    figure = new_figure(*_SIZE)
    axes = figure.add_subplot()
    unit = f" ({target.unit})" if target.unit else ""
    diagonal = [min(means[0], actual.min()), max(means[-1], actual.max())]
    axes.plot(diagonal, diagonal, "--", color=SOFT, label="perfect")
    axes.errorbar(
        *(means, actual), yerr=spread, fmt="o", color=ACCENT, capsize=3, label="tenth of the rows"
    )
    axes.set(xlabel=f"mean prediction{unit}", ylabel=f"mean outcome{unit}")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    _finish(axes)
    description = "; ".join(
        f"predicted {mean:.4g}, outcome {is_:.4g}" for mean, is_ in zip(means, actual, strict=True)
    )
    title = "Predictions and outcomes of the test rows"
    return inline_svg(figure, "calibration", title, description)


def _finish(axes: Axes) -> None:
    style_axes(axes)
    axes.legend(frameon=False, loc="upper left")
