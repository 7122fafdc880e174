"""Reports with figures of the choice of the test."""

from datetime import UTC, datetime, timedelta
from typing import Any

from mlstack.quality.results import BinaryQuality, ColumnDrift
from reporting.report import Baseline, ContractVersion, Report, Window, report_name

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)
RUN_ID = "0123456789abcdef" * 2
_QUALITY = BinaryQuality(rmse=0.3, logloss=0.4, auc=0.8, calibration_error=0.02, coverage=0.5)


def drift(column: str, *, drifted: bool = False) -> ColumnDrift:
    return ColumnDrift(
        column=column,
        method="wasserstein",
        score=0.5 if drifted else 0.0,
        threshold=0.2,
        drifted=drifted,
        missing_share=0,
        reference_missing_share=0,
    )


def report(
    hours: float = 0,
    drifted: tuple[str, ...] = (),
    contract: str = "some_customers",
    **changes: Any,
) -> Report:
    """Make a report, so many hours after noon."""
    end = NOON + timedelta(hours=hours)
    name = report_name(end, contract)
    features = tuple(
        drift(name, drifted=name in drifted) for name in ("age", "limit", "<b>odd</b>")
    )
    made = Report(
        name=name,
        created_at=end,
        flow_run_id=f"flow run of {name}",
        contract=ContractVersion(name=contract, hash="c" * 64),
        model_run_id=RUN_ID,
        window=Window(start=end - timedelta(hours=3), end=end),
        n_predictions=1234,
        n_compared=1234,
        n_rescored=0,
        compared_with=Baseline(kind="training data", rows=4248),
        verdict="drift" if drifted else "no drift",
        drifted_features=drifted,
        share_drifted=len(drifted) / len(features),
        features=features,
        prediction=drift("prediction"),
        n_outcomes=0,
        quality=None,
        baseline_quality=_QUALITY,
        estimated_quality=_QUALITY,
        html=f"{name}.html",
    )
    return made.model_copy(update=changes)
