"""Intervals of measured figures: percentiles over bootstrap samples of the rows.

A thousand samples through scikit-learn would take longer than a search. Here a sample is a weight
for each row, and every figure is computed from sums over weights, for many samples at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mlstack.contract.target import BinaryTarget, MulticlassTarget, RegressionTarget, Target
from mlstack.model.targets import Scores
from mlstack.quality.multiclass import normalised
from mlstack.quality.results import (
    BinaryQuality,
    MulticlassQuality,
    Quality,
    RegressionQuality,
)

LEVEL: Final = 0.95
"""Share of the samples whose figure is within the interval."""

SEED: Final = 20221
"""Seed of the samples: the same rows and scores always give the same intervals."""

_MOST, _FEWEST = 1000, 200
"""Numbers of samples: percentiles of more no longer move, those of fewer are noise."""
_WORK = 50_000_000
"""Rows drawn for all samples of a large table, which is about a second."""
_AT_ONCE = 4_000_000
"""Weights in memory at the same time."""

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """The lower and the upper bound of each figure, each as if it was measured.

    The calibration error is the measured one in both: drawing rows again adds to it.
    """

    low: Quality
    high: Quality


def sample_count(rows: int) -> int:
    """Return the number of bootstrap samples for a table of so many rows."""
    return min(max(_WORK // rows, _FEWEST), _MOST)


def interval(
    quality: Quality, target: Target, outcomes: NDArray[Any], scores: Scores, samples: int
) -> Interval:
    """Compute the bounds of every figure of `quality`, which was measured on the same rows.

    Args:
        quality: The measured figures; one that is None has no bounds either.
        target: What the scores predict.
        outcomes: As `targets.labels` returns them, shape (n_rows,).
        scores: What a model returns for the rows.
        samples: Number of bootstrap samples.
    """
    tail = 100 * (1 - LEVEL) / 2
    drawn = [
        _sampled(target, weights, outcomes, scores) for weights in _weights(len(outcomes), samples)
    ]
    sampled = {name: np.concatenate([each[name] for each in drawn]) for name in drawn[0]}
    return Interval(*(_bounds(quality, sampled, at) for at in (tail, 100 - tail)))


def _bounds(quality: Quality, sampled: Mapping[str, _Floats], percentile: float) -> Quality:
    def bound(name: str) -> float:
        # A sample may lack a class, and then has no AUC.
        return float(np.nanpercentile(sampled[name], percentile))

    match quality:
        case BinaryQuality():
            return replace(
                quality,
                rmse=bound("rmse"),
                logloss=bound("logloss"),
                auc=None if quality.auc is None else bound("auc"),
            )
        case RegressionQuality():
            return replace(
                quality,
                mae=bound("mae"),
                rmse=bound("rmse"),
                r2=None if quality.r2 is None else bound("r2"),
                deviations=tuple((each, bound(f"over {each}")) for each, _ in quality.deviations),
            )
        case MulticlassQuality():
            return replace(
                quality,
                logloss=bound("logloss"),
                auc=None if quality.auc is None else bound("auc"),
                accuracy=bound("accuracy"),
            )


def _weights(rows: int, samples: int) -> Iterator[_Floats]:
    """Yield how often each row is in each sample, shape (n_samples, n_rows), in parts."""
    random = np.random.default_rng(SEED)
    at_once = max(1, _AT_ONCE // rows)
    for start in range(0, samples, at_once):
        drawn = random.integers(rows, size=(min(at_once, samples - start), rows))
        yield np.array([np.bincount(each, minlength=rows) for each in drawn], np.float64)


def _sampled(
    target: Target, weights: _Floats, outcomes: NDArray[Any], scores: Scores
) -> dict[str, _Floats]:
    """Compute every figure of every sample, each of shape (n_samples,)."""
    exact = scores.astype(np.float64)
    match target:
        case BinaryTarget():
            return _chances(weights, outcomes, exact)
        case RegressionTarget():
            return _numbers(weights, outcomes.astype(np.float64), exact, target.deviations)
        case MulticlassTarget():
            return _classes(weights, outcomes, exact)


def _chances(weights: _Floats, outcomes: NDArray[Any], chances: _Floats) -> dict[str, _Floats]:
    positive = outcomes == 1
    return {
        "rmse": np.sqrt(_mean(weights, (chances - positive) ** 2)),
        "logloss": _mean(weights, _loss(np.where(positive, chances, 1 - chances))),
        "auc": _auc(weights, positive, chances),
    }


def _numbers(
    weights: _Floats, outcomes: _Floats, predicted: _Floats, thresholds: tuple[float, ...]
) -> dict[str, _Floats]:
    error = np.abs(predicted - outcomes)
    # Squares of large numbers that hardly differ would lose their digits.
    centred = outcomes - outcomes.mean()
    variance = _mean(weights, centred**2) - _mean(weights, centred) ** 2
    squared = _mean(weights, error**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        r2 = np.where(variance > 0, 1 - squared / variance, np.nan)
    return {
        "mae": _mean(weights, error),
        "rmse": np.sqrt(squared),
        "r2": r2,
        **{f"over {limit}": _mean(weights, error > limit) for limit in thresholds},
    }


def _classes(
    weights: _Floats, outcomes: NDArray[Any], probabilities: _Floats
) -> dict[str, _Floats]:
    exact = normalised(probabilities)
    areas = [_auc(weights, outcomes == place, column) for place, column in enumerate(exact.T)]
    return {
        "logloss": _mean(weights, _loss(exact[np.arange(len(exact)), outcomes])),
        "auc": np.mean(areas, axis=0),
        "accuracy": _mean(weights, outcomes == probabilities.argmax(axis=1)),
    }


def _mean(weights: _Floats, values: NDArray[Any]) -> _Floats:
    means: _Floats = weights @ values.astype(np.float64) / weights.shape[1]
    return means


def _loss(chances: _Floats) -> _Floats:
    """Return the log loss of each row; scikit-learn limits certainty in the same way."""
    losses: _Floats = -np.log(np.clip(chances, np.finfo(np.float64).eps, 1))
    return losses


def _auc(weights: _Floats, positive: NDArray[np.bool_], scores: _Floats) -> _Floats:
    """Compute the area under the ROC curve of each sample; NaN if it lacks a class."""
    order = np.argsort(scores)
    ranked = scores[order]
    # Rows of the same score count as half above each other.
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    ordered = weights[:, order]
    above = np.add.reduceat(ordered * positive[order], starts, axis=1)
    below = np.add.reduceat(ordered, starts, axis=1) - above
    beaten = np.cumsum(below, axis=1) - below / 2
    pairs = above.sum(axis=1) * below.sum(axis=1)
    with np.errstate(invalid="ignore"):
        areas: _Floats = (above * beaten).sum(axis=1) / pairs
    return areas
