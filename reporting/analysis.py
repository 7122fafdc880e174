"""From the two sides of a comparison to the figures of a report."""

from dataclasses import asdict
from datetime import datetime

from mlstack.contract import Contract
from mlstack.data.customer_table import PREDICTION
from mlstack.quality import figures as quality
from mlstack.quality.drift import ColumnDrift, DriftDetector
from reporting.report import ContractVersion, Drift, Quality, Report, report_name
from reporting.sides import Sides, measured


def analyse(sides: Sides, contract: Contract, *, created_at: datetime, flow_run_id: str) -> Report:
    """Data drift, prediction and, where outcomes are known, performance.

    Args:
        sides: What is compared.
        contract: What a customer is.
        created_at: In UTC.
        flow_run_id: The flow run that makes the report.
    """
    detector = DriftDetector(contract, sides.reference)
    data = detector.features(sides.recent)
    prediction = detector.prediction(sides.recent[PREDICTION])
    chances = sides.recent[PREDICTION].to_numpy()
    estimated = quality.estimated_quality(chances, len(chances))
    assert estimated is not None  # noqa: S101 - there are predictions
    name = report_name(created_at, contract.name)
    return Report(
        name=name,
        created_at=created_at,
        flow_run_id=flow_run_id,
        contract=ContractVersion(name=contract.name, hash=contract.digest),
        model_run_id=sides.run_id,
        window=sides.window,
        n_predictions=sides.n_predictions,
        n_compared=len(sides.recent),
        n_rescored=sides.n_rescored,
        compared_with=sides.baseline,
        verdict="drift" if data.drifted or prediction.drifted else "no drift",
        drifted_features=data.drifted_features,
        share_drifted=data.share_drifted,
        features=tuple(map(_drift, data.features)),
        prediction=_drift(prediction),
        quality=_quality(measured(sides.recent)),
        baseline_quality=_quality(sides.reference_quality),
        estimated_quality=Quality(**asdict(estimated)),
        html=f"{name}.html",
    )


def _drift(column: ColumnDrift) -> Drift:
    return Drift(**asdict(column), drifted=column.drifted)


def _quality(figures: quality.Quality | None) -> Quality | None:
    return None if figures is None else Quality(**asdict(figures))
