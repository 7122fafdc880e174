"""Calculate drift, measured quality and estimated quality of the window."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from mlstack.contract.prediction_fields import PREDICTION, RUN_ID, TARGET
from mlstack.quality.drift import MIN_ROWS, DriftDetector, DriftResult
from mlstack.quality.figures import estimate_quality, measure_quality
from mlstack.quality.reference import Reference
from mlstack.quality.results import ColumnDrift, Quality
from monitoring.evidently_service.window import Snapshot

EDGES = tuple(number / 20 for number in range(1, 21))
"""Upper edges of the probability buckets."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Distribution of probabilities; `below` counts the rows up to each of `EDGES`."""

    mean: float
    below: Sequence[int]


@dataclass(frozen=True, slots=True)
class Calculation:
    """Results for one version of the window.

    "Own rows" are rows that the deployed run predicted. A result with fewer than `MIN_ROWS` of them
    is None.

    Args:
        run_id: The deployed run, whose training rows are the reference.
        version: Version of the window.
        at: Time of the calculation.
        seconds: Duration of the calculation.
        drift: Drift of the features over the whole window.
        prediction: Drift of the prediction over own rows.
        predictions: Number of own rows.
        outcomes: Number of own rows with an outcome.
        measured: Quality on them; None with fewer than `MIN_OUTCOMES`.
        estimated: Quality estimated from the probabilities of own rows.
        chances: Distribution of the probabilities of own rows.
    """

    run_id: str
    version: int
    at: datetime
    seconds: float
    drift: DriftResult
    prediction: ColumnDrift | None
    predictions: int
    outcomes: int
    measured: Quality | None
    estimated: Quality | None
    chances: Distribution | None


class Calculator:
    """Compares windows with one reference; raises TooFewRows if that is too small."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self.reference_chances = _distribution(reference.rows[PREDICTION])
        self._detector = DriftDetector(reference.contract, reference.rows)

    def calculate(self, window: Snapshot) -> Calculation:
        """Compare a window with the reference; raise TooFewRows if it has too few rows."""
        start = time.perf_counter()
        rows = window.table(self.reference.contract)
        # Rows without a run id count as the deployed run's.
        own = rows[rows[RUN_ID].isna() | (rows[RUN_ID] == self.reference.run_id)]
        chances, enough = own[PREDICTION], len(own) >= MIN_ROWS
        return Calculation(
            run_id=self.reference.run_id,
            version=window.version,
            drift=self._detector.compare_features(rows),
            prediction=self._detector.compare_prediction(chances) if enough else None,
            predictions=len(own),
            outcomes=int(own[TARGET].notna().sum()),
            measured=measure_quality(own[TARGET].to_numpy(), chances.to_numpy()),
            estimated=estimate_quality(chances.to_numpy(), len(rows)) if enough else None,
            chances=_distribution(chances) if enough else None,
            at=datetime.now(UTC),
            seconds=time.perf_counter() - start,
        )


def _distribution(chances: "pd.Series[float]") -> Distribution:
    below = np.searchsorted(np.sort(chances), EDGES, side="right")
    return Distribution(float(chances.mean()), below.tolist())
