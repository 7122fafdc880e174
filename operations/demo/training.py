"""The demo's flows and its model.

Importing this module loads Prefect, MLflow and XGBoost, which takes seconds.
"""

from mlflow.entities import Run
from prefect.client.schemas.objects import FlowRun

from mlstack.command_line import say
from mlstack.contract import Contract
from mlstack.data.training_table import RawTable
from mlstack.deployment.deployer import Deployer
from mlstack.errors import ModelError
from mlstack.files import file_sha256
from mlstack.flows.apply import apply_schedules
from mlstack.flows.prefect_api import prefect_client
from mlstack.flows.run import begin, follow
from mlstack.flows.schedule import FlowSchedule
from mlstack.model.mlflow_api import DATA_TAG, connect, find_run_id
from mlstack.model.model_store import ModelStore
from mlstack.settings import Settings
from model_orchestration.schedule import show_winner, training_schedule
from operations.errors import StackError
from operations.retention.prune_flow import retention_schedule
from reporting.schedule import reporting_schedule, show_report


def apply_flows() -> None:
    """Apply every flow and its schedule; raise PrefectError if Prefect does not answer."""
    with prefect_client() as client:
        apply_schedules(client, training_schedule(), retention_schedule(), reporting_schedule())


def needs_training(settings: Settings, contract: Contract, table: RawTable) -> bool:
    """Return whether no run is chosen and none was trained on this data and contract."""
    if settings.run_id:
        return False
    wanted = {
        DATA_TAG: file_sha256(table.path),
        "contract_digest": contract.digest,
    }
    runs = _registered_runs(contract).values()
    return not any(wanted.items() <= run.data.tags.items() for run in runs)


def begin_training() -> FlowRun:
    """Start the training flow; raise PrefectError if no worker takes it."""
    return _begin(training_schedule())


def follow_training(run: FlowRun) -> None:
    """Follow a run of the training flow and show its winner; raise MlstackError if it fails."""
    show_winner(_follow(training_schedule(), run))


def begin_report() -> FlowRun:
    """Start the reporting flow; raise PrefectError if no worker takes it."""
    return _begin(reporting_schedule())


def follow_report(run: FlowRun) -> None:
    """Follow a run of the reporting flow and show its report; raise MlstackError if it fails."""
    show_report(_follow(reporting_schedule(), run))


def deploy(settings: Settings, contract: Contract, *, trained: bool) -> str:
    """Deploy the chosen run; otherwise keep the deployed one or deploy the champion."""
    deployer = Deployer(settings, ModelStore.of(settings))
    run_id = find_run_id(settings.run_id) if settings.run_id else ""
    record = deployer.state.record()
    if not run_id and record is not None and not trained:
        try:
            deployer.check(record.run_id)
            run_id = record.run_id
        except ModelError as error:
            say(f"   the deployed model cannot be used any longer: {error}")
    if not run_id:
        champion = _registered_runs(contract).get("champion")
        if champion is None:
            raise StackError(f"{contract.name} has no champion: make train, or choose a RUN_ID")
        run_id = champion.info.run_id
    if record is not None and record.run_id == run_id:
        deployer.check(run_id)
    else:
        deployer.deploy(run_id)
    say(f"   run {run_id} is deployed")
    return run_id


def _begin(schedule: FlowSchedule) -> FlowRun:
    with prefect_client() as client:
        return begin(client, schedule)


def _follow(schedule: FlowSchedule, run: FlowRun) -> FlowRun:
    with prefect_client() as client:
        return follow(client, schedule, run)


def _registered_runs(contract: Contract) -> dict[str, Run]:
    """Return the runs of the aliases `champion` and `challenger`."""
    client = connect()
    return {
        alias: client.get_run(str(client.get_model_version(model.name, version).run_id))
        for model in client.search_registered_models(f"name = '{contract.name}'")
        for alias, version in model.aliases.items()
    }
