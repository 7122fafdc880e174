"""How the reporting flow is deployed."""

from mlstack.contract import Contract
from mlstack.flows.deployment import FlowDeployment
from mlstack.settings import Settings

FLOW = "evidently_data_reporting"


def reporting_flow() -> FlowDeployment:
    """The reporting flow as the settings have it.

    Raises:
        SettingsError: a setting has no usable value.
        ContractError: the contract breaks its rules.
    """
    settings = Settings.load()
    Contract.load(settings.contract_path)
    return FlowDeployment(
        flow=FLOW,
        entrypoint=f"reporting/create_report.py:{FLOW}",
        parameters={
            "contract": str(settings.contract),
            "window_minutes": settings.report_time_window_minutes,
        },
        # Windows end when a run is due, so they follow each other; one that is cancelled or
        # was never scheduled leaves its window without a report.
        every_minutes=settings.report_time_window_minutes,
        description="Recent predictions -> drift, predictions, performance -> a report",
        apply_target="make apply-prediction-reporting",
        run_target="make report",
    )
