"""Measure the quality of predicted classes with known outcomes, and estimate it without."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score

from mlstack.quality.figures import expected_auc, has_auc
from mlstack.quality.results import MulticlassQuality

Probabilities = NDArray[np.float32] | NDArray[np.float64]
Positions = NDArray[np.int64]
"""Classes by their position in the contract."""


def normalised(probabilities: Probabilities) -> NDArray[np.float64]:
    """Return probabilities in double precision that add up to 1 in each row."""
    double = probabilities.astype(np.float64)
    total: NDArray[np.float64] = double / double.sum(axis=1, keepdims=True)
    return total


def measure_classes(
    outcomes: Positions, probabilities: Probabilities, coverage: float
) -> MulticlassQuality:
    """Measure the quality on rows whose outcomes are known, at least one.

    `probabilities` has shape (n_rows, n_classes).
    """
    classes = list(range(probabilities.shape[1]))
    exact = normalised(probabilities)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(outcomes, predicted, labels=classes)
    return MulticlassQuality(
        logloss=float(log_loss(outcomes, exact, labels=classes)),
        auc=macro_auc(outcomes, exact) if has_auc(outcomes, len(classes)) else None,
        accuracy=float((outcomes == predicted).mean()),
        confusion=tuple(map(tuple, confusion.tolist())),
        coverage=coverage,
    )


def macro_auc(outcomes: Positions, probabilities: NDArray[np.float64]) -> float:
    """Compute the mean AUC of each class against the others; each must occur in the outcomes."""
    classes = list(range(probabilities.shape[1]))
    return float(roc_auc_score(outcomes, probabilities, multi_class="ovr", labels=classes))


def estimate_classes(probabilities: Probabilities, rows: int) -> MulticlassQuality | None:
    """Estimate the quality without outcomes, assuming calibrated probabilities.

    It is `figures.estimate_quality` for each class against the others. `coverage` is the share of
    the predictions among `rows`; without predictions the result is None.
    """
    if len(probabilities) == 0:
        return None
    exact = normalised(probabilities)
    areas = [expected_auc(column) for column in exact.T]
    known = [area for area in areas if area is not None]
    return MulticlassQuality(
        logloss=float(entr(exact).sum(axis=1).mean()),
        auc=float(np.mean(known)) if len(known) == len(areas) else None,
        accuracy=float(exact.max(axis=1).mean()),
        confusion=(),
        coverage=len(exact) / rows,
    )
