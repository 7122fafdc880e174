"""Apply the schedule of the reporting flow, or run the flow now.

Usage: python -m reporting.schedule apply|run
"""

from prefect.client.schemas.objects import FlowRun

from mlstack import command_line
from mlstack.command_line import say
from mlstack.contract import Contract
from mlstack.errors import listing
from mlstack.flows.command import schedule_command
from mlstack.flows.schedule import FlowSchedule
from mlstack.settings import Settings
from reporting.report_store import ReportStore

FLOW = "evidently_data_reporting"


def reporting_schedule() -> FlowSchedule:
    """Describe the schedule; raise SettingsError or ContractError on invalid input."""
    settings = Settings.load()
    Contract.load(settings.contract_path)
    return FlowSchedule(
        flow=FLOW,
        entrypoint=f"reporting/create_report.py:{FLOW}",
        parameters={
            "contract": str(settings.contract),
            "window_minutes": settings.report_time_window_minutes,
        },
        # A window ends when its run is due, so there are no gaps between windows. A run that was
        # cancelled or never scheduled leaves its window without a report.
        every_minutes=settings.report_time_window_minutes,
        description="Recent predictions -> drift, predictions, performance -> a report",
        apply_target="make apply-prediction-reporting",
        run_target="make report",
    )


def show_report(run: FlowRun) -> None:
    """Print the report of a completed run, or why there is none.

    Raises StorageUnavailable if MongoDB does not answer.
    """
    settings = Settings.load()
    with ReportStore(settings.mongo_uri) as store:
        report = store.of_flow_run(str(run.id))
    say("")
    if report is None:
        say(f"no report: {run.state.message if run.state else 'no reason was given'}")
        return
    lines = {
        "verdict": report.verdict,
        "window": f"{report.window} UTC, {report.size}",
        "against": f"{report.compared_with.title}, {report.compared_with.size}",
        "drifted": listing(report.drifted_features) or "no feature",
        "report": f"{settings.reports_url}/{report.html}",
        "all reports": f"{settings.reports_url}/",
    }
    for name, value in lines.items():
        say(f"{name:<12} {value}")


if __name__ == "__main__":
    command_line.run(lambda: schedule_command(reporting_schedule, show_report))
