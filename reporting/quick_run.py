"""`make report`: reports now, or follows the report that is under way, to its end."""

import sys

from prefect.client.schemas.objects import FlowRun

from mlstack.flows.run import run_command, say
from mlstack.settings import Settings
from reporting.deployment import reporting_flow
from reporting.report_store import ReportStore


def main() -> int:
    """Entry point of `make report`; 0 also when there was too little to report on."""
    return run_command(reporting_flow, _say_result)


def _say_result(run: FlowRun) -> None:
    settings = Settings.load()
    with ReportStore(settings.mongo_uri) as store:
        report = store.of_flow_run(str(run.id))
    say("")
    if report is None:
        say(f"no report: {run.state.message if run.state else 'no reason is known'}")
        return
    lines = {
        "verdict": report.verdict,
        "window": f"{report.window} UTC, {report.n_predictions:,} predictions",
        "against": f"{report.compared_with.title}, {report.compared_with.rows:,} rows",
        "drifted": ", ".join(report.drifted_features) or "no feature",
        "report": f"{settings.reports_url}/{report.html}",
        "all reports": f"{settings.reports_url}/",
    }
    for name, value in lines.items():
        say(f"{name:<12} {value}")


if __name__ == "__main__":
    sys.exit(main())
