"""The reporting flow: compare recent predictions with a reference.

Prefect runs it on schedule and for `make report`, with the parameters of the schedule.
"""

from datetime import UTC, datetime, timedelta

from prefect import flow, get_run_logger, runtime
from prefect.client.schemas.objects import FlowRun, State
from prefect.context import FlowRunContext
from prefect.states import Completed

from mlstack.contract import Contract
from mlstack.errors import TooFewRows
from mlstack.settings import ROOT, Settings
from reporting.pages import write_index
from reporting.report import Window
from reporting.report_store import ReportStore
from reporting.schedule import FLOW


@flow(name=FLOW)
def evidently_data_reporting(contract: str, window_minutes: int) -> State[None]:
    """Report on recent predictions and update the report index.

    The path `contract` is relative to the project's root.
    """
    # Evidently takes seconds to import.
    from reporting.reporter import create_report  # noqa: PLC0415 - see above

    dataset_contract = Contract.load(ROOT / contract)
    context = FlowRunContext.get()
    end = window_end(context.flow_run if context else None, datetime.now(UTC))
    window = Window(start=end - timedelta(minutes=window_minutes), end=end)
    settings, log = Settings.load(), get_run_logger()
    try:
        report = create_report(
            settings, dataset_contract, window, flow_run_id=str(runtime.flow_run.id), say=log.info
        )
    except TooFewRows as error:
        # Update the index anyway: retention may have removed reports.
        with ReportStore(settings.mongo_uri) as store:
            write_index(store, settings.reports_path)
        log.info("no report: %s", error)
        return Completed(message=str(error))
    return Completed(message=f"{report.html}: {report.verdict}")


def window_end(run: FlowRun | None, now: datetime) -> datetime:
    """Return the end of the window: now, or when a scheduled run was due."""
    if run is not None and run.auto_scheduled and run.expected_start_time is not None:
        return run.expected_start_time
    return now
