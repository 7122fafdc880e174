"""Plot a search, without pyplot, which would keep global state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xgboost
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, precision_recall_curve, r2_score

from mlstack.charts import ACCENT, ALARM, INK, SOFT, style_axes
from mlstack.contract import Contract
from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.errors import shortened
from mlstack.model.encoder import Encoder
from mlstack.model.targets import Scores
from mlstack.quality.figures import Chances, Outcomes, calibration_bins, calibration_error
from mlstack.quality.multiclass import measure_classes
from mlstack.quality.regression import deviation_shares
from model_orchestration.metrics import loss_name
from model_orchestration.trials import Trial

_MAX_BARS = 20
_MAX_LABEL = 27


def all_plots(
    contract: Contract,
    trials: Sequence[Trial],
    best: Trial,
    outcomes: NDArray[Any],
    scores: Scores,
) -> Mapping[str, Figure]:
    """Create every plot of a search, keyed by file name.

    `outcomes` and `scores` are those of the winner on the test rows.
    """
    assert best.booster is not None  # noqa: S101 - a winner has a model
    return {
        "search_history.png": plot_search_history(trials, loss_name(contract.target)),
        **_target_plots(contract.target, outcomes, scores),
        "importance.png": plot_importance(best.booster, contract),
    }


def _target_plots(target: Target, outcomes: NDArray[Any], scores: Scores) -> Mapping[str, Figure]:
    match target:
        case BinaryTarget():
            return {
                "calibration.png": plot_calibration(outcomes, scores),
                "precision_recall.png": plot_precision_recall(outcomes, scores),
            }
        case RegressionTarget():
            return {
                "predicted_and_actual.png": plot_predicted(target, outcomes, scores),
                "errors.png": plot_errors(target, outcomes, scores),
            }
        case MulticlassTarget():
            return {"confusion.png": plot_confusion(target, outcomes, scores)}


def plot_search_history(trials: Sequence[Trial], loss: str) -> Figure:
    """Plot each trial's validation loss and the best so far."""
    figure, axes = _figure(f"Search: validation {loss} by trial", "trial", loss)
    done = [trial for trial in trials if trial.failure is None]
    numbers, losses = [t.number for t in done], [t.loss for t in done]
    axes.plot(numbers, losses, "o", color=SOFT, markersize=5, label="trial")
    axes.step(
        numbers, np.minimum.accumulate(losses), where="post", color=ACCENT, label="best so far"
    )
    best = int(np.argmin(losses))
    axes.plot(numbers[best], losses[best], "o", color=ALARM, markersize=8, label="winner")
    axes.annotate(
        f"trial {numbers[best]}: {losses[best]:.4g}",
        (numbers[best], losses[best]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="center",
        color=ALARM,
    )
    # Otherwise a few very bad trials would compress all others into a line.
    low, high = min(losses), float(np.quantile(losses, 0.95))
    margin = max((high - low) * 0.15, 1e-4 * abs(low), 1e-12)
    axes.set_ylim(low - 1.5 * margin, high + margin)
    hidden = sum(loss > high + margin for loss in losses)
    failed = len(trials) - len(done)
    if hidden or failed:
        axes.set_title(f"{hidden} worse than shown, {failed} failed", fontsize=9, color=SOFT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(frameon=False)
    return figure


def plot_calibration(outcomes: Outcomes, chances: Chances) -> Figure:
    """Plot the share of positive outcomes by predicted probability, with row counts."""
    error = calibration_error(outcomes, chances)
    figure, axes = _figure(
        f"Calibration on the test rows (expected error {error:.3f})",
        "mean predicted chance",
        "share of positive outcomes",
    )
    means, shares, counts = calibration_bins(outcomes, chances)
    spread = np.sqrt(shares * (1 - shares) / counts)
    axes.plot([0, 1], [0, 1], "--", color=SOFT, label="perfect")
    axes.errorbar(
        means,
        shares,
        yerr=spread,
        fmt="o-",
        color=ACCENT,
        capsize=3,
        label="winner, ± 1 std error",
    )
    for mean, share, count in zip(means, shares, counts, strict=True):
        axes.annotate(
            f"{count:,}",
            (mean, share),
            xytext=(8, -12),
            textcoords="offset points",
            fontsize=8,
            color=INK,
        )
    axes.set(xlim=(0, 1), ylim=(-0.03, 1.03))
    _as_percent(axes)
    axes.legend(frameon=False, loc="upper left", title="figures are numbers of rows")
    return figure


def plot_precision_recall(outcomes: Outcomes, chances: Chances) -> Figure:
    """Plot precision over recall, and the precision of random guessing."""
    score = average_precision_score(outcomes, chances)
    figure, axes = _figure(
        f"Precision and recall on the test rows (average precision {score:.3f})",
        "recall: share of the positive found",
        "precision: share of the found positive",
    )
    precision, recall, _ = precision_recall_curve(outcomes, chances)
    base = float(np.mean(outcomes))
    axes.step(recall, precision, where="post", color=ACCENT, label="winner")
    axes.axhline(base, ls="--", color=SOFT, label=f"guessing: {base:.0%}")
    axes.set(xlim=(0, 1), ylim=(0, 1.03))
    _as_percent(axes)
    axes.legend(frameon=False, loc="upper right")
    return figure


def plot_predicted(
    target: RegressionTarget, outcomes: NDArray[np.float64], predicted: Scores
) -> Figure:
    """Plot predicted over actual numbers; perfect predictions are on the diagonal."""
    unit = f" ({target.unit})" if target.unit else ""
    figure, axes = _figure(
        f"Predicted and actual on the test rows (R2 {r2_score(outcomes, predicted):.3f})",
        f"actual{unit}",
        f"predicted{unit}",
    )
    ends = [float(end) for end in (outcomes.min(), outcomes.max())]
    axes.plot(ends, ends, "--", color=SOFT, label="perfect")
    # Many rows would cover each other.
    opacity = max(0.05, min(0.6, 300 / len(outcomes)))
    axes.plot(outcomes, predicted, "o", color=ACCENT, markersize=4, alpha=opacity, label="row")
    axes.legend(frameon=False, loc="upper left")
    return figure


def plot_errors(
    target: RegressionTarget, outcomes: NDArray[np.float64], predicted: Scores
) -> Figure:
    """Plot the distribution of the errors, and the contract's thresholds."""
    errors = predicted - outcomes
    figure, axes = _figure(
        f"Errors on the test rows (median {np.median(errors):.4g})",
        f"predicted minus actual{f' ({target.unit})' if target.unit else ''}",
        "rows",
    )
    axes.hist(errors, bins=40, color=ACCENT)
    for limit, share in deviation_shares(outcomes, predicted, target.deviations):
        axes.axvline(-limit, ls="--", color=ALARM, linewidth=1)
        label = f"off by more than {limit:g}: {share:.1%}"
        axes.axvline(limit, ls="--", color=ALARM, linewidth=1, label=label)
    if target.deviations:
        axes.legend(frameon=False)
    return figure


def plot_confusion(target: MulticlassTarget, outcomes: NDArray[np.int64], scores: Scores) -> Figure:
    """Plot how often each class is predicted for the rows of each class."""
    quality = measure_classes(outcomes, scores, coverage=1)
    counts = np.array(quality.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _figure(
        f"Confusion on the test rows (accuracy {quality.accuracy:.1%})", "predicted", "actual"
    )
    size = len(target.classes)
    figure.set_size_inches(3 + 0.7 * min(size, _MAX_BARS), 2.5 + 0.6 * min(size, _MAX_BARS))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    names = [shortened(label, _MAX_LABEL) for label in target.classes]
    axes.set_xticks(range(size), names, rotation=45, ha="right")
    axes.set_yticks(range(size), names)
    axes.grid(visible=False)
    if size <= _MAX_BARS:
        for (row, column), count in np.ndenumerate(counts):
            color = "white" if shares[row, column] > 0.5 else INK  # noqa: PLR2004 - half as dark
            axes.text(column, row, f"{count:,}", ha="center", va="center", color=color)
    return figure


def plot_importance(booster: xgboost.Booster, contract: Contract) -> Figure:
    """Plot each feature's share of the gain; a category's columns are added up."""
    gains = booster.get_score(importance_type="total_gain")
    by_feature = dict.fromkeys((f.name for f in contract.model_features), 0.0)
    for column in Encoder(contract).columns:
        gain = gains.get(column, 0.0)
        assert isinstance(gain, float)  # noqa: S101 - only linear models give a list
        by_feature[column.split("=")[0]] += gain
    total = sum(by_feature.values()) or 1.0
    top = sorted(by_feature.items(), key=lambda item: item[1])[-_MAX_BARS:]
    figure, axes = _figure("Importance: share of the gain of all splits", "", "")
    figure.set_size_inches(8, 1.4 + 0.32 * len(top))
    names, shares = [name for name, _ in top], [gain / total for _, gain in top]
    bars = axes.barh(names, shares, color=ACCENT, height=0.7)
    axes.bar_label(bars, [f"{share:.1%}" for share in shares], padding=4, color=INK)
    axes.set_xlim(0, max(shares) * 1.15 or 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.grid(visible=False, axis="y")
    return figure


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    figure.suptitle(title, color=INK, fontsize=13)
    axes = figure.add_subplot()
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    style_axes(axes)
    return figure, axes


def _as_percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
