"""Read what a report compares: recent predictions and their reference."""

from dataclasses import dataclass, replace

import pandas as pd

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import MORE_DECISION, RUN_ID, TARGET
from mlstack.errors import TooFewRows
from mlstack.model.model_store import ModelStore
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.prediction_log.sampling import Sample
from mlstack.quality.drift import MIN_ROWS
from mlstack.quality.reference import ReferenceStore
from mlstack.quality.results import Quality
from mlstack.quality.targets import measure
from mlstack.settings import Settings
from reporting.report import Baseline, Window

MAX_ROWS = 50_000
"""Maximum number of rows compared per side, a random sample of more; limits memory and time."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Recent predictions and their reference.

    Args:
        run_id: Run of the newest prediction compared; its model predicted or rescored every row.
        window: Window of the recent predictions.
        recent: Its predictions, or a sample of about `MAX_ROWS` of them.
        baseline: Kind and size of the reference.
        reference: Its rows: the features, and the columns of `outcome_table`.
        reference_quality: Quality on the reference; None if too few outcomes are known.
        n_rescored: Number of rows that another model had predicted.
    """

    run_id: str
    window: Window
    recent: Sample
    baseline: Baseline
    reference: pd.DataFrame
    reference_quality: Quality | None
    n_rescored: int


def read_comparison(settings: Settings, contract: Contract, window: Window) -> Comparison:
    """Read recent predictions and their reference.

    The reference is the previous window of the same length or, if that has too few predictions, the
    training data.

    Raises:
        TooFewRows: the window has fewer than `MIN_ROWS` predictions.
        StorageUnavailable: MongoDB does not answer.
        NoReference: the training rows are needed, but the run has none.
        ModelError: the model is needed and cannot be loaded.
    """
    models = ModelStore.of(settings)
    before = Window(start=window.start - (window.end - window.start), end=window.start)
    predictions = PredictionStore(settings.mongo_uri, contract)
    try:
        now = predictions.sample(window.start, window.end, MAX_ROWS)
        if len(now.rows) < MIN_ROWS:
            raise TooFewRows(_too_few(contract, window, len(now.rows)))
        earlier = predictions.sample(before.start, before.end, MAX_ROWS)
    finally:
        predictions.close()
    run_id = str(now.rows[RUN_ID].iloc[-1])
    recent, n_rescored = _rescore(now.rows, run_id, models)
    if len(earlier.rows) >= MIN_ROWS:
        baseline = Baseline(
            kind="window before",
            rows=len(earlier.rows),
            n_predictions=earlier.total,
            share_error=earlier.share_error,
            window=before,
            n_outcomes=count_known(earlier.rows),
        )
        reference, n_rescored_before = _rescore(earlier.rows, run_id, models)
        n_rescored += n_rescored_before
        reference_quality = measure(reference, contract.target)
    else:
        training = ReferenceStore(settings.state_path / "references", models).load(run_id)
        baseline = Baseline(kind="training data", rows=len(training.rows))
        # This is the quality on validation rows, because the model has seen its training rows.
        reference, reference_quality = training.rows, training.quality
    return Comparison(
        run_id,
        window,
        replace(now, rows=recent),
        baseline,
        reference,
        reference_quality,
        n_rescored,
    )


def count_known(rows: pd.DataFrame) -> int:
    """Count the rows with a known outcome."""
    return int(rows[TARGET].notna().sum())


def _too_few(contract: Contract, window: Window, count: int) -> str:
    return (
        f"a report on {contract.name} needs {MIN_ROWS} predictions, but has only {count} in "
        f"{window} UTC"
    )


def _rescore(rows: pd.DataFrame, run_id: str, models: ModelStore) -> tuple[pd.DataFrame, int]:
    """Rescore other runs' rows, because a model change is not customer drift."""
    others = rows[RUN_ID] != run_id
    if not others.any():
        return rows, 0
    model = models.load(run_id)
    scored = model.score_table(rows[others])
    kept = rows.loc[~others, list(scored.columns)]
    rescored = pd.concat([kept, scored]).reindex(rows.index)
    rows = rows.assign(**{name: rescored[name] for name in scored.columns})
    if MORE_DECISION in rows:
        # Another model's decision says nothing about this one.
        rows[MORE_DECISION] = rows[MORE_DECISION].where(~others, None)
    return rows, int(others.sum())
