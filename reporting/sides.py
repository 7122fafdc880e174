"""What a report compares with what: the two sides, both with the answers of one model."""

from dataclasses import dataclass
from datetime import timedelta

import pandas as pd

from mlstack.contract import Contract
from mlstack.data.customer_table import PREDICTION, TARGET
from mlstack.errors import TooFewRows
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.prediction_store import RUN_ID, PredictionStore
from mlstack.quality.drift import MIN_ROWS
from mlstack.quality.figures import Quality, measured_quality
from mlstack.quality.reference import ReferenceStore
from reporting.report import Baseline, Window

MOST_ROWS = 100_000
"""Of each side, the newest ones: memory and time are bounded however much was predicted."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Recent predictions, and what they are compared with.

    Args:
        run_id: The newest model that has answered; the predictions of both sides are its own.
        window: Of the recent predictions.
        n_predictions: How many the window has.
        recent: Up to `MOST_ROWS` of them, as `PredictionStore.between` gives them.
        baseline: What they are compared with.
        reference: Its rows: the features, `PREDICTION` and `TARGET`.
        reference_quality: The model's on the reference; None: no outcome is known.
        n_rescored: How many rows another model had answered.
    """

    run_id: str
    window: Window
    n_predictions: int
    recent: pd.DataFrame
    baseline: Baseline
    reference: pd.DataFrame
    reference_quality: Quality | None
    n_rescored: int


def gather(
    predictions: PredictionStore,
    references: ReferenceStore,
    models: ModelStore,
    contract: Contract,
    window: Window,
) -> Sides:
    """Reads both sides.

    The other side is the window before this one, of the same length; until that has enough
    predictions it is the data that the model was trained with.

    Raises:
        TooFewRows: the window has fewer than `MIN_ROWS` predictions.
        StorageUnavailable: MongoDB does not answer.
        NoReference: there is no window before, and the model has no training data.
        ModelError: the model is needed and cannot be had.
    """
    recent = predictions.between(window.start, window.end, MOST_ROWS)
    if len(recent) < MIN_ROWS:
        found = f"{len(recent)} prediction{'s' * (len(recent) != 1)}" if len(recent) else "none"
        raise TooFewRows(
            f"a report on {contract.name} needs {MIN_ROWS} predictions, and from {window} UTC "
            f"there {'is' if len(recent) < 2 else 'are'} {found}"  # noqa: PLR2004 - grammar
        )
    total = len(recent) if len(recent) < MOST_ROWS else predictions.count(window.start, window.end)
    run_id = str(recent[RUN_ID].iloc[-1])
    length: timedelta = window.end - window.start
    before = Window(start=window.start - length, end=window.start)
    reference = predictions.between(before.start, before.end, MOST_ROWS)
    if len(reference) >= MIN_ROWS:
        baseline = Baseline(kind="window before", rows=len(reference), window=before)
        reference, asked_reference = _answered_by(run_id, reference, models)
        reference_quality = measured(reference)
    else:
        trained = references.load(run_id)
        reference, asked_reference = trained.rows, 0
        # Not measured on these rows, which the model has seen, but on its validation rows.
        reference_quality = trained.quality
        baseline = Baseline(kind="training data", rows=len(reference))
    recent, asked_recent = _answered_by(run_id, recent, models)
    return Sides(
        run_id,
        window,
        total,
        recent,
        baseline,
        reference,
        reference_quality,
        asked_recent + asked_reference,
    )


def measured(rows: pd.DataFrame) -> Quality | None:
    """Quality on those rows of a side whose outcome is known; None: none is."""
    return measured_quality(rows[TARGET].to_numpy(dtype="float64"), rows[PREDICTION].to_numpy())


def _answered_by(run_id: str, rows: pd.DataFrame, models: ModelStore) -> tuple[pd.DataFrame, int]:
    """Rows with the answers of one model, which is asked where another one has answered.

    Else a change of models would be taken for one of the customers.
    """
    others = rows[RUN_ID] != run_id
    if not others.any():
        return rows, 0
    model = models.load(run_id)
    chances = model.score_matrix(model.encoder.encode_frame(rows[others]))
    rows = rows.copy()
    rows.loc[others, PREDICTION] = chances.astype("float64")
    return rows, int(others.sum())
