"""Measure quality with known outcomes, and estimate it without.

A prediction is the probability of the positive class. Metrics come from scikit-learn, except the
expected calibration error, which it lacks.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.metrics import log_loss, roc_auc_score, root_mean_squared_error

from mlstack.quality.results import MIN_OUTCOMES_PER_CLASS, BinaryQuality

Chances = NDArray[np.float32] | NDArray[np.float64]
Outcomes = NDArray[np.int64]

CALIBRATION_BINS = 10


def measure_quality(
    outcomes: Outcomes | NDArray[np.float64], chances: Chances, coverage: float = 1.0
) -> BinaryQuality:
    """Measure the quality on rows whose outcomes are known, at least one.

    Args:
        outcomes: 1 for the positive class, 0 for the other; shape (n_rows,).
        chances: Probabilities of the positive class, shape (n_rows,).
        coverage: Share of these rows among all predictions.
    """
    truth = outcomes.astype(np.int64)
    # Summing in float32 loses precision.
    predicted = chances.astype(np.float64)
    return BinaryQuality(
        rmse=float(root_mean_squared_error(truth, predicted)),
        logloss=float(log_loss(truth, predicted, labels=(0, 1))),
        auc=float(roc_auc_score(truth, predicted)) if has_auc(truth) else None,
        calibration_error=calibration_error(truth, predicted),
        coverage=coverage,
    )


def has_auc(outcomes: Outcomes, classes: int = 2) -> bool:
    """Whether there are enough outcomes of every class to rank it above the others."""
    counts = np.bincount(outcomes, minlength=classes)
    return bool(counts.min() >= MIN_OUTCOMES_PER_CLASS)


def estimate_quality(chances: Chances, rows: int) -> BinaryQuality | None:
    """Estimate the quality without outcomes, assuming calibrated probabilities.

    Each metric is its expected value over the outcomes that the probabilities predict; the
    calibration error is the one that randomness alone causes for that many rows. This is
    confidence-based performance estimation (CBPE) as in NannyML; see arXiv:2401.08348 for its
    successor.

    Calibration holds while only the customers change and not how they behave (covariate shift, no
    concept drift), so the estimate never shows that a model has become wrong about the same
    customers. The probabilities are not recalibrated: the reference has only training rows, on
    which a model is more certain than anywhere else.

    `chances` has shape (n_rows,); without any the result is None. `coverage` is their share of
    `rows`.
    """
    if len(chances) == 0:
        return None
    p = chances.astype(np.float64)
    variance = p * (1 - p)
    return BinaryQuality(
        rmse=float(np.sqrt(variance.mean())),
        logloss=float((entr(p) + entr(1 - p)).mean()),
        auc=expected_auc(p),
        calibration_error=_expected_calibration_error(p, variance),
        coverage=len(p) / rows,
    )


def expected_auc(chances: NDArray[np.float64]) -> float | None:
    """Compute the AUC if rows are positive as often as their probabilities say.

    None if one class is certain, so that there is nothing to rank.
    """
    if not (chances.max() > 0 and chances.min() < 1):
        return None
    # Each row counts as positive with its probability, and as negative with the rest.
    weights = np.concatenate([chances, 1 - chances])
    classes = np.repeat([1, 0], len(chances))
    return float(roc_auc_score(classes, np.tile(chances, 2), sample_weight=weights))


def calibration_error(outcomes: Outcomes, chances: Chances) -> float:
    """Compute the expected calibration error over ten bins of equal width.

    It is the distance between mean probability and share of positive outcomes in each bin, weighted
    by the bin's share of the rows (Guo et al., 2017, for the positive class).
    """
    mean_chances, shares, counts = calibration_bins(outcomes, chances)
    return float(np.abs(mean_chances - shares) @ counts / len(outcomes))


def calibration_bins(
    outcomes: Outcomes, chances: Chances
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Group the rows by probability into ten bins of equal width, without empty bins.

    Returns:
        Mean probability, share of positive outcomes and number of rows of each bin, each of shape
        (n_bins,).
    """
    chances = chances.astype(np.float64)
    bins = _bins(chances)
    counts = np.bincount(bins, minlength=CALIBRATION_BINS).astype(np.int64)
    filled = counts > 0
    sums = [np.bincount(bins, weights, CALIBRATION_BINS)[filled] for weights in (chances, outcomes)]
    return sums[0] / counts[filled], sums[1] / counts[filled], counts[filled]


def _bins(chances: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((chances * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)


def _expected_calibration_error(
    chances: NDArray[np.float64], variance: NDArray[np.float64]
) -> float:
    """Compute the expectation for normally distributed positive counts in each bin."""
    by_bin = np.bincount(_bins(chances), variance, CALIBRATION_BINS)
    return float(np.sqrt(2 / np.pi * by_bin).sum() / len(chances))
