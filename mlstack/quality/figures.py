"""How well chances meet outcomes, and how well they are expected to while outcomes are missing.

Predictions are chances of the positive class throughout.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Chances = NDArray[np.float32] | NDArray[np.float64]
Outcomes = NDArray[np.int64]

CALIBRATION_BINS = 10
_BOTH_CLASSES = 2


@dataclass(frozen=True, slots=True)
class Quality:
    """Figures of a set of rows.

    Args:
        rmse: Root of the Brier score.
        logloss: Natural logarithm.
        auc: Area under the ROC curve; None: it takes rows of both classes.
        calibration_error: See `calibration_error`.
        coverage: Share of the rows that the figures are taken from.
    """

    rmse: float
    logloss: float
    auc: float | None
    calibration_error: float
    coverage: float


def measured_quality(outcomes: NDArray[np.float64], chances: Chances) -> Quality | None:
    """Quality on those rows whose outcome is known.

    Args:
        outcomes: 1 for the positive class, 0 for the other, NaN: not known; shape (n_rows,).
        chances: Shape (n_rows,).

    Returns:
        None when no outcome is known.
    """
    known = ~np.isnan(outcomes)
    if not known.any():
        return None
    truth, said = outcomes[known].astype(np.int64), chances[known]
    return Quality(
        rmse=rmse(truth, said),
        logloss=logloss(truth, said),
        auc=auc(truth, said) if len(np.unique(truth)) == _BOTH_CLASSES else None,
        calibration_error=calibration_error(truth, said),
        coverage=float(known.mean()),
    )


def estimated_quality(chances: Chances, rows: int) -> Quality | None:
    """Quality that is to be expected when every chance comes true as often as it says.

    Each figure's expected value over the outcomes that the model's own chances foretell; the
    one of the calibration error is what chance alone does to this many rows. This is
    confidence-based performance estimation (CBPE), which NannyML made known; the paper on its
    younger form is arXiv:2401.08348.

    It rests on one assumption: that the chances are still calibrated, so that only who the
    customers are has changed and not how they behave (covariate shift, no concept drift). It
    is an estimate, and never notices a model that has gone wrong about the same customers. The
    chances are taken as they are: on its own training rows, which are all that the reference
    has, a model is surer of itself than anywhere else, and what is calibrated there is not
    calibrated.

    Args:
        chances: Shape (n_rows,).
        rows: Of how many rows these are a part.

    Returns:
        None when there are no chances. `coverage` is their share of `rows`.
    """
    if len(chances) == 0:
        return None
    p = chances.astype(np.float64)
    variance = p * (1 - p)
    positive, negative = p.sum(), (1 - p).sum()
    return Quality(
        rmse=float(np.sqrt(variance.mean())),
        logloss=float(-(_x_log_x(p) + _x_log_x(1 - p)).mean()),
        auc=_area(p, p, 1 - p) if min(positive, negative) > 0 else None,
        calibration_error=_calibration_error_by_chance(p, variance),
        coverage=len(p) / rows,
    )


def rmse(outcomes: Outcomes, chances: Chances) -> float:
    """Root of the mean squared error: the root of the Brier score."""
    return float(np.sqrt(np.mean((chances.astype(np.float64) - outcomes) ** 2)))


def logloss(outcomes: Outcomes, chances: Chances) -> float:
    """Mean negative log-likelihood; a chance of exactly 0 or 1 counts as the next one to it."""
    p = chances.astype(np.float64)
    smallest = np.finfo(p.dtype).eps
    p = np.clip(np.where(outcomes == 1, p, 1 - p), smallest, 1)
    return float(-np.log(p).mean())


def auc(outcomes: Outcomes, chances: Chances) -> float:
    """Chance that a positive row is given a higher chance than a negative one; ties count half.

    Args:
        outcomes: With rows of both classes.
        chances: Shape (n_rows,).
    """
    return _area(chances.astype(np.float64), outcomes, 1 - outcomes)


def calibration_error(outcomes: Outcomes, chances: Chances) -> float:
    """Expected calibration error over ten bins of equal width.

    The distance between the mean chance and the share of positive outcomes in each bin,
    weighted by the bin's share of the rows (Guo et al., 2017, for the positive class).
    """
    mean_chances, shares, counts = calibration_bins(outcomes, chances)
    return float(np.abs(mean_chances - shares) @ counts / len(outcomes))


def calibration_bins(
    outcomes: Outcomes, chances: Chances
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Calibration by bins of the chance, ten of equal width, without the empty ones.

    Returns:
        Per bin the mean chance, the share of positive outcomes and the number of rows,
        each of shape (n_bins,).
    """
    chances = chances.astype(np.float64)
    bins = _bins(chances)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.int64)
    filled = counts > 0
    sums = [np.bincount(bins, weights, CALIBRATION_BINS)[filled] for weights in (chances, outcomes)]
    return sums[0] / counts[filled], sums[1] / counts[filled], counts[filled]


def _bins(chances: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((chances * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _area(
    scores: NDArray[np.float64],
    positive: NDArray[np.float64] | Outcomes,
    negative: NDArray[np.float64] | Outcomes,
) -> float:
    """Area under the ROC curve of rows that are to some weight positive, to some negative."""
    _, places = np.unique(scores, return_inverse=True)
    gained = np.bincount(places, positive)
    lost = np.bincount(places, negative)
    beaten = np.cumsum(lost) - lost / 2
    return float(gained @ beaten / (gained.sum() * lost.sum()))


def _calibration_error_by_chance(
    chances: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """Its expected value; a bin's number of positive outcomes is taken as normally distributed."""
    by_bin = np.bincount(_bins(chances), variance, CALIBRATION_BINS)
    return float(np.sqrt(2 / np.pi * by_bin).sum() / len(chances))


def _x_log_x(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """X times its natural logarithm, which is 0 at 0."""
    return x * np.log(np.where(x > 0, x, 1))
