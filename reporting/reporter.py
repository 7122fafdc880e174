"""Makes a report: reads both sides, analyses, draws, keeps, lists.

Imports Evidently, which takes seconds.
"""

from collections.abc import Callable
from pathlib import Path

from mlstack.contract import Contract
from mlstack.deployment.watcher import model_store
from mlstack.files import write_atomically
from mlstack.prediction_log.prediction_store import PredictionStore
from mlstack.quality.drift_page import drift_html
from mlstack.quality.reference import ReferenceStore
from mlstack.settings import Settings
from reporting.analysis import analyse
from reporting.pages import report_page, write_index
from reporting.report import Report, Window
from reporting.report_store import ReportStore
from reporting.sides import Sides, gather


def create_report(
    settings: Settings,
    contract: Contract,
    window: Window,
    *,
    flow_run_id: str,
    say: Callable[[str], object],
) -> Report:
    """Makes one report: its page, its document, and the index.

    Args:
        settings: Where predictions, models and pages are.
        contract: What a customer is.
        window: Of the predictions to report on.
        flow_run_id: The flow run that makes it.
        say: Is told of the progress.

    Raises:
        TooFewRows: there are too few predictions to report on.
        MlstackError: MongoDB, the model or its training data cannot be had.
    """
    sides = _gather(settings, contract, window)
    say(
        f"{sides.n_predictions:,} predictions from {window} UTC, compared with "
        f"{sides.baseline.title}: {sides.baseline.rows:,} rows"
    )
    report = analyse(sides, contract, created_at=window.end, flow_run_id=flow_run_id)
    drawn = drift_html(contract, sides.reference, sides.recent)
    folder: Path = settings.reports_path
    # The page first: what is listed can be opened, whenever this process ends.
    write_atomically(folder / report.html, report_page(report, drawn).encode())
    with ReportStore(settings.mongo_uri) as store:
        store.save(report)
        write_index(store, folder)
    drifted = ", ".join(report.drifted_features) or "none"
    say(f"{report.verdict}; drifted features: {drifted}; page: {report.html}")
    return report


def _gather(settings: Settings, contract: Contract, window: Window) -> Sides:
    models = model_store(settings)
    references = ReferenceStore(settings.state_path / "references", models)
    predictions = PredictionStore(settings.mongo_uri, contract)
    try:
        return gather(predictions, references, models, contract, window)
    finally:
        predictions.close()
