"""Plot a search, without pyplot, which would keep global state."""

from collections.abc import Mapping, Sequence

import numpy as np
import xgboost
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import average_precision_score, precision_recall_curve

from mlstack.contract import Contract
from mlstack.model.encoder import Encoder
from mlstack.quality.figures import Chances, Outcomes, calibration_bins, calibration_error
from model_orchestration.search import Trial

INK, SOFT, ACCENT, ALARM = "#22303c", "#8fa3b0", "#1f77b4", "#d1495b"
"""Colours of every plot: text, background data, main data, highlights."""
_MAX_BARS = 20


def all_plots(
    contract: Contract,
    trials: Sequence[Trial],
    best: Trial,
    outcomes: Outcomes,
    chances: Chances,
) -> Mapping[str, Figure]:
    """Create every plot of a search, keyed by file name.

    `outcomes` and `chances` are those of the winner on the test rows.
    """
    assert best.booster is not None  # noqa: S101 - a winner has a model
    return {
        "search_history.png": plot_search_history(trials),
        "calibration.png": plot_calibration(outcomes, chances),
        "precision_recall.png": plot_precision_recall(outcomes, chances),
        "importance.png": plot_importance(best.booster, contract),
    }


def plot_search_history(trials: Sequence[Trial]) -> Figure:
    """Plot each trial's validation RMSE and the best so far."""
    figure, axes = _figure("Search: validation rmse by trial", "trial", "rmse")
    done = [trial for trial in trials if trial.failure is None]
    numbers, losses = [t.number for t in done], [t.loss for t in done]
    axes.plot(numbers, losses, "o", color=SOFT, markersize=5, label="trial")
    axes.step(
        numbers, np.minimum.accumulate(losses), where="post", color=ACCENT, label="best so far"
    )
    best = int(np.argmin(losses))
    axes.plot(numbers[best], losses[best], "o", color=ALARM, markersize=8, label="winner")
    axes.annotate(
        f"trial {numbers[best]}: {losses[best]:.4f}",
        (numbers[best], losses[best]),
        xytext=(0, -16),
        textcoords="offset points",
        ha="center",
        color=ALARM,
    )
    # Otherwise a few very bad trials would compress all others into a line.
    low, high = min(losses), float(np.quantile(losses, 0.95))
    margin = max((high - low) * 0.15, 1e-4)
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


def style_axes(axes: Axes) -> None:
    """Apply the common style of all plots: light grid, no frame."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(SOFT)
    axes.tick_params(colors=INK)
    axes.grid(color="#e6ebef", linewidth=0.8)
    axes.set_axisbelow(True)


def _as_percent(axes: Axes) -> None:
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
