"""The reporting flow: recent predictions against those before, or against the training data.

Prefect runs it on a schedule and by `make report`; parameters come with the deployment.
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
    """From the predictions of the last while to a report, and to the index of all reports.

    Args:
        contract: File of the dataset contract; a relative name counts from the project's root.
        window_minutes: Length of the time window.
    """
    # It takes seconds, and whoever applies the flow imports this file.
    from reporting.reporter import create_report  # noqa: PLC0415

    described = Contract.load(ROOT / contract)
    context = FlowRunContext.get()
    end = window_end(context.flow_run if context else None, datetime.now(UTC))
    window = Window(start=end - timedelta(minutes=window_minutes), end=end)
    settings, log = Settings.load(), get_run_logger()
    try:
        report = create_report(
            settings, described, window, flow_run_id=str(runtime.flow_run.id), say=log.info
        )
    except TooFewRows as error:
        # What is there by now is listed all the same, and a first look finds an index.
        with ReportStore(settings.mongo_uri) as store:
            write_index(store, settings.reports_path)
        log.info("no report: %s", error)
        return Completed(message=str(error))
    return Completed(message=f"{report.html}: {report.verdict}")


def window_end(run: FlowRun | None, now: datetime) -> datetime:
    """When a run's window ends: as scheduled, however late it starts; by hand: now.

    Args:
        run: The run; None: the function was called outside of one.
        now: With a time zone.
    """
    if run is not None and run.auto_scheduled and run.expected_start_time is not None:
        return run.expected_start_time
    return now
