"""One look at the window: drift, and quality measured and estimated."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from mlstack.data.customer_table import PREDICTION, TARGET
from mlstack.prediction_log.prediction_store import RUN_ID
from mlstack.quality.drift import MIN_ROWS, DriftDetector, DriftResult
from mlstack.quality.figures import estimate_quality, measure_quality
from mlstack.quality.reference import Reference
from mlstack.quality.results import ColumnDrift, Quality
from monitoring.evidently_service.window import Content

EDGES = tuple(number / 20 for number in range(1, 21))
"""Upper edges of the intervals in which chances are counted."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """How chances are spread.

    Args:
        mean: Of the chances.
        below: Rows up to each of `EDGES`.
    """

    mean: float
    below: Sequence[int]


@dataclass(frozen=True, slots=True)
class Calculation:
    """What was found.

    Args:
        run_id: The served run, whose training rows are the reference.
        version: The window's.
        at: When.
        seconds: How long it took.
        drift: Of the features, over the whole window.
        prediction: Drift of what the served run says; None: it has said too little yet.
        predictions: How many rows of the window the served run has said something of.
        measured: Its quality on those of them whose outcome is known; None: none is.
        estimated: Its quality as its own chances foretell it; None: it has said nothing yet.
        chances: How its chances are spread; None: it has said nothing yet.
    """

    run_id: str
    version: int
    at: datetime
    seconds: float
    drift: DriftResult
    prediction: ColumnDrift | None
    predictions: int
    measured: Quality | None
    estimated: Quality | None
    chances: Distribution | None


class Calculator:
    """Compares windows with one reference.

    Args:
        reference: Training rows of the served run.

    Raises:
        TooFewRows: the reference has too few rows.
    """

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.reference_chances = _distribution(reference.rows[PREDICTION])
        self._detector = DriftDetector(reference.contract, reference.rows)

    def calculate(self, content: Content) -> Calculation:
        """Looks at a window.

        Raises:
            TooFewRows: there are too few rows in it.
        """
        start = time.perf_counter()
        rows = content.table(self.reference.contract)
        # A row whose sender does not say which model it is of is taken for the served one's.
        said = rows[rows[RUN_ID].isna() | (rows[RUN_ID] == self.reference.run_id)]
        chances = said[PREDICTION]
        return Calculation(
            run_id=self.reference.run_id,
            version=content.version,
            drift=self._detector.compare_features(rows),
            prediction=self._detector.compare_prediction(chances)
            if len(said) >= MIN_ROWS
            else None,
            predictions=len(said),
            measured=measure_quality(said[TARGET].to_numpy(), chances.to_numpy()),
            estimated=estimate_quality(chances.to_numpy(), len(rows)),
            chances=_distribution(chances) if len(said) else None,
            at=datetime.now(UTC),
            seconds=time.perf_counter() - start,
        )


def _distribution(chances: "pd.Series[float]") -> Distribution:
    below = np.searchsorted(np.sort(chances), EDGES, side="right")
    return Distribution(float(chances.mean()), below.tolist())
