"""Create a report: read, compare, render, store and list it.

Importing this module loads Evidently, which takes seconds.
"""

from collections.abc import Callable
from datetime import datetime

from mlstack.contract import Contract
from mlstack.contract.prediction_fields import PREDICTION
from mlstack.contract.target import MulticlassTarget
from mlstack.errors import listing
from mlstack.files import write_atomically
from mlstack.quality.drift import DriftDetector
from mlstack.quality.slices import measure_slices
from mlstack.quality.targets import estimate, measure
from mlstack.settings import Settings
from reporting.comparison import Comparison, count_known, read_comparison
from reporting.evidently_page import drift_html
from reporting.pages import report_page, write_index
from reporting.report import ContractVersion, Report, Window, report_name
from reporting.report_store import ReportStore


def create_report(
    settings: Settings,
    contract: Contract,
    window: Window,
    *,
    flow_run_id: str,
    say: Callable[[str], object],
) -> Report:
    """Create a report: its page, its MongoDB document and its entry in the index.

    Progress lines go to `say`.

    Raises:
        TooFewRows: there are too few predictions to report on.
        MlstackError: MongoDB, the model or its training rows are unavailable.
    """
    comparison = read_comparison(settings, contract, window)
    report = build_report(comparison, contract, created_at=window.end, flow_run_id=flow_run_id)
    baseline = report.compared_with
    say(f"{window} UTC: {report.size}; compared with {baseline.title}: {baseline.size}")
    drawn = drift_html(contract, comparison.reference, comparison.recent.rows)
    with ReportStore(settings.mongo_uri) as store:
        page = report_page(report, drawn, store.before(report))
        # Write the page first, so that every listed report can be opened.
        write_atomically(settings.reports_path / report.html, page.encode())
        store.save(report)
        write_index(store, settings.reports_path)
    drifted = listing(report.drifted_features) or "none"
    say(f"{report.verdict}; drifted features: {drifted}; page: {report.html}")
    return report


def build_report(
    comparison: Comparison, contract: Contract, *, created_at: datetime, flow_run_id: str
) -> Report:
    """Compute drift, quality and verdict of a comparison; `created_at` is in UTC."""
    detector = DriftDetector(contract, comparison.reference)
    recent, rows = comparison.recent, comparison.recent.rows
    drift = detector.compare_features(rows)
    prediction = detector.compare_prediction(rows[PREDICTION])
    name = report_name(created_at, contract.name)
    return Report(
        name=name,
        created_at=created_at,
        flow_run_id=flow_run_id,
        contract=ContractVersion(name=contract.name, hash=contract.digest),
        model_run_id=comparison.run_id,
        window=comparison.window,
        n_predictions=recent.total,
        n_compared=len(rows),
        share_error=recent.share_error,
        n_rescored=comparison.n_rescored,
        compared_with=comparison.baseline,
        verdict="drift" if drift.drifted or prediction.drifted else "no drift",
        drifted_features=drift.drifted_features,
        share_drifted=drift.share_drifted,
        features=drift.features,
        prediction=prediction,
        n_outcomes=count_known(rows),
        quality=measure(rows, contract.target),
        baseline_quality=comparison.reference_quality,
        estimated_quality=estimate(rows, len(rows), contract.target),
        slices=measure_slices(contract, rows, comparison.reference),
        classes=contract.target.classes if isinstance(contract.target, MulticlassTarget) else (),
        html=f"{name}.html",
    )
