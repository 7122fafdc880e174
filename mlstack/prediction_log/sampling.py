"""A sample of a time window: all predictions of parts of its time that were drawn at random."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_CONFIDENCE = 1.96
"""Standard errors on either side that have the true value in 95 of 100 samples."""

_QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True, slots=True)
class Sample:
    """Predictions of a time window.

    Args:
        rows: All of them, or those of some parts of its time; as `PredictionStore.between`.
        total: Number of predictions in the window, estimated if not all are here.
        share_error: Margin of error of a share of the predictions, with 95 % confidence; 0 if all
            are here.
    """

    rows: pd.DataFrame
    total: int
    share_error: float


def share_error(rows: pd.DataFrame, parts: NDArray[np.int64], share_read: float) -> float:
    """Return the margin of error of the least exact share, with 95 % confidence.

    Predictions of one moment may be alike, such as those of one batch, so the error is that of a
    cluster sample: the shares of the drawn parts are compared with each other (Cochran, Sampling
    Techniques, section 9A.1). It is the largest one over all texts, the quarters of all numbers and
    missing values.

    Args:
        rows: The columns whose shares count.
        parts: Number of the part of each row, shape (n_rows,).
        share_read: Share of the parts that were drawn.
    """
    drawn, part = np.unique(parts, return_inverse=True)
    if len(drawn) < 2:  # noqa: PLR2004 - there is nothing to compare
        return 1.0
    worst = 0.0
    for name in rows:
        for member in _members(rows[name]):
            # A part with the same share as all adds nothing.
            difference = np.bincount(part, member - member.mean())
            worst = max(worst, float(difference @ difference))
    variance = (1 - share_read) * len(drawn) / (len(drawn) - 1) * worst
    return _CONFIDENCE * sqrt(variance) / len(rows)


def _members(values: pd.Series) -> list[NDArray[np.bool_]]:
    """Return, for each share of a column, which rows belong to it."""
    if pd.api.types.is_numeric_dtype(values):
        numbers = values.to_numpy("float64")
        missing = np.isnan(numbers)
        if missing.all():
            return [missing]
        return [numbers > cut for cut in np.nanquantile(numbers, _QUARTERS)] + [missing]
    codes, labels = pd.factorize(values)
    return [codes == code for code in range(-1, len(labels))]
