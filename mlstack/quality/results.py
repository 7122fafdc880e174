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

MIN_SLICE: Final = MIN_OUTCOMES
"""Minimum number of customers behind the figures of a slice.

As many as behind the figures of all customers: with fewer, chance alone would make slices differ by
more than a tenth. Pages list smaller slices with their number of customers and nothing else.
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
class Decisions:
    """Numbers of decisions whose outcome is known.

    Args:
        right_yes: Decided, and the outcome is positive.
        wrong_yes: Decided, and the outcome is negative.
        right_no: Not decided, and the outcome is negative.
        wrong_no: Not decided, and the outcome is positive.
    """

    right_yes: int
    wrong_yes: int
    right_no: int
    wrong_no: int

    def __str__(self) -> str:
        right = self.right_yes + self.right_no
        count = right + self.wrong_yes + self.wrong_no
        return f"{right:,} of {count:,} ({self.wrong_yes:,} wrong yes, {self.wrong_no:,} wrong no)"


@dataclass(frozen=True, slots=True)
class BinaryQuality:
    """How well probabilities match outcomes; reports store these fields unchanged.

    Args:
        rmse: Root of the Brier score.
        logloss: Natural logarithm.
        auc: Area under the ROC curve; None with fewer than `MIN_OUTCOMES_PER_CLASS` outcomes of
            either class.
        calibration_error: Expected calibration error; see `figures.calibration_error`.
        coverage: Share of the rows that the metrics are based on.
        decisions: Decisions by the contract's threshold; None if none was made.
    """

    rmse: float
    logloss: float
    auc: float | None
    calibration_error: float
    coverage: float
    decisions: Decisions | None = None

    def figures(self) -> dict[str, str]:
        """Return the figures as people read them, by title."""
        return {
            "rmse": f"{self.rmse:.3f}",
            "logloss": f"{self.logloss:.3f}",
            "AUC": "-" if self.auc is None else f"{self.auc:.3f}",
            "calibration error": f"{self.calibration_error:.3f}",
            **({} if self.decisions is None else {"right decisions": str(self.decisions)}),
        }


@dataclass(frozen=True, slots=True)
class RegressionQuality:
    """How well predicted numbers match outcomes; reports store these fields unchanged.

    Args:
        mae: Mean absolute error, in the unit of the target.
        rmse: Root mean squared error, in the same unit.
        r2: Share of the outcomes' variance that is predicted; None if all outcomes are equal.
        deviations: For each threshold of the contract, the share of predictions that deviate by
            more.
        coverage: Share of the rows that the metrics are based on.
    """

    mae: float
    rmse: float
    r2: float | None
    deviations: tuple[tuple[float, float], ...]
    coverage: float

    def figures(self) -> dict[str, str]:
        """Return the figures as people read them, by title."""
        return {
            "MAE": f"{self.mae:.4g}",
            "rmse": f"{self.rmse:.4g}",
            "R2": "-" if self.r2 is None else f"{self.r2:.3f}",
            **{f"off by more than {limit:g}": f"{share:.1%}" for limit, share in self.deviations},
        }


@dataclass(frozen=True, slots=True)
class MulticlassQuality:
    """How well predicted classes match outcomes; reports store these fields unchanged.

    Args:
        logloss: Natural logarithm.
        auc: Mean area under the ROC curves of each class against the others; None if a class has
            fewer than `MIN_OUTCOMES_PER_CLASS` outcomes.
        accuracy: Share of the outcomes that are the predicted class.
        confusion: Numbers of rows by outcome (first index) and predicted class, in the contract's
            order; empty if it is not known.
        coverage: Share of the rows that the metrics are based on.
    """

    logloss: float
    auc: float | None
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    coverage: float

    def figures(self) -> dict[str, str]:
        """Return the figures as people read them, by title."""
        return {
            "logloss": f"{self.logloss:.3f}",
            "macro AUC": "-" if self.auc is None else f"{self.auc:.3f}",
            "accuracy": f"{self.accuracy:.1%}",
        }


Quality = BinaryQuality | RegressionQuality | MulticlassQuality
"""Figures of a kind of target."""


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """What a report says of a slice; reports store these fields unchanged.

    Args:
        feature: Name of the feature.
        label: Which of its values.
        customers: Number of compared customers.
        share: Their share of all compared customers.
        reference_share: The same in the reference.
        outcomes: Number of their known outcomes.
        mean: Mean prediction; None with fewer than `MIN_SLICE` customers, and for classes.
        reference_mean: The same in the reference.
        quality: Quality on the known outcomes; None if they are fewer than `MIN_OUTCOMES`.
        estimated: Estimated from the probabilities alone, as in a report; None with fewer than
            `MIN_SLICE` customers.
    """

    feature: str
    label: str
    customers: int
    share: float
    reference_share: float
    outcomes: int
    mean: float | None
    reference_mean: float | None
    quality: Quality | None
    estimated: Quality | None

    @property
    def is_shown(self) -> bool:
        """Whether there are enough customers for figures."""
        return self.customers >= MIN_SLICE

    def __str__(self) -> str:
        return f"{self.feature} {self.label} ({self.customers:,})"


def headline(quality: Quality) -> tuple[str, float]:
    """Return name and value of the error that alerts judge by."""
    if isinstance(quality, MulticlassQuality):
        return "logloss", quality.logloss
    return "rmse", quality.rmse
