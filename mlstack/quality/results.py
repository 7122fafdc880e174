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

MIN_OUTCOMES: Final = 200
"""Minimum number of known outcomes behind a measured figure.

With fewer, chance alone moves the rmse by more than a tenth. Pages, gauges, alerts and reports show
`explain_outcomes` instead.
"""

MIN_OUTCOMES_PER_CLASS: Final = 10
"""Minimum number of outcomes of each class behind an AUC, which compares the classes."""


def explain_outcomes(count: int) -> str:
    """Say why there is no measured figure; empty if there are enough outcomes."""
    if count >= MIN_OUTCOMES:
        return ""
    if not count:
        return "no outcome is known yet"
    return f"too few outcomes ({count}); figures need {MIN_OUTCOMES}"


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
        auc: Area under the ROC curve; None with fewer than `MIN_OUTCOMES_PER_CLASS` outcomes of
            either class.
        calibration_error: Expected calibration error; see `figures.calibration_error`.
        coverage: Share of the rows that the metrics are based on.
    """

    rmse: float
    logloss: float
    auc: float | None
    calibration_error: float
    coverage: float
