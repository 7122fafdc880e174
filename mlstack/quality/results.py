"""Result types of drift detection and quality; importing them is cheap."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

Method = Literal["wasserstein", "jensenshannon"]
"""Evidently's name for a distance."""

METHOD_TITLES: Final[Mapping[Method, str]] = {
    "wasserstein": "Wasserstein distance, in standard deviations",
    "jensenshannon": "Jensen-Shannon distance",
}


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """Distance of a feature, or of the prediction, from the reference.

    Reports store these fields unchanged.

    Args:
        method: Distance used.
        score: The distance. For a number, of its values or of its missing share, whichever is
            larger relative to its threshold.
        threshold: Smallest score that counts as drift.
        drifted: Whether the score reaches the threshold.
        missing_share: Share of current rows without a value.
        reference_missing_share: Share of reference rows without a value.
    """

    column: str
    method: Method
    score: float
    threshold: float
    drifted: bool
    missing_share: float
    reference_missing_share: float


@dataclass(frozen=True, slots=True)
class Quality:
    """How well predictions match outcomes; reports store these fields unchanged.

    Args:
        rmse: Root of the Brier score.
        logloss: Natural logarithm.
        auc: Area under the ROC curve; None if all outcomes are of one class.
        calibration_error: Expected calibration error; see `figures.calibration_error`.
        coverage: Share of the rows that the metrics are based on.
    """

    rmse: float
    logloss: float
    auc: float | None
    calibration_error: float
    coverage: float
